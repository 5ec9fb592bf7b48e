# SPDX-License-Identifier: GPL-2.0-or-later
"""What following the kernel's FDBs costs: time for a dump, changes a second, memory."""

import socket
import time
from contextlib import AbstractContextManager
from ipaddress import IPv4Address
from statistics import median
from typing import Protocol

from hybrid_gateway.instance import Instance
from hybrid_gateway.lab.namespaces import entered
from tests.bench.gateway import Gateway
from tests.bench.generator import TOOL
from tests.bench.instance import InstanceMaps
from tests.bench.measure import MeasurementError, Note
from tests.bench.path import run
from tests.bench.process import resident_megabytes
from tests.bench.report import Figure, progress
from tests.bench.vxlan.contenders import CONFIG
from tests.bench.vxlan.mirroring import BareMirror
from tests.bench.vxlan.neighbours import NeighbourWriter, RemoteStations
from tests.bench.vxlan.path import DEVICE, BridgedPath, TunnelSetup

ENTRIES = 100_000
VTEPS = 64
DUMPS = 3
RATES = (5_000, 10_000, 20_000, 40_000)
"""Changes a second that are tried, one after the other; the first has to be followed."""
SECONDS = 2.0
"""That each is kept up."""
SETTLE_SECONDS = 10.0
POLL_SECONDS = 0.02
# The limits that the gateway has set itself.
DUMP_LIMIT_S, CHANGES_LIMIT, BYTES_LIMIT = 5.0, 5000.0, 150.0
MAPS = ("gw_fdb", "gw_tunnels", "gw_vteps", "gw_floods")
SETUP = TunnelSetup(family=4, stations=0)
FIRST = IPv4Address("12.0.0.0")
"""Of the stations, whose MAC addresses follow from it."""

Ways = dict[bytes, IPv4Address]
"""Station to VTEP."""


class Mirroring(Protocol):
    def lost(self) -> int:
        """How often the kernel has dropped events."""


class MirroringAgent(Gateway):
    """The real agent."""

    def lost(self) -> int:
        return self.log().count("the kernel dropped events about stations")


def measure(note: Note, *, bare: bool = False) -> list[Figure]:
    with BridgedPath("mirror", SETUP) as path:
        kernel = KernelFdb(path)
        seconds = []
        for number in range(DUMPS):
            progress(f"mirror.fdb.100k: {number + 1} of {DUMPS}")
            began = time.monotonic()
            with mirroring(path, bare=bare) as mirror:
                seconds.append(kernel.await_mirrored() - began)
                if number + 1 == DUMPS:
                    size = InstanceMaps(path.names.middle).bytes_of(MAPS) / ENTRIES
                    rate = _follow(kernel, mirror, note)
                    if isinstance(mirror, MirroringAgent):
                        took = resident_megabytes(mirror.pid)
                        note(f"mirror.fdb: the agent has {took:.0f} MB with {ENTRIES:,} stations")
    return [
        Figure("mirror.fdb.100k", median(seconds), "s", "limit", DUMP_LIMIT_S),
        Figure("mirror.fdb.changes", rate, "changes/s", "limit", CHANGES_LIMIT, better="higher"),
        Figure("mirror.fdb.entry", size, "bytes", "limit", BYTES_LIMIT),
    ]


def mirroring(path: BridgedPath, *, bare: bool) -> AbstractContextManager[Mirroring]:
    return BareMirror(path) if bare else MirroringAgent(path.names.middle, CONFIG)


def _follow(kernel: "KernelFdb", mirror: Mirroring, note: Note) -> float:
    """The highest rate of changes that is followed without a loss."""
    followed = 0.0
    for rate in RATES:
        progress(f"mirror.fdb.changes: {rate} a second")
        before = mirror.lost()
        done = kernel.change(rate, SECONDS)
        kernel.await_mirrored()
        if lost := mirror.lost() - before:
            note(f"mirror.fdb.changes: at {done:,.0f} a second events were lost {lost} times")
            break
        followed = done
    if not followed:
        raise MeasurementError(f"mirror.fdb.changes: {RATES[0]} a second are too many")
    return followed


class KernelFdb:
    """The kernel's FDB as a control plane has filled it, and what the mirror is to say of it."""

    def __init__(self, path: BridgedPath, entries: int = ENTRIES) -> None:
        self._maps = Instance(path.names.middle).pinned_maps
        with entered(path.names.middle):
            ifindex = socket.if_nametoindex(DEVICE)
        self._stations = RemoteStations(ifindex)
        self._writer = NeighbourWriter(path.names.middle)
        self._ways: Ways = {}
        self._next = 0
        for n in range(entries):
            self._ways[b"\x02\0" + (FIRST + n).packed] = self._vtep(n)
        self._macs = list(self._ways)
        self._writer.write([self._stations.put(mac, vtep) for mac, vtep in self._ways.items()])

    def change(self, rate: float, seconds: float) -> float:
        """Stations move from VTEP to VTEP, and every second one goes and comes back elsewhere.

        Returns how many changes a second it came to.
        """
        messages = [self._change() for _ in range(int(rate * seconds))]
        return self._writer.write_paced(messages, rate)

    def await_mirrored(self) -> float:
        """Until the maps say what the kernel does; returns when they did (time.monotonic()).

        MeasurementError when they do not.
        """
        deadline = time.monotonic() + SETTLE_SECONDS
        while time.monotonic() < deadline:
            # Counting is quick, and comparing would keep the core from whoever fills the maps.
            if self._count() == len(self._ways):
                now = time.monotonic()
                if self._mirrored() == self._ways:
                    return now
            time.sleep(POLL_SECONDS)
        differing = len(self._ways.items() ^ self._mirrored().items())
        raise MeasurementError(f"mirror.fdb: {differing} entries differ after {SETTLE_SECONDS} s")

    def _change(self) -> bytes:
        """Of one station, in turn."""
        mac = self._macs[self._next % len(self._macs)]
        self._next += 1
        if self._next % 2:
            self._ways[mac] = self._vtep(self._next)
            return self._stations.move(mac, self._ways[mac])
        if mac in self._ways:
            del self._ways[mac]
            return self._stations.delete(mac)
        self._ways[mac] = self._vtep(self._next)
        return self._stations.put(mac, self._ways[mac])

    @staticmethod
    def _vtep(number: int) -> IPv4Address:
        return IPv4Address(SETUP.underlay.first_vtep) + number % VTEPS

    def _count(self) -> int:
        try:
            return int(run([str(TOOL), "stations", "--maps", str(self._maps)]))
        except RuntimeError:
            return 0  # nothing is loaded yet

    def _mirrored(self) -> Ways:
        listed = run([str(TOOL), "stations", "--maps", str(self._maps), "--all"])
        ways = {}
        for line in listed.splitlines():
            mac, _, _, vtep = line.split()
            if vtep != "-":
                ways[bytes.fromhex(mac.replace(":", ""))] = IPv4Address(vtep)
        return ways
