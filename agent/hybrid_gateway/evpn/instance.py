# SPDX-License-Identifier: GPL-2.0-or-later
"""The EVPN speaker's mind: what it is told goes in, routes and kernel entries come out. Pure.

It neither sends nor reads anything and has no clock. Whatever order things are told in, it
comes to the same: each decision goes by what is known at the moment, and what was done before is
compared with what should be.
"""

from collections.abc import Iterable

from ..model import (
    Evpn,
    EvpnRoute,
    IPAddress,
    MacRoute,
    PeerState,
    PrefixRoute,
    RouteChange,
    RouteRefused,
)
from .domain import Domain
from .entries import KernelEntry, LocalChange, LocalStation
from .keys import RouteKey, distinguishers, route_key, target
from .ledger import Ledger
from .prefixes import RoutingTable
from .remote import Refusals, RemoteRoutes, Update
from .settle import Settling
from .wanted import EvpnSegment, EvpnTable, EvpnWanted


class EvpnInstance:
    """All VNIs of one gateway."""

    def __init__(self) -> None:
        self.routes: Ledger[EvpnRoute] = Ledger(route_key)
        """What the BGP daemon should announce."""
        self.entries: Ledger[KernelEntry] = Ledger(lambda entry: entry.key)
        """What the kernel should have."""
        self.domains: dict[int, Domain] = {}
        self.tables: dict[int, RoutingTable] = {}
        self.remote = RemoteRoutes()
        self.refusals = Refusals()
        self.alerts: list[str] = []
        """For the log, not fetched yet."""
        self.ready = False
        """The daemon has told what others announce, once at least."""
        self._own: frozenset[IPAddress] = frozenset()
        self._names: tuple[object, ...] = ()
        self._synced = False
        self._settling: Settling | None = None
        self._swept = False
        self._claiming = False
        """What is here has been numbered by what others claim."""
        self._unsaid: list[EvpnRoute] = []

    # ---- from the agent -----------------------------------------------------------------

    def follow(self, wanted: EvpnWanted | None) -> None:
        """None: there is no section, and nothing is to be left of what there was."""
        section = wanted.section if wanted else None
        segments: dict[int, EvpnSegment] = {}
        for segment in wanted.segments if wanted else ():
            segments.setdefault(segment.segment.vni, segment)
        tables = {table.vni: table for table in wanted.tables} if wanted else {}
        neighbors = section.neighbors if section else ()
        self.remote.limits = {one.address: one.routes_max for one in neighbors}
        own = frozenset(s.segment.local for s in segments.values() if s.segment.local)
        if own != self._own:
            self._own = own
            for update in list(self.remote.recheck(own)):
                self._update(update, None)
        self._name(section, segments, set(tables))
        for vni in self.domains.keys() | segments.keys():
            self._follow_domain(vni, segments.get(vni))
        for vni in self.tables.keys() | tables.keys():
            self._follow_table(vni, tables.get(vni), segments.get(vni))

    def _name(
        self, section: Evpn | None, segments: dict[int, EvpnSegment], tables: set[int]
    ) -> None:
        """Route distinguishers and targets; what was announced by other names is taken back."""
        if section is None or section.router_id is None:
            return
        vnis = segments.keys() | tables
        names = distinguishers(section.router_id, vnis)
        known: list[Domain | RoutingTable] = [self._domain(vni) for vni in segments]
        known += [self._table(vni) for vni in tables]
        changed = False
        for one in known:
            targets = (target(section.asn, one.vni),)
            if (one.rd, one.targets) != (names[one.vni], targets):
                changed = changed or bool(one.rd)
                one.rd, one.targets = names[one.vni], targets
        if changed:
            self.routes.want_nothing()
            for domain in self.domains.values():
                domain.refresh()
            for table in self.tables.values():
                table.refresh()

    def _follow_domain(self, vni: int, segment: EvpnSegment | None) -> None:
        domain = self._domain(vni)
        before = domain.segment
        if segment == before:
            return
        domain.segment = segment
        domain.refresh()
        if segment is None or (before and before.place != segment.place):
            domain.forget_local()
        # What the segment before took this one may refuse, and the other way round.
        for key, route in list(self.remote.of_vni(vni).items()):
            if not isinstance(route, PrefixRoute):
                domain.remove(key, route)
                self._add(key, route, None)

    def _follow_table(
        self, vni: int, wanted: EvpnTable | None, segment: EvpnSegment | None
    ) -> None:
        table = self._table(vni)
        if not table.follow(wanted, segment):
            return
        for key, route in list(self.remote.of_vni(vni).items()):
            if isinstance(route, PrefixRoute):
                table.remove(key, route)
                self._add(key, route, None)

    def clear(self, vni: int | None, mac: bytes | None) -> int:
        """Releases duplicates; how many."""
        found = self.domains.values() if vni is None else filter(None, [self.domains.get(vni)])
        return sum(domain.clear(mac) for domain in found)

    # ---- from the kernel ----------------------------------------------------------------

    def local(self, change: LocalChange) -> None:
        """ "It is there" of a station that was there already is news: it spoke here again."""
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
        self.remote.new_era()
        self.routes.lost()
        self._settling = Settling(now, patience)
        self._swept = False

    def heard(self, news: RouteChange | RouteRefused, now: float) -> None:
        if isinstance(news, RouteRefused):
            self.refusals.add(news.peer, news.reason)
        elif news.peer is None:
            self._own_route(news)
        else:
            if self._settling:
                self._settling.heard = now
            self._update(self.remote.take(news, self._own), news.peer)

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

    @property
    def told(self) -> bool:
        """The daemon has told all that it had, so that the difference to that can be said."""
        return self._settling is not None and self._settling.told

    @property
    def settled(self) -> bool:
        """Nothing is kept any more that was known from before and was not said again."""
        return self._swept

    def settle(self, peers: Iterable[PeerState], now: float) -> bool:
        """Forgets what was known from before and was not said again.

        True: all has settled, and what the kernel has of ours that is not in `entries` may go.
        """
        settling = self._settling
        if settling is None or self._swept or not self._synced or not settling.told:
            return self._swept
        finished = settling.finished(peers, now)
        for update in list(self.remote.sweep(finished)):
            self._update(update, None)
        self.flush(now)
        self.routes.sweep()
        if finished is None:
            for domain in self.domains.values():
                domain.forget_remembered()
            self.flush(now)
            self._swept = True
        return self._swept

    # ---- decisions ----------------------------------------------------------------------

    def flush(self, now: float) -> None:
        """Brings `routes` and `entries` up to date with what is known.

        Not before the kernel has told all, lest a station that is here be written elsewhere.
        """
        if not self._synced:
            return
        claiming = self.ready and not self._claiming
        self._claiming = self.ready
        for domain in self.domains.values():
            if claiming:
                domain.refresh()
            domain.flush(now, self.ready)
            self.alerts += domain.alerts
            domain.alerts.clear()
        for table in self.tables.values():
            table.flush()
        self.alerts += self.refusals.warnings
        self.refusals.warnings.clear()

    def _domain(self, vni: int) -> Domain:
        found = self.domains.get(vni)
        if found is None:
            found = self.domains[vni] = Domain(vni, self.routes, self.entries)
        return found

    def _table(self, vni: int) -> RoutingTable:
        found = self.tables.get(vni)
        if found is None:
            found = self.tables[vni] = RoutingTable(vni, self.routes, self.entries)
        return found

    def _update(self, update: Update, peer: IPAddress | None) -> None:
        if update.reason:
            self.refusals.add(peer, update.reason)
        if update.old is not None:
            self._remove(update.key, update.old)
        if update.new is not None:
            self._add(update.key, update.new, peer)

    def _remove(self, key: RouteKey, route: EvpnRoute) -> None:
        if isinstance(route, PrefixRoute):
            if route.vni in self.tables:
                self.tables[route.vni].remove(key, route)
        elif route.vni in self.domains:
            self.domains[route.vni].remove(key, route)

    def _add(self, key: RouteKey, route: EvpnRoute, peer: IPAddress | None) -> None:
        """Where it belongs, if that is here; a VNI that comes later gets its routes then."""
        if isinstance(route, PrefixRoute):
            table = self.tables.get(route.vni)
            if table and not self._refused(table.objection(route), peer):
                table.add(key, route)
            return
        domain = self.domains.get(route.vni)
        if domain and domain.segment and not self._refused(domain.objection(route), peer):
            domain.add(key, route)

    def _refused(self, reason: str, peer: IPAddress | None) -> bool:
        if reason:
            self.refusals.add(peer, reason)
        return bool(reason)
