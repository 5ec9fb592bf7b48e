# SPDX-License-Identifier: GPL-2.0-or-later
"""Which VNIs there are, by what names they are announced, and where routes belong. Pure."""

from ..model import Evpn, EvpnRoute, IPAddress, PrefixRoute
from .domain import Domain
from .entries import KernelEntry
from .keys import ClaimKey, distinguishers, route_key, target
from .ledger import Ledger
from .prefixes import RoutingTable
from .refusals import Refusals
from .remote import RemoteRoutes, Update
from .underlay import Underlay
from .wanted import EvpnSegment, EvpnTable, EvpnWanted

ROOM_SECONDS = 10.0
"""Between two looks for room, as all routes of a VNI are looked at."""


class Members:
    """All VNIs of one gateway, and what is known of them."""

    def __init__(self) -> None:
        self.routes: Ledger[EvpnRoute] = Ledger(route_key)
        """What the BGP daemon should announce."""
        self.entries: Ledger[KernelEntry] = Ledger(lambda entry: entry.key)
        """What the kernel should have."""
        self.domains: dict[int, Domain] = {}
        self.tables: dict[int, RoutingTable] = {}
        self.underlay = Underlay()
        self.remote = RemoteRoutes(self.underlay)
        self.refusals = Refusals()
        self._own: frozenset[IPAddress] = frozenset()
        self._room_due = 0.0

    def follow(self, wanted: EvpnWanted | None) -> None:
        """None: there is no section, and nothing is to be left of what there was."""
        section = wanted.section if wanted else None
        segments: dict[int, EvpnSegment] = {}
        for segment in wanted.segments if wanted else ():
            segments.setdefault(segment.segment.vni, segment)
        tables = {table.vni: table for table in wanted.tables} if wanted else {}
        neighbors = section.neighbors if section else ()
        addresses = {one.address for one in neighbors}
        self.underlay.follow(addresses)
        self.refusals.forget(self.remote.limits.keys() - addresses)
        self.remote.limits = {one.address: one.routes_max for one in neighbors}
        own = frozenset(s.segment.local for s in segments.values() if s.segment.local)
        own |= wanted.addresses if wanted else frozenset()
        if own != self._own:
            self._own = own
            for update in list(self.remote.recheck(own)):
                self._update(update)
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
                self._add(key, route)

    def _follow_table(
        self, vni: int, wanted: EvpnTable | None, segment: EvpnSegment | None
    ) -> None:
        table = self._table(vni)
        if not table.follow(wanted, segment):
            return
        for key, route in list(self.remote.of_vni(vni).items()):
            if isinstance(route, PrefixRoute):
                table.remove(key, route)
                self._add(key, route)

    def _domain(self, vni: int) -> Domain:
        found = self.domains.get(vni)
        if found is None:
            found = self.domains[vni] = Domain(vni, self.routes, self.entries, self.refusals)
        return found

    def _table(self, vni: int) -> RoutingTable:
        found = self.tables.get(vni)
        if found is None:
            found = self.tables[vni] = RoutingTable(
                vni, self.routes, self.entries, self.underlay, self.refusals
            )
        return found

    def _update(self, update: Update) -> None:
        if update.reason:
            self.refusals.add(update.key[0], update.reason)
        if update.old is not None:
            self._remove(update.key, update.old)
        if update.new is not None:
            self._add(update.key, update.new)

    def _remove(self, key: ClaimKey, route: EvpnRoute) -> None:
        if isinstance(route, PrefixRoute):
            if route.vni in self.tables:
                self.tables[route.vni].remove(key, route)
        elif route.vni in self.domains:
            self.domains[route.vni].remove(key, route)

    def _add(self, key: ClaimKey, route: EvpnRoute) -> None:
        """Where it belongs, if that is here; a VNI that comes later gets its routes then."""
        if isinstance(route, PrefixRoute):
            table = self.tables.get(route.vni)
            if table and not self._refused(key, table.objection(key, route)):
                table.add(key, route)
            return
        domain = self.domains.get(route.vni)
        if domain and domain.segment and not self._refused(key, domain.objection(key, route)):
            domain.add(key, route)

    def _look_for_room(self, now: float) -> None:
        """What was left out for a limit is taken when there is room: whoever took all of it may
        have gone."""
        if now < self._room_due:
            return
        self._room_due = now + ROOM_SECONDS
        for vni, domain in self.domains.items():
            if not domain.left_out:
                continue
            domain.left_out = False
            for key, route in list(self.remote.of_vni(vni).items()):
                if isinstance(route, PrefixRoute) or domain.has(key, route) or not domain.segment:
                    continue
                if not domain.objection(key, route):
                    domain.add(key, route)

    def _refused(self, key: ClaimKey, reason: str) -> bool:
        if reason:
            self.refusals.add(key[0], reason)
        return bool(reason)
