# SPDX-License-Identifier: GPL-2.0-or-later
"""DPDK's grout on the same frames, told by its own client: as a router with the same routes."""

import json
import os
import subprocess
import time
from abc import abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.bench.dpdk import chroot, tables
from tests.bench.dpdk.replay import CONTROL_CPU, Forwarder, Replay
from tests.bench.dpdk.tables import LINKS, NEXT_HOPS, Table
from tests.bench.generator import CPU
from tests.bench.measure import MeasurementError
from tests.bench.report import progress

# As few as the case takes: its defaults would want more hugepages.
ENVIRONMENT = {
    "GROUT_MAX_ROUTES": "1024",
    "GROUT_MAX_NEXTHOPS": "4096",
    "GROUT_MAX_CONNTRACKS": "128",
    "GROUT_MEMPOOL_CHUNK_SIZE": "32767",
}
IN, OUT = "p0", "p1"
READY_SECONDS = 20.0
TABLE_SECONDS = 600.0
ROUTES_BESIDE = 64
"""That grout has for its own addresses."""


class Grout(Forwarder):
    """Two ports: one that replays, and one that takes everything and frees it."""

    def __init__(self, label: str, replay: Replay, tree: Path) -> None:
        super().__init__(label, replay)
        self._tree = tree

    def start(self, stack: ExitStack) -> None:
        files = self.replay.pcap.parent
        self._log = stack.enter_context((files / "grout.log").open("w+"))
        self._socket = f"{chroot.FILES}/grout.sock"
        argv = ["grout", "-p", "-s", self._socket, "-M", f"unix:{chroot.FILES}/metrics.sock"]
        self._process = subprocess.Popen(
            chroot.entering(self._tree, files, [*argv, "--", "--no-pci"]),
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            env=os.environ | ENVIRONMENT,
        )
        stack.callback(self._end)
        self.pid = self._process.pid
        self._await(files / "grout.sock")
        self._connect()
        self._drops = self._dropped()

    def forwarded(self) -> int:
        return int(self._interfaces()[OUT]["tx_packets"])

    def complaints(self) -> Iterator[str]:
        if (drops := self._dropped()) != self._drops:
            yield f"{drops - self._drops} frames were dropped"
            self._drops = drops

    def client(self, *words: str, script: str = "") -> str:
        argv = ["grcli", "-e", "-p", "-s", self._socket, *words]
        done = subprocess.run(
            chroot.beside(self.pid, argv),
            input=script,
            capture_output=True,
            text=True,
            timeout=TABLE_SECONDS,
        )
        if done.returncode:
            raise MeasurementError(f"grcli: {done.stderr[-500:]}{self._log_end()}")
        return done.stdout

    def _interfaces(self) -> dict[str, Any]:
        listed = json.loads(self.client("-j", "interface", "stats"))
        return {row["interface"]: row for row in listed}

    def _dropped(self) -> int:
        rows = self._interfaces()
        return sum(int(row["rx_drops"]) + int(row["tx_errors"]) for row in rows.values())

    @abstractmethod
    def furnish(self) -> None:
        """Addresses and tables, then `replay_by`."""

    def told(self, commands: Iterable[str]) -> None:
        self.client(script="\n".join(commands) + "\n")

    def _connect(self) -> None:
        """The port that replays comes last: nothing goes to the sky before."""
        self.client("affinity", "cpus", "set", "control", str(CONTROL_CPU), "datapath", str(CPU))
        self.client("interface", "add", "port", OUT, "devargs", "net_null0,no-rx=1")
        self.furnish()

    def replay_by(self, *options: str) -> None:
        pcap = f"net_pcap0,rx_pcap={chroot.FILES}/{self.replay.pcap.name},infinite_rx=1"
        self.client("interface", "add", "port", IN, "devargs", pcap, *options)

    def _await(self, socket: Path) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not socket.exists():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise MeasurementError(f"grout does not start: {self._log_end()}")
            time.sleep(0.05)

    def _log_end(self) -> str:
        self._log.seek(0)
        return self._log.read()[-1000:]

    def _end(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class GroutRouter(Grout):
    def __init__(self, label: str, replay: Replay, table: Table, tree: Path) -> None:
        super().__init__(label, replay, tree)
        self._table = table

    def furnish(self) -> None:
        family, routes = self._table.family, len(self._table.routes)
        room = f"rib{family}-routes"
        self.client(
            "interface", "set", "vrf", "main", room, str(routes + NEXT_HOPS + ROUTES_BESIDE)
        )
        progress(f"{self.replay.name}: {routes} routes for grout")
        self.told(self._commands())
        self.replay_by()

    def _commands(self) -> Iterator[str]:
        family = self._table.family
        link = LINKS[family]
        yield f"address add {link[1]}/{link.prefixlen} iface {OUT}"
        for number in range(NEXT_HOPS):
            hop, mac = tables.gateway(family, number), tables.gateway_mac(number)
            yield f"nexthop add l3 iface {OUT} id {number + 1} address {hop} mac {mac}"
        for route in self._table.routes:
            yield f"route add {self._table.text(route)} via id {route.next_hop + 1}"
