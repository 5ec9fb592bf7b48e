# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads the data path's events on the agent's loop, and gives them to whoever is configured.

Whatever comes faster than it can be written is lost and counted: neither forwarding nor the API
ever waits for a log.
"""

import asyncio
import logging
import time
from itertools import islice
from typing import Any

from ..bpf import DataPlane
from ..errors import GwError
from ..model import NatLog
from .collector import Collector, ExportCounts
from .event import EVENT, clock_offset
from .journal import Journal, LineCounts
from .lines import MAPPINGS, SESSIONS, count_of, lines
from .rate import Allowance, Meter
from .ring import CAPACITY, SLICE, Ring, map_id

log = logging.getLogger(__name__)

GATHER_SECONDS = 0.01
"""From the first event to the reading: the data path wakes us once, not for each event."""
LINES_PER_SECOND = 2000
LINES_BURST = 4000
"""Of the journal, which takes some ten times that at best; a collector gets everything."""


class SessionLog:
    """Off until `follow` says otherwise; then without a thread, and asleep while nothing happens.

    All methods have to be called on the agent's loop, unless nothing was ever followed.
    """

    def __init__(self, dataplane: DataPlane) -> None:
        self._dataplane = dataplane
        dataplane.after_slice = self._drain
        self._wanted = NatLog()
        self._ring: Ring | None = None
        self._journal: Journal | None = None
        self._collector: Collector | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._allowance = Allowance(LINES_PER_SECOND, LINES_BURST)
        self._meter = Meter()
        self._lines = LineCounts()
        self._exports = ExportCounts()
        self._strange = 0

    # ---- on and off -------------------------------------------------------------------

    @property
    def on(self) -> bool:
        return bool(self._wanted.sessions or self._wanted.mappings or self._wanted.ipfix)

    def follow(self, wanted: NatLog) -> None:
        """Does as the configuration says, over the maps that are loaded now."""
        if wanted != self._wanted:
            self._drain()
            self._close_outputs()
            self._wanted = wanted
            self._open_outputs()
        self.renew()

    def renew(self) -> None:
        """After maps were loaded: what the old ring still has is read, then the new one."""
        try:
            found = self._dataplane.log_ring() if self.on else None
            if self._ring and (found is None or map_id(found) != self._ring.map_id):
                self._drain()
                self._close_ring()
            if self._ring is None and found is not None:
                self._ring = Ring(found)
                self._read()
        except GwError as error:
            # Forwarding is the gateway's task; `show log` tells that nothing is read.
            log.error("the log of sessions: %s", error)

    def stop(self) -> None:
        """The data path goes on filling the ring; the next agent finds there what fits."""
        self._close_ring()
        self._close_outputs()
        self._wanted = NatLog()

    def _open_outputs(self) -> None:
        wanted = self._wanted
        if wanted.sessions or wanted.mappings:
            self._journal = Journal(asyncio.get_running_loop(), self._lines)
        if wanted.ipfix:
            counts, destinations = self._exports, wanted.destinations
            self._collector = Collector(wanted.ipfix, counts, destinations=destinations)

    def _close_outputs(self) -> None:
        if self._journal:
            self._journal.close()
        if self._collector:
            self._collector.close()
        self._journal = self._collector = None

    def _close_ring(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if self._ring:
            asyncio.get_running_loop().remove_reader(self._ring.fileno)
            self._strange += self._ring.strange
            self._ring.close()
            self._ring = None

    # ---- events -----------------------------------------------------------------------

    def _sleep(self, seconds: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, self._read)

    def _woken(self) -> None:
        """There are events; more of them are about to come."""
        assert self._ring
        asyncio.get_running_loop().remove_reader(self._ring.fileno)
        self._sleep(GATHER_SECONDS)

    def _read(self) -> None:
        """One slice; while there is more, the others on the loop have as much time as it took."""
        self._timer = None
        if self._ring is None:
            return
        begun = time.monotonic()
        try:
            count = self._slice(self._ring)
        except GwError as error:
            log.error("the log of sessions: %s", error)
            self._close_ring()
            return
        if count == 0:
            asyncio.get_running_loop().add_reader(self._ring.fileno, self._woken)
        else:
            full = count == SLICE
            self._sleep(time.monotonic() - begun if full else GATHER_SECONDS)

    def _drain(self) -> None:
        """What is in the ring now; bounded, for the data path may fill it as fast."""
        left = CAPACITY
        while self._ring and left > 0 and (count := self._slice(self._ring)):
            left -= count

    def _slice(self, ring: Ring) -> int:
        """Reads and hands on; returns how many events there were."""
        events = ring.read()
        count = len(events) // EVENT.size
        self._meter.add(count)
        if count and self._collector:
            self._collector.export(events)
        if count and self._journal:
            self._to_journal(self._journal, events)
        return count

    def _to_journal(self, journal: Journal, events: memoryview) -> None:
        kinds: frozenset[int] = frozenset()
        if self._wanted.sessions:
            kinds |= SESSIONS
        if self._wanted.mappings:
            kinds |= MAPPINGS
        count = count_of(events, kinds)
        allowed = self._allowance.take(count)
        self._lines.limited += count - allowed
        found = lines(events, clock_offset(), kinds, destinations=self._wanted.destinations)
        journal.write(islice(found, allowed))

    # ---- what came of it --------------------------------------------------------------

    def stats(self) -> dict[str, Any]:
        """Since the agent started; `rate` is in events a second, lately."""
        journal, collector = self._journal, self._collector
        return {
            "enabled": self.on,
            "reading": self._ring is not None,
            "events": self._meter.total,
            "rate": round(self._meter.rate(), 1),
            "unknown": self._strange + (self._ring.strange if self._ring else 0),
            "journal": journal.place if journal else None,
            "lines": self._lines,
            "collector": "{}:{}".format(*collector.address) if collector else None,
            "export": self._exports,
        }
