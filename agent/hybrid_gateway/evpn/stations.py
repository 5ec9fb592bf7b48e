# SPDX-License-Identifier: GPL-2.0-or-later
"""What the kernel and other VTEPs say of one VNI: its stations and their addresses. Pure."""

from collections import Counter, defaultdict
from collections.abc import Collection

from ..model import EvpnRoute, FloodRoute, IPAddress, MacRoute, RouteTarget
from .crowds import Crowds
from .entries import KernelEntry, LocalBinding, LocalStation
from .flooding import FloodList
from .keys import ClaimKey, mac_key, stations_of
from .ledger import Ledger
from .local import ADDRESSES_MAX, LocalBindings
from .mobility import Station
from .refusals import Refusals
from .wanted import EvpnSegment

MACS_MAX = 60_000
"""Stations of one VNI, of this side and of the others each."""
MACS_OF_ONE = 52_500
"""Of the others', that one neighbour may send: it leaves room for what the next one has."""


def _of(peer: IPAddress, routes: Collection[ClaimKey]) -> int:
    """How many of them a neighbour sent."""
    return sum(one[0] is peer or one[0] == peer for one in routes)


class Known:
    """What is known of one VNI; marks what has to be looked at because of it."""

    def __init__(
        self,
        vni: int,
        routes: Ledger[EvpnRoute],
        entries: Ledger[KernelEntry],
        refusals: Refusals,
    ) -> None:
        self.vni = vni
        self.segment: EvpnSegment | None = None
        self.rd = ""
        self.targets: tuple[RouteTarget, ...] = ()
        self.stations: dict[bytes, Station] = {}
        self.floods = FloodList(vni, routes, entries)
        self.alerts: list[str] = []
        self.remote_macs = 0
        """Stations that have a route of another VTEP."""
        self._macs_of: Counter[IPAddress] = Counter()
        """And of each neighbour."""
        self._routes = routes
        self._entries = entries
        self._refusals = refusals
        self.bindings = LocalBindings()
        self._remote_addresses: defaultdict[IPAddress, dict[ClaimKey, MacRoute]]
        self._remote_addresses = defaultdict(dict)
        self._here: set[bytes] = set()
        """Stations on this side."""
        self._waiting: dict[bytes, LocalStation] = {}
        """More of them, for which there is no room."""
        self.left_out = False
        """Of other VTEPs' routes, some may find room one day."""
        self._crowds = Crowds()
        self._dirty_macs: set[bytes] = set()
        self._dirty_addresses: set[IPAddress] = set()
        self._timers: dict[bytes, float] = {}
        """When stations have to be looked at again though nothing happens to them."""

    @property
    def vtep(self) -> IPAddress | None:
        return self.segment.segment.local if self.segment else None

    @property
    def announcing(self) -> bool:
        return bool(self.segment and self.segment.up and self.vtep)

    def refresh(self) -> None:
        """Everything is looked at again: the segment is another one, or its names are."""
        self._dirty_macs |= self.stations.keys()
        self._dirty_addresses |= self._remote_addresses.keys()
        self._dirty_addresses |= {fact.address for fact in self.bindings}
        self.floods.dirty = True

    # ---- from the kernel ----------------------------------------------------------------

    def local_station(self, fact: LocalStation, gone: bool) -> None:
        self._waiting.pop(fact.mac, None)
        if not gone and fact.mac not in self._here:
            if len(self._here) >= MACS_MAX:
                self._waiting[fact.mac] = fact
                self._refusals.add(None, f"more than {MACS_MAX} stations here of one VNI")
                return
            self._here.add(fact.mac)
        station = self._station(fact.mac)
        if gone:
            self._here.discard(fact.mac)
            station.local = station.sequence = None
        else:
            if station.local and station.local.static != fact.static:
                station.sequence = None
            station.local = fact
        self._dirty_macs.add(fact.mac)

    def _let_in(self) -> None:
        """Those that wait for a place that others have left."""
        while self._waiting and len(self._here) < MACS_MAX:
            self.local_station(next(iter(self._waiting.values())), False)

    def local_binding(self, fact: LocalBinding, gone: bool) -> None:
        before = self.bindings.remove(fact.address) if gone else self.bindings.add(fact)
        if not (before or gone) and fact.address not in self.bindings.of(fact.mac):
            self._refusals.add(None, f"more than {ADDRESSES_MAX} addresses of a station here")
        if before and (before.mac != fact.mac or gone):
            self._announce_address(before.mac, fact.address, None)
        self._dirty_addresses.add(fact.address)
        # One more may have a place now among those of its station that are announced.
        self._dirty_macs.add((before or fact).mac)

    def forget_local(self) -> None:
        """The segment left: the kernel tells all of it again when it returns."""
        self._here.clear()
        self._waiting.clear()
        for station in self.stations.values():
            station.local = station.sequence = None
        for fact in self.bindings:
            self.local_binding(fact, True)
        self.refresh()

    # ---- from other VTEPs ---------------------------------------------------------------

    def objection(self, key: ClaimKey, route: MacRoute | FloodRoute) -> str:
        """Why this segment does not take it; empty: it does. For what is left out only because
        there is no room, `left_out` is set."""
        if self.segment is None:
            return ""
        if route.next_hop.version != self.segment.segment.family:
            return "a VTEP of the other address family"
        if isinstance(route, MacRoute):
            if route.mac == self.segment.mac:
                return "our bridge's MAC address"
            if route.address in self.segment.addresses:
                return "our bridge's address"
        limit = self._limit(key, route)
        self.left_out = self.left_out or bool(limit)
        return limit

    def _limit(self, key: ClaimKey, route: MacRoute | FloodRoute) -> str:
        if isinstance(route, FloodRoute):
            return self.floods.objection(key, route)
        station = self.stations.get(route.mac)
        there = station.routes if station else {}
        if self.remote_macs >= MACS_MAX and not there:
            return "more MAC addresses than a VNI may have"
        if self._macs_of[key[0]] >= MACS_OF_ONE and not _of(key[0], there):
            return "more MAC addresses of a VNI than it may send"
        if self._crowds.full(key[0], route.mac, there):
            return "more routes of one MAC address than it may send"
        address = route.address
        known = self._remote_addresses.get(address, {}) if address else {}
        if address and self._crowds.full(key[0], address, known):
            return "more routes of one IP address than it may send"
        return ""

    def has(self, key: ClaimKey, route: MacRoute | FloodRoute) -> bool:
        if isinstance(route, FloodRoute):
            return key in self.floods
        station = self.stations.get(route.mac)
        return bool(station and key in station.routes)

    def add(self, key: ClaimKey, route: MacRoute | FloodRoute) -> None:
        """One that nothing speaks against; in place of what had the same key."""
        if isinstance(route, FloodRoute):
            self.floods.add(key, route)
            return
        station = self._station(route.mac)
        self.remote_macs += not station.routes
        self._macs_of[key[0]] += not _of(key[0], station.routes)
        station.routes[key] = route
        if route.address is not None:
            self._remote_addresses[route.address][key] = route
            self._dirty_addresses.add(route.address)
        self._dirty_macs.add(route.mac)

    def remove(self, key: ClaimKey, route: MacRoute | FloodRoute) -> None:
        if isinstance(route, FloodRoute):
            self.floods.remove(key)
            return
        station = self.stations.get(route.mac)
        if station is None or station.routes.pop(key, None) is None:
            return
        self.remote_macs -= not station.routes
        self._macs_of[key[0]] -= not _of(key[0], station.routes)
        self._crowds.left(key[0], route.mac, route.address)
        if route.address is not None:
            self._remote_addresses[route.address].pop(key, None)
            if not self._remote_addresses[route.address]:
                del self._remote_addresses[route.address]
            self._dirty_addresses.add(route.address)
        self._dirty_macs.add(route.mac)

    # ---- from before --------------------------------------------------------------------

    def remember(self, route: MacRoute) -> None:
        """What an agent before this one announced: its sequence goes on."""
        station = self._station(route.mac)
        station.remembered = max(route.sequence, station.remembered or 0)
        self._dirty_macs.add(route.mac)

    def forget_remembered(self) -> None:
        for mac, station in self.stations.items():
            if station.remembered is not None:
                station.remembered = None
                self._dirty_macs.add(mac)

    def _station(self, mac: bytes) -> Station:
        found = self.stations.get(mac)
        if found is None:
            found = self.stations[mac] = Station()
        return found

    def _announce_address(self, mac: bytes, address: IPAddress, route: MacRoute | None) -> None:
        self._routes.want(mac_key(stations_of(self.rd), mac, address), route)
