# SPDX-License-Identifier: GPL-2.0-or-later
"""Turns what the kernel reports into the parts of the model that have to be looked at again."""

import asyncio
import logging
from collections.abc import Callable

from ..events import TC_BLOCK, forwarding_device, route_event, tc_device
from ..observe import Part
from ..rtnl import (
    RTM_DELADDR,
    RTM_DELQDISC,
    RTM_DELROUTE,
    RTM_DELRULE,
    RTM_DELTFILTER,
    RTM_DELTUNNEL,
    RTM_NEWADDR,
    RTM_NEWNETCONF,
    RTM_NEWQDISC,
    RTM_NEWROUTE,
    RTM_NEWRULE,
    RTM_NEWTFILTER,
    RTM_NEWTUNNEL,
    nftables_events,
    route_events,
)
from .engine import Engine
from .links import LINK_EVENTS

log = logging.getLogger(__name__)

SETTLE_SECONDS = 0.05
"""Events come in bursts: a device that appears is some ten of them."""
SENDERS_SECONDS = 0.2
"""Between two changes of the nftables sets, which take milliseconds each."""
REST_SECONDS = 0.5
"""At least so long between two looks, however fast events come."""
RETRY_SECONDS = 10.0
LOOPBACK = 1
"""The ifindex of lo, whose forwarding XDP hangs on; ip_forward changes it along."""
WITHDRAWING = LINK_EVENTS | {RTM_DELADDR, RTM_DELTUNNEL}
"""Events of which each may take away what XDP goes by."""
TC_EVENTS = frozenset({RTM_NEWQDISC, RTM_DELQDISC, RTM_NEWTFILTER, RTM_DELTFILTER})


class Follower:
    """Reads events on the loop and has the engine follow, a moment later, all at once."""

    def __init__(self, engine: Engine, loop: asyncio.AbstractEventLoop) -> None:
        self._engine = engine
        self._loop = loop
        self._routes = route_events()
        self._rules = nftables_events()
        self._dirty = Part(0)
        self._refill = False
        self._timer: asyncio.TimerHandle | None = None
        self._retry: asyncio.TimerHandle | None = None
        self._probe: asyncio.TimerHandle | None = None
        self._last = 0.0
        self._senders: asyncio.TimerHandle | None = None
        self._last_senders = 0.0

    def start(self) -> None:
        self._loop.add_reader(self._routes, self.attempt, self._on_routes)
        self._loop.add_reader(self._rules, self.attempt, self._on_rules)
        self._loop.add_reader(self._engine.mirror, self.attempt, self._on_stations)
        self.probe()
        self._retry_later()

    def stop(self) -> None:
        for timer in (self._timer, self._retry, self._probe, self._senders):
            if timer:
                timer.cancel()
        self._loop.remove_reader(self._engine.mirror)
        for events in (self._routes, self._rules):
            self._loop.remove_reader(events)
            events.close()

    def probe(self) -> None:
        """Now, and then as often as XDP's use of neighbours asks for."""
        self._probe = self._loop.call_later(RETRY_SECONDS, self.probe)
        self.attempt(self._probe_neighbours)

    def _probe_neighbours(self) -> None:
        # What is gone or moved by now would be made again, or moved back, by that.
        self._on_stations()
        self._probe_in(self._engine.mirror.probe())

    def _probe_in(self, delay: float) -> None:
        if self._probe:
            self._probe.cancel()
        self._probe = self._loop.call_later(delay, self.probe)

    def attempt(self, action: Callable[[], None]) -> None:
        """Runs it; whatever goes wrong is in the status, and everything is looked at again."""
        try:
            action()
        except Exception as error:  # noqa: BLE001 - see below
            # Broadly, as nowhere else but in cli and main: the loop would log it and forget it,
            # and the agent would follow nothing while its status says that all is well.
            self._engine.fail(error)
        self._retry_later()

    # ---- events -----------------------------------------------------------------------

    def _on_routes(self) -> None:
        messages, lost = self._routes.read()
        if lost:
            log.warning("the kernel dropped events: everything is read again")
            self._mark(Part.ALL, refill=True)
        links = [message for message in messages if message[0] in LINK_EVENTS]
        if links:
            self._mark(Part.ALL)
        if changes := [message for message in messages if message[0] in WITHDRAWING]:
            # Before all else, and without a rest: XDP forwards for what may be gone.
            self._engine.withdraw(changes)
        for kind, data in messages:
            if kind in (RTM_NEWTUNNEL, RTM_DELTUNNEL, RTM_NEWRULE, RTM_DELRULE):
                self._mark(Part.ALL)
            elif kind in (RTM_NEWADDR, RTM_DELADDR):
                self._mark(Part.ADDRESSES | Part.ROUTES)
            elif kind in (RTM_NEWROUTE, RTM_DELROUTE):
                if self._engine.concerned_by(route_event(data), kind == RTM_NEWROUTE):
                    self._mark(Part.ROUTES)
            elif kind == RTM_NEWNETCONF and forwarding_device(data) == LOOPBACK:
                self._mark(Part.ALL)
            elif kind in TC_EVENTS and tc_device(data) in {TC_BLOCK, *self._engine.devices()}:
                self._mark(Part.TC)

    def _on_stations(self) -> None:
        """The mirror has a socket of its own: there may be thousands of these a second."""
        mirror = self._engine.mirror
        forgotten, serial = mirror.forgotten, mirror.serial
        mirror.read()
        if mirror.forgotten != forgotten:
            # Only a next hop that the kernel dropped has to be managed anew.
            self._mark(Part.NEIGHBOURS)
        if mirror.serial != serial:
            self._vteps_changed()

    def _vteps_changed(self) -> None:
        """At once, but not for every one of thousands."""
        if self._senders is None:
            wait = max(0.0, self._last_senders + SENDERS_SECONDS - self._loop.time())
            self._senders = self._loop.call_later(wait, self.attempt, self._follow_senders)

    def _follow_senders(self) -> None:
        self._senders = None
        self._engine.follow_senders()
        self._last_senders = self._loop.time()
        self._mark(Part.VTEPS)

    def _on_rules(self) -> None:
        """Somebody changed nftables; our own changes come by here as well."""
        _, lost = self._rules.read()
        self._mark(Part.ALL if lost else Part.TABLE)

    # ---- following --------------------------------------------------------------------

    def _mark(self, parts: Part, *, refill: bool = False) -> None:
        self._dirty |= parts
        self._refill = self._refill or refill
        if self._timer is None:
            wait = max(SETTLE_SECONDS, self._last + REST_SECONDS - self._loop.time())
            self._timer = self._loop.call_later(wait, self.attempt, self._follow)

    def _follow(self) -> None:
        parts, refill = self._dirty, self._refill
        self._dirty, self._refill, self._timer = Part(0), False, None
        self._engine.reconcile(parts)
        if refill:
            self._engine.refill()
        self._last = self._loop.time()
        if self._probe and self._probe.when() > self._last + self._engine.mirror.patience:
            self._probe_in(self._engine.mirror.patience)  # stations age faster than they did
        self._retry_later()

    def _retry_later(self) -> None:
        if self._engine.error and self._retry is None:
            self._retry = self._loop.call_later(RETRY_SECONDS, self._again)

    def _again(self) -> None:
        self._retry = None
        self._mark(Part.ALL, refill=True)
