# SPDX-License-Identifier: GPL-2.0-or-later
"""DPDK's testpmd: what receiving and sending takes by itself; and the other end of a memif."""

import re
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Self

from tests.bench.dpdk.replay import Forwarder, eal_cores

LINE_BY_LINE = ("stdbuf", "--output=L")
SENT = re.compile(r"TX-packets: (\d+)")
MEMORY_MB = 160
BUFFERS_BESIDE = 4096
"""More than the replayed frames: on their way, and in caches."""
END_SECONDS = 20.0


class Testpmd:
    """Told line by line; ends with the context."""

    def __init__(
        self,
        vdevs: Sequence[str],
        eal: Sequence[str],
        own: Sequence[str],
        into: Sequence[str] = (),
    ) -> None:
        """`into` is what it is started by, such as nsenter; `eal` are the options of its own."""
        options = ["--no-telemetry", "--no-pci", "-m", str(MEMORY_MB), *eal]
        devices = [word for vdev in vdevs for word in ("--vdev", vdev)]
        self._argv = [*into, *LINE_BY_LINE, "dpdk-testpmd", *options, *devices, "--", "-i", *own]

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            bufsize=1,
        )
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._process.communicate("stop\nquit\n", timeout=END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def pid(self) -> int:
        return self._process.pid

    def say(self, command: str) -> None:
        assert self._process.stdin
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()

    def sent(self, port: int = 0) -> int:
        """Frames; an answer means that it has done what it was told before."""
        self.say(f"show port stats {port}")
        assert self._process.stdout
        said = []
        for line in self._process.stdout:
            if found := SENT.search(line):
                return int(found[1])
            said.append(line)
        raise RuntimeError(f"testpmd ended: {''.join(said)[-2000:]}")


class IoForwarding(Forwarder):
    """One port, whose frames go back to it."""

    def start(self, stack: ExitStack) -> None:
        vdev = f"net_pcap0,rx_pcap={self.replay.pcap},infinite_rx=1"
        buffers = str(self.replay.frames + BUFFERS_BESIDE)
        eal = ["--in-memory", *eal_cores()]
        own = ["--port-topology=loop", "--forward-mode=io", "--total-num-mbufs", buffers]
        self._testpmd = stack.enter_context(Testpmd([vdev], eal, own))
        self.pid = self._testpmd.pid
        self._testpmd.say("start")
        self.forwarded()

    def forwarded(self) -> int:
        return self._testpmd.sent()
