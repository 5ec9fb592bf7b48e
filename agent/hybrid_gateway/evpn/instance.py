# SPDX-License-Identifier: GPL-2.0-or-later
"""The EVPN speaker's mind: what it is told goes in, routes and kernel entries come out. Pure.

It neither sends nor reads anything and has no clock. Whatever order things are told in, it
comes to the same: each decision goes by what is known at the moment, and what was done before is
compared with what should be.
"""

from collections.abc import Collection, Iterable

from ..model import (
    EvpnRoute,
    IPAddress,
    MacRoute,
    PeerState,
    RouteChange,
    RouteRefused,
)
from .entries import LocalChange, LocalStation
from .keys import route_key
from .mass import Mass, again
from .members import Members
from .settle import Settling


class EvpnInstance(Members):
    """What a speaker thinks."""

    def __init__(self) -> None:
        super().__init__()
        self.alerts: list[str] = []
        """For the log, not fetched yet."""
        self.ready = False
        """The daemon has told what others announce, once at least."""
        self._synced = False
        self._settling: Settling | None = None
        self._swept = False
        self._claiming = False
        """What is here has been numbered by what others claim."""
        self._absent: dict[IPAddress, float] = {}
        """Neighbours that are expected back, and until when."""
        self._unsaid: list[EvpnRoute] = []

    # ---- from the agent -----------------------------------------------------------------

    def clear(self, vni: int | None, mac: bytes | None) -> int:
        """Releases duplicates; how many."""
        found = self.domains.values() if vni is None else filter(None, [self.domains.get(vni)])
        return sum(domain.clear(mac) for domain in found)

    # ---- from the kernel ----------------------------------------------------------------

    def local(self, change: LocalChange) -> None:
        """News of stations and addresses on this side. That a station is there, which had been
        found to be elsewhere, means that it came back."""
        domain = self.domains.get(change.fact.vni)
        if domain is None or domain.segment is None:
            return
        if isinstance(change.fact, LocalStation):
            domain.local_station(change.fact, change.gone)
        else:
            domain.local_binding(change.fact, change.gone)

    def synced(self) -> None:
        """The kernel has told all that it had."""
        self._synced = True

    def kernel_lost(self) -> None:
        """Whoever writes to the kernel begins anew, and tells all that there is again."""
        self._synced = False
        self.entries.lost()
        for domain in self.domains.values():
            domain.forget_local()

    # ---- from the BGP daemon ------------------------------------------------------------

    def begin(self, now: float, patience: float) -> None:
        """The daemon is about to tell all that it has, of ours as well."""
        self.remote.doubt_all()
        self.routes.lost()
        self._settling = Settling(now, patience)
        self._absent.clear()
        self._swept = False

    def heard(
        self,
        news: RouteChange | RouteRefused,
        now: float,
        absent: frozenset[IPAddress] = frozenset(),
    ) -> None:
        """`absent`: neighbours whose daemon went away and is expected back (RFC 4724). What is
        withdrawn for that stays until they have said all again, or had their time."""
        if isinstance(news, RouteRefused):
            self.refusals.add(news.peer, news.reason)
        elif news.peer is None:
            self._own_route(news)
        else:
            if self._settling:
                self._settling.heard = now
                if news.withdrawn and news.peer in absent:
                    self._absent.setdefault(news.peer, now + self._settling.patience)
                    self.remote.doubt((news.peer, route_key(news.route)))
                    return
            self._update(self.remote.take(news.peer, news, self._own))

    def _own_route(self, news: RouteChange) -> None:
        """Until the daemon has told all, what it says of ours is from an agent before this one."""
        route = news.route
        if news.withdrawn or self._settling is None:
            return
        if not self._settling.told:
            self.routes.found(route)
            if isinstance(route, MacRoute) and not self.ready:
                self._domain(route.vni).remember(route)
        elif isinstance(route, MacRoute) and route.vni in self.domains:
            self.domains[route.vni].raised(route)

    def end_of_state(self, now: float) -> None:
        if self._settling:
            self._settling.told = True
            self._settling.heard = now
        self.ready = True

    def refused(self, routes: Iterable[tuple[EvpnRoute, str]]) -> None:
        """The daemon does not announce these; they are tried again by and by."""
        for route, reason in routes:
            self.refusals.add(None, reason)
            self._unsaid.append(route)

    def retry(self) -> None:
        """What was refused is tried again, if it is wanted still."""
        for route in self._unsaid:
            self.routes.failed(route)
        self._unsaid.clear()

    def emptied(self, found: Collection[Mass]) -> list[EvpnRoute]:
        """The daemon withdrew these, and all else by their route distinguishers: what is to be
        announced after that."""
        rds = {mass.rd for mass in found}
        self.routes.vanished(lambda route: route.rd in rds)
        return again(found, self.routes)

    @property
    def told(self) -> bool:
        """The daemon has told all that it had, so that the difference to that can be said."""
        return self._settling is not None and self._settling.told

    @property
    def announced(self) -> int:
        """How many routes the daemon has of ours, which it sends to every neighbour."""
        return self.routes.done - len(self._unsaid)

    @property
    def settled(self) -> bool:
        """Nothing is kept any more that was known from before and was not said again."""
        return self._swept

    def settle(self, peers: Iterable[PeerState], now: float) -> bool:
        """Forgets what was known from before and was not said again.

        True: all has settled, and what the kernel has of ours that is not in `entries` may go.
        """
        settling = self._settling
        if settling is None or not self._synced or not settling.told:
            return self._swept
        if self._swept:
            self._forget(self._returned(settling.returned(peers, now), now))
            return True
        finished = settling.finished(peers, now)
        self._forget(finished)
        self.flush(now)
        self.routes.sweep()
        if finished is None:
            for domain in self.domains.values():
                domain.forget_remembered()
            self.flush(now)
            self._swept = True
        return self._swept

    def _returned(self, there: frozenset[IPAddress], now: float) -> frozenset[IPAddress]:
        found = frozenset(peer for peer, end in self._absent.items() if peer in there or end <= now)
        for peer in found:
            del self._absent[peer]
        return found

    def _forget(self, peers: frozenset[IPAddress] | None) -> None:
        for update in list(self.remote.sweep(peers)):
            self._update(update)

    # ---- decisions ----------------------------------------------------------------------

    def flush(self, now: float) -> None:
        """Brings `routes` and `entries` up to date with what is known.

        Not before the kernel has told all, lest a station that is here be written elsewhere.
        """
        if not self._synced:
            return
        self._look_for_room(now)
        claiming = self.ready and not self._claiming
        self._claiming = self.ready
        for domain in self.domains.values():
            if claiming:
                domain.refresh()
            domain.flush(now, self.ready)
            self.alerts += domain.alerts
            domain.alerts.clear()
        changed = self.underlay.changes()
        for table in self.tables.values():
            table.look_at(changed)
            table.flush()
        self.alerts += self.refusals.warnings
        self.refusals.warnings.clear()
