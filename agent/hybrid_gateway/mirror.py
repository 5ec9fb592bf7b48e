# SPDX-License-Identifier: GPL-2.0-or-later
"""Stations in XDP's tables, and what XDP uses in the kernel's eyes.

XDP finds a station behind a bridge in a copy of the FDB, and its MAC address in the kernel's
neighbour table; the kernel sees none of the frames and would let both entries age while they
are in use. So what XDP used lately is reported to the kernel as used, which then asks the
station; the answer, an ordinary frame, refreshes the FDB as well.
"""

import logging
import os
import select
import time
from collections.abc import Iterable

from .bpf import DataPlane
from .bpf.stations import Events, FdbMirror, Round
from .errors import GwError
from .model import IPAddress, NextHop, Segment, Stations
from .netlink import NUD_REACHABLE, NUD_STALE, Netlink

log = logging.getLogger(__name__)

PROBE_SECONDS = 15.0
IDLE_SECONDS = 60.0
"""Between looks while XDP uses nothing; an FDB entry lives for 300 s."""
FIRST_SECONDS = 5.0
"""At most so long until the first dump is over: a hundred thousand stations take a part of it."""
NEXT_SECONDS = 0.05
MESSAGES = 512
"""That one read takes: whatever else happens is not to wait behind a dump of all stations."""
IDLE = Round(0, 0, 0)
SENT_TO = frozenset({"fdb", "flood"})
"""Why a VTEP is one: who is merely listed may only send."""
MAPS = ("gw_fdb", "gw_tunnels", "gw_vteps", "gw_floods")


class Mirror:
    """Follows what the last `follow` named; nothing before."""

    def __init__(self, dataplane: DataPlane, netlink: Netlink) -> None:
        self._dataplane = dataplane
        self._netlink = netlink
        self.fdb: FdbMirror | None = None
        """None: nothing is followed."""
        self._maps: tuple[int, ...] = ()
        """Ids of the ones that it writes into."""
        self._stations = Stations()
        self._watched: frozenset[int] = frozenset()
        self._forwarded = 0
        self._events: Events | None = None
        self._poll = select.epoll()

    def fileno(self) -> int:
        """Readable while there is something to read, whatever is followed: one for always."""
        return self._poll.fileno()

    def close(self) -> None:
        self.stop()
        self._poll.close()

    def follow(self, stations: Stations) -> None:
        """Mirrors these from now on; the first time, what the kernel knows is there on return."""
        tables = [self._dataplane.table(name) for name in MAPS]
        maps = tuple(table.id() for table in tables)
        if self.fdb is None or maps != self._maps:
            self.stop()
            self.fdb, self._maps = FdbMirror(*(table.fd for table in tables)), maps
            self._poll.register(self.fdb.fileno, select.EPOLLIN)
            seconds = FIRST_SECONDS
        else:
            seconds = NEXT_SECONDS
        self.fdb.configure(stations)
        self.fdb.watch(self._watched)
        self._stations = stations
        self._note(self.fdb.settle(seconds))

    def stop(self) -> None:
        """What is in the maps stays there."""
        if self.fdb:
            self._poll.unregister(self.fdb.fileno)
            self.fdb.close()
        self.fdb, self._stations, self._events = None, Stations(), None

    def watch(self, ifindexes: Iterable[int]) -> None:
        """Devices whose neighbours count in `forgotten` when the kernel drops them."""
        watched = frozenset(ifindexes)
        if watched != self._watched and self.fdb:
            self.fdb.watch(watched)
        self._watched = watched

    # ---- what the kernel says ---------------------------------------------------------

    def read(self) -> None:
        """A part of what waits, for a few milliseconds; the rest when it is called again."""
        if self.fdb:
            self._note(self.fdb.read(MESSAGES))

    def refill(self) -> None:
        """The whole table anew."""
        if self.fdb:
            self.fdb.resync()

    def _note(self, events: Events) -> None:
        before, self._events = self._events, events
        if before and events.lost != before.lost:
            log.warning("the kernel dropped events about stations: they are read again")
        if events.refused and not (before and before.refused):
            log.warning("%s", self.warnings[0])
        if events.failed and not (before and before.failed):
            log.error("writing stations into the maps: %s", os.strerror(events.error))

    @property
    def warnings(self) -> tuple[str, ...]:
        if self._events is None or not self._events.refused:
            return ()
        return (f"no room for {self._events.refused} stations or VTEPs: they are the kernel's",)

    @property
    def serial(self) -> int:
        """Another one when the VTEPs of any segment changed."""
        return self._events.serial if self._events else 0

    @property
    def forgotten(self) -> int:
        """Neighbours of watched devices that the kernel dropped, since it all began."""
        return self._events.forgotten if self._events else 0

    def sources(self, ifindex: int, vni: int) -> tuple[IPAddress, ...]:
        """Who may send to a segment."""
        segment = self._segment(ifindex, vni)
        return tuple(self.fdb.allowed(segment)) if self.fdb and segment else ()

    def vteps(self) -> tuple[IPAddress, ...]:
        """Whom the segments send to; what XDP sends from may only follow from the ways there."""
        fdb = self.fdb
        if fdb is None:
            return ()
        found = {
            vtep.address: None
            for segment in self._stations.segments
            for vtep in fdb.vteps(segment)
            if SENT_TO.intersection(vtep.why)
        }
        return tuple(found)

    def _segment(self, ifindex: int, vni: int) -> Segment | None:
        for segment in self._stations.segments:
            if (segment.ifindex, segment.vni) == (ifindex, vni):
                return segment
        return None

    # ---- what XDP uses ----------------------------------------------------------------

    def probe(self) -> float:
        """Reports what XDP used; returns the seconds until the next time, 0 to go on at once."""
        try:
            since = time.clock_gettime(time.CLOCK_MONOTONIC) - IDLE_SECONDS - 1
            done = self.fdb.refresh(since) if self.fdb else IDLE
            if done is None:
                return 0.0
            busy = done.used + done.refreshed + self._probe_plain()
        except GwError as error:
            log.warning("probing neighbours: %s", error)
            busy = 0
        return min(PROBE_SECONDS if busy else IDLE_SECONDS, self.patience)

    @property
    def patience(self) -> float:
        """Seconds: within three of them a station that nobody reports as used is forgotten."""
        ages = [port.ageing for port in self._stations.ports]
        ages += [segment.ageing for segment in self._stations.segments]
        return min((age / 3 for age in ages if age), default=IDLE_SECONDS)

    def _probe_plain(self) -> int:
        """An inside device without a bridge: XDP leaves no mark, so its counters have to do."""
        if not self._stations.plain:
            return 0
        forwarded = sum(row.get("FORWARD", 0) for row in self._dataplane.counters().values())
        busy = forwarded != self._forwarded
        self._forwarded = forwarded
        if busy:
            for ifindex in self._stations.plain:
                self._use(ifindex)
        return int(busy)

    def _use(self, ifindex: int) -> None:
        """Has the kernel ask those neighbours that it is not sure of."""
        for neighbour in self._netlink.neighbours(ifindex):
            if neighbour.state & NUD_STALE and not neighbour.state & NUD_REACHABLE:
                self._netlink.probe(NextHop(ifindex, neighbour.address))
