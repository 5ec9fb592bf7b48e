# SPDX-License-Identifier: GPL-2.0-or-later
"""DPDK's testpmd in io mode: what receiving and sending the frames takes by itself."""

import re
import subprocess
from contextlib import ExitStack

from tests.bench.dpdk.replay import Forwarder, eal_cores

LINE_BY_LINE = ("stdbuf", "--output=L")
SENT = re.compile(r"TX-packets: (\d+)")
MEMORY_MB = 160
BUFFERS_BESIDE = 4096
"""More than the replayed frames: on their way, and in caches."""


class IoForwarding(Forwarder):
    """One port, whose frames go back to it."""

    def start(self, stack: ExitStack) -> None:
        eal = ["--in-memory", "--no-telemetry", "--no-pci", "-m", str(MEMORY_MB), *eal_cores()]
        vdev = f"net_pcap0,rx_pcap={self.replay.pcap},infinite_rx=1"
        buffers = str(self.replay.frames + BUFFERS_BESIDE)
        own = ["-i", "--port-topology=loop", "--forward-mode=io", "--total-num-mbufs", buffers]
        self._process = subprocess.Popen(
            [*LINE_BY_LINE, "dpdk-testpmd", *eal, "--vdev", vdev, "--", *own],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            bufsize=1,
        )
        stack.callback(self._end)
        self.pid = self._process.pid
        self._say("start")
        self.forwarded()

    def forwarded(self) -> int:
        self._say("show port stats 0")
        assert self._process.stdout
        said = []
        for line in self._process.stdout:
            if found := SENT.search(line):
                return int(found[1])
            said.append(line)
        raise RuntimeError(f"testpmd ended: {''.join(said)[-2000:]}")

    def _say(self, command: str) -> None:
        assert self._process.stdin
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()

    def _end(self) -> None:
        try:
            self._process.communicate("stop\nquit\n", timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
