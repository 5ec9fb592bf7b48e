# SPDX-License-Identifier: GPL-2.0-or-later
"""One routing instance: type-5 routes in and out (RFC 9136 section 4.4.1). Pure."""

from collections import defaultdict
from collections.abc import Iterable
from ipaddress import ip_network

from ..model import EvpnRoute, IPAddress, IPNetwork, PrefixRoute, RouteTarget
from .crowds import Crowds
from .entries import KernelEntry, PrefixEntry, Router
from .keys import ClaimKey, RouteKey, route_key
from .ledger import Ledger
from .refusals import Refusals
from .underlay import Underlay
from .wanted import MAIN_TABLE, EvpnSegment, EvpnTable

CUTS_OFF = "a prefix of the main table with a VTEP or a neighbor in it"

ROUTERS_MAX = 16
"""That packets to one prefix are spread over."""


def _order(route: PrefixRoute) -> tuple[int, bytes]:
    return int(route.next_hop), route.router_mac


class RoutingTable:
    """The IP-VRF of one L3 VNI, interface-less: packets go from router's MAC to router's MAC."""

    def __init__(
        self,
        vni: int,
        routes: Ledger[EvpnRoute],
        entries: Ledger[KernelEntry],
        underlay: Underlay,
        refusals: Refusals,
    ) -> None:
        self.vni = vni
        self.segment: EvpnSegment | None = None
        """Of the L3 VNI; None: nothing comes in or goes out."""
        self.rd = ""
        self.targets: tuple[RouteTarget, ...] = ()
        self.learned: defaultdict[IPNetwork, dict[ClaimKey, PrefixRoute]] = defaultdict(dict)
        self.said: dict[RouteKey, PrefixRoute] = {}
        self._routes = routes
        self._entries = entries
        self._underlay = underlay
        self._refusals = refusals
        self._crowds = Crowds()
        self._barred: set[IPNetwork] = set()
        """Prefixes that would cut this site off."""
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
        self._barred.clear()
        self.refresh()
        return True

    def refresh(self) -> None:
        self._dirty |= self.learned.keys()
        self._dirty_own = True

    def objection(self, key: ClaimKey, route: PrefixRoute) -> str:
        """Why this table does not take it; empty: it does."""
        if self._crowds.full(key[0], route.prefix, self.learned.get(route.prefix, {})):
            return "more routes of one prefix than it may send"
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
        if route.prefix in self._barred:
            self._refusals.add(key[0], CUTS_OFF)
        self._dirty.add(route.prefix)

    def remove(self, key: ClaimKey, route: PrefixRoute) -> None:
        routes = self.learned[route.prefix]
        if routes.pop(key, None) is not None:
            self._crowds.left(key[0], route.prefix)
        if not routes:
            del self.learned[route.prefix]
            self._barred.discard(route.prefix)
        self._dirty.add(route.prefix)

    def look_at(self, addresses: Iterable[IPAddress]) -> None:
        """Of sites, which came or went: prefixes around them are judged anew."""
        if self._table and self._table.table == MAIN_TABLE and self.learned:
            for address in addresses:
                self._dirty |= self._around(address)

    def _around(self, address: IPAddress) -> set[IPNetwork]:
        if len(self.learned) <= address.max_prefixlen:
            return {prefix for prefix in self.learned if address in prefix}
        around = (
            ip_network((address, length), strict=False)
            for length in range(1, address.max_prefixlen + 1)
        )
        return {prefix for prefix in around if prefix in self.learned}

    def _bar(self, prefix: IPNetwork) -> bool:
        """Whether it would cut this site off, which is counted for whoever says it."""
        assert self._table
        if self._table.table != MAIN_TABLE or not self._underlay.is_in(prefix):
            self._barred.discard(prefix)
            return False
        if prefix not in self._barred:
            self._barred.add(prefix)
            for peer, _ in self.learned[prefix]:
                self._refusals.add(peer, CUTS_OFF)
        return True

    def routers(self, prefix: IPNetwork) -> list[PrefixRoute]:
        """Those that it is reached by: of each VTEP one route, by address, and no two to the same
        router's MAC address, for the way to that is one."""
        if prefix in self._barred:
            return []
        found: list[PrefixRoute] = []
        vteps: set[IPAddress] = set()
        macs: set[bytes] = set()
        for route in sorted(self.learned.get(prefix, {}).values(), key=_order):
            if route.next_hop not in vteps and route.router_mac not in macs:
                found.append(route)
                vteps.add(route.next_hop)
                macs.add(route.router_mac)
        return found[:ROUTERS_MAX]

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
        assert self._table
        if prefix in self.learned and self._bar(prefix):
            return None
        routes = self.routers(prefix)
        # A route that the owner put there is the better one: it would be announced as well.
        if not routes or self.segment is None or prefix in self._table.present:
            return None
        first, *others = (Router(route.next_hop, route.router_mac) for route in routes)
        table = self._table.table
        return PrefixEntry(prefix, self.vni, first.vtep, first.mac, table, tuple(others))

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
