# SPDX-License-Identifier: GPL-2.0-or-later
"""One routing instance: type-5 routes in and out (RFC 9136 section 4.4.1). Pure."""

from collections import defaultdict

from ..model import EvpnRoute, IPNetwork, PrefixRoute, RouteTarget
from .entries import KernelEntry, PrefixEntry
from .keys import ClaimKey, RouteKey, route_key
from .ledger import Ledger
from .wanted import EvpnSegment, EvpnTable


class RoutingTable:
    """The IP-VRF of one L3 VNI, interface-less: packets go from router's MAC to router's MAC."""

    def __init__(self, vni: int, routes: Ledger[EvpnRoute], entries: Ledger[KernelEntry]) -> None:
        self.vni = vni
        self.segment: EvpnSegment | None = None
        """Of the L3 VNI; None: nothing comes in or goes out."""
        self.rd = ""
        self.targets: tuple[RouteTarget, ...] = ()
        self.learned: defaultdict[IPNetwork, dict[ClaimKey, PrefixRoute]] = defaultdict(dict)
        self.said: dict[RouteKey, PrefixRoute] = {}
        self._routes = routes
        self._entries = entries
        self._table: EvpnTable | None = None
        self._dirty: set[IPNetwork] = set()
        self._dirty_own = False

    def follow(self, table: EvpnTable | None, segment: EvpnSegment | None) -> bool:
        """What was in another table before is taken back. False: all is as it was."""
        if (table, segment) == (self._table, self.segment):
            return False
        if self._table and (table is None or table.table != self._table.table):
            for prefix in self.learned:
                self._entries.want(self._key(prefix), None)
        self._table, self.segment = table, segment
        self.refresh()
        return True

    def refresh(self) -> None:
        self._dirty |= self.learned.keys()
        self._dirty_own = True

    def objection(self, route: PrefixRoute) -> str:
        """Why this table does not take it; empty: it does."""
        if self.segment is None:
            return ""
        if route.next_hop.version != self.segment.segment.family:
            return "a VTEP of the other address family"
        if route.router_mac == self.segment.mac:
            return "our bridge's MAC address"
        return ""

    def add(self, key: ClaimKey, route: PrefixRoute) -> None:
        """One that nothing speaks against; in place of what had the same key."""
        self.learned[route.prefix][key] = route
        self._dirty.add(route.prefix)

    def remove(self, key: ClaimKey, route: PrefixRoute) -> None:
        routes = self.learned[route.prefix]
        routes.pop(key, None)
        if not routes:
            del self.learned[route.prefix]
        self._dirty.add(route.prefix)

    def best(self, prefix: IPNetwork) -> PrefixRoute | None:
        """Of several VTEPs that reach it, the one with the lowest address."""
        routes = self.learned.get(prefix, {}).values()
        return min(routes, key=lambda route: (int(route.next_hop), route.router_mac), default=None)

    def flush(self) -> None:
        """Says what the kernel and the BGP daemon should have of what changed."""
        prefixes, self._dirty = self._dirty, set()
        for prefix in prefixes:
            if self._table:
                self._entries.want(self._key(prefix), self._entry(prefix))
        if self._dirty_own:
            self._dirty_own = False
            self._announce()

    def _key(self, prefix: IPNetwork) -> tuple[str, int, IPNetwork]:
        assert self._table
        return "prefix", self._table.table, prefix

    def _entry(self, prefix: IPNetwork) -> PrefixEntry | None:
        route = self.best(prefix)
        assert self._table
        # A route that the owner put there is the better one: it would be announced as well.
        if route is None or self.segment is None or prefix in self._table.present:
            return None
        table = self._table.table
        return PrefixEntry(prefix, self.vni, route.next_hop, route.router_mac, table)

    def _announce(self) -> None:
        said = {route_key(route): route for route in self._own()}
        for key in self.said.keys() - said.keys():
            self._routes.want(key, None)
        for key, route in said.items():
            self._routes.want(key, route)
        self.said = said

    def _own(self) -> list[PrefixRoute]:
        if not (self._table and self.segment and self.segment.up and self.segment.segment.local):
            return []
        vtep, mac = self.segment.segment.local, self.segment.mac
        return [
            PrefixRoute(self.rd, prefix, self.vni, vtep, self.targets, None, mac)
            for prefix in self._table.present
        ]
