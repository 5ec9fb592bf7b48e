# SPDX-License-Identifier: GPL-2.0-or-later
"""The bridge FDB in XDP's table, and what XDP uses in the kernel's eyes.

XDP finds a station behind a bridge in a copy of the FDB, and its MAC address in the kernel's
neighbour table; the kernel sees none of the frames and would let both entries age while they
are in use. So what XDP used lately is reported to the kernel as used, which then asks the
station; the answer, an ordinary frame, refreshes the FDB as well.
"""

import logging
import time

from .bpf import DataPlane
from .errors import GwError
from .model import IPAddress, NextHop, Stations
from .netlink import NUD_DELAY, NUD_REACHABLE, NUD_STALE, FdbEntry, Netlink

log = logging.getLogger(__name__)

PROBE_SECONDS = 15.0
IDLE_SECONDS = 60.0
"""Between looks while XDP uses nothing; an FDB entry lives for 300 s."""
KNOWN = NUD_REACHABLE | NUD_STALE | NUD_DELAY
FDB_MAX = 8000
"""Entries kept; the table has room for a few more, which arrive while it is refilled."""


class Mirror:
    """Follows the devices of the last `follow`; empty before."""

    def __init__(self, dataplane: DataPlane, netlink: Netlink) -> None:
        self._dataplane = dataplane
        self._netlink = netlink
        self._bridges: frozenset[int] = frozenset()
        self._plain: frozenset[int] = frozenset()
        self._ports: frozenset[int] = frozenset()
        self._known = 0
        self._full = False
        self._forwarded = 0
        self._forgotten: set[tuple[int, bytes]] = set()

    def follow(self, stations: Stations) -> None:
        """Mirrors these from now on, beginning with what the bridges know."""
        self._bridges = frozenset(port.bridge for port in stations.ports)
        # Only ports that carry our program take redirected frames for sure.
        self._ports = frozenset(port.ifindex for port in stations.ports if port.xdp)
        self._plain = stations.plain
        self.refill()

    def sources(self, ifindex: int, vni: int) -> tuple[IPAddress, ...]:  # noqa: ARG002
        """Who may send to a segment."""
        return ()

    def vteps(self) -> tuple[IPAddress, ...]:
        """Whom XDP sends to."""
        return ()

    def stop(self) -> None:
        self._bridges = self._plain = self._ports = frozenset()

    # ---- FDB --------------------------------------------------------------------------

    def refill(self) -> None:
        """The whole table anew: after a start, a change of devices or lost events."""
        found: dict[tuple[int, bytes], int] = {}
        for bridge in sorted(self._bridges):
            for entry in self._netlink.fdb(bridge):
                if self._wanted(entry):
                    found[entry.bridge, entry.mac] = entry.port
        self._report_overflow(len(found))
        kept = dict(list(found.items())[:FDB_MAX])
        self._dataplane.fdb_replace(kept)
        self._known = len(kept)

    def event(self, entry: FdbEntry) -> None:
        """One station was learned, moved or forgotten."""
        if entry.bridge not in self._bridges:
            return
        if entry.gone or not self._wanted(entry):
            self._dataplane.fdb_delete(entry.bridge, entry.mac)
            self._known = max(0, self._known - 1)
            if entry.gone:
                self._forgotten.add((entry.bridge, entry.mac))
            return
        self._forgotten.discard((entry.bridge, entry.mac))
        if self._known >= FDB_MAX:
            self._report_overflow(self._known + 1)
            return
        self._dataplane.fdb_set(entry.bridge, entry.mac, entry.port)
        self._known += 1  # an entry that moved counts twice: a refill counts anew

    def _wanted(self, entry: FdbEntry) -> bool:
        return not entry.local and not entry.mac[0] & 1 and entry.port in self._ports

    def _report_overflow(self, stations: int) -> None:
        full = stations > FDB_MAX
        if full and not self._full:
            log.warning("more than %d stations: the kernel forwards to the rest", FDB_MAX)
        self._full = full

    def recall(self) -> None:
        """Asks the stations that a bridge has just forgotten, if the kernel knows their addresses.

        The bridge would not learn them again from frames that XDP takes, and flood every
        answer; a station that is gone ends as a failed neighbour.
        """
        forgotten, self._forgotten = self._forgotten, set()
        for bridge in {bridge for bridge, _ in forgotten}:
            for neighbour in self._netlink.neighbours(bridge):
                if neighbour.state & KNOWN and (bridge, neighbour.mac) in forgotten:
                    self._netlink.ask(NextHop(bridge, neighbour.address))

    # ---- neighbours -------------------------------------------------------------------

    def probe(self) -> float:
        """Reports what XDP used; returns the seconds until the next time."""
        try:
            busy = self._probe_bridges() + self._probe_plain()
        except GwError as error:
            log.warning("probing neighbours: %s", error)
            busy = 0
        return PROBE_SECONDS if busy else IDLE_SECONDS

    def _probe_bridges(self) -> int:
        if not self._bridges:
            return 0
        since = time.clock_gettime(time.CLOCK_MONOTONIC) - IDLE_SECONDS - 1
        used: dict[int, set[bytes]] = {}
        for (bridge, mac), when in self._dataplane.fdb_used().items():
            if when >= since:
                used.setdefault(bridge, set()).add(mac)
        for bridge, macs in used.items():
            self._use(bridge, macs)
        return len(used)

    def _probe_plain(self) -> int:
        """An inside device without a bridge: XDP leaves no mark, so its counters have to do."""
        if not self._plain:
            return 0
        forwarded = sum(row.get("FORWARD", 0) for row in self._dataplane.counters().values())
        busy = forwarded != self._forwarded
        self._forwarded = forwarded
        if busy:
            for ifindex in self._plain:
                self._use(ifindex, None)
        return int(busy)

    def _use(self, ifindex: int, macs: set[bytes] | None) -> None:
        """Has the kernel ask those neighbours that it is not sure of; macs None: all."""
        for neighbour in self._netlink.neighbours(ifindex):
            stale = neighbour.state & NUD_STALE and not neighbour.state & NUD_REACHABLE
            if stale and (macs is None or neighbour.mac in macs):
                self._netlink.probe(NextHop(ifindex, neighbour.address))
