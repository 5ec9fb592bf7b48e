# SPDX-License-Identifier: GPL-2.0-or-later
"""Routes that other VTEPs announce: which of them make sense, who sent them, how many. Pure."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from ..model import (
    EVPN_ROUTES_MAX,
    EvpnRoute,
    IPAddress,
    IPNetwork,
    MacRoute,
    PrefixRoute,
    RouteChange,
)
from .keys import ClaimKey, route_key
from .underlay import Underlay

VNI_MAX = 0xFFFFFF
VNI_MASK = VNI_MAX
"""The low bits of a route target's number; there may be more above (RFC 8365 section 5.1.2.1)."""
LIMIT = "more routes than it may send"


def objection(route: EvpnRoute, own: frozenset[IPAddress]) -> str:
    """Why nobody could use this route; empty: it makes sense."""
    if not 0 < route.vni <= VNI_MAX:
        return "VNI out of range"
    if route.vni not in {target.number & VNI_MASK for target in route.targets}:
        return "no route target for its VNI"
    if route.next_hop in own:
        return "our own address as its VTEP"
    if not _vtep(route.next_hop):
        return "a VTEP that is no unicast address"
    if isinstance(route, MacRoute):
        return _mac_objection(route)
    if isinstance(route, PrefixRoute):
        return _prefix_objection(route)
    return ""


@lru_cache(maxsize=4096)
def _vtep(address: IPAddress) -> bool:
    return _unicast(address) and not address.is_link_local


def _unicast(address: IPAddress) -> bool:
    broadcast = address.version == 4 and int(address) >> 28 == 0xF
    return not (address.is_multicast or address.is_unspecified or address.is_loopback or broadcast)


def station_address(mac: bytes) -> bool:
    """Whether a single station can have it: neither zero nor of a group."""
    return len(mac) == 6 and any(mac) and not mac[0] & 1


def _mac_objection(route: MacRoute) -> str:
    if not station_address(route.mac):
        return "a MAC address that no station has"
    if route.address is not None and not _unicast(route.address):
        return "an address that no station has"
    return ""


def _prefix_objection(route: PrefixRoute) -> str:
    if not station_address(route.router_mac):
        return "no router's MAC address"
    if not _routable(route.prefix):
        return "a prefix that is not routed"
    return ""


def _routable(prefix: IPNetwork) -> bool:
    first = prefix.network_address
    if prefix.prefixlen == 0:
        return True
    return not first.is_link_local and (_unicast(first) or first.is_unspecified)


@dataclass(slots=True)
class Held:
    """One route of one neighbour."""

    route: EvpnRoute
    stale: bool = False
    """It was said before whoever said it had to begin anew."""


@dataclass(frozen=True, slots=True)
class Update:
    """What a change came to: the route that the neighbour had until now, and the one it has."""

    key: ClaimKey
    old: EvpnRoute | None = None
    new: EvpnRoute | None = None
    reason: str = ""
    """Why there is no new one, though one was announced."""


class RemoteRoutes:
    """All that makes sense, also of VNIs that are not here: they may come to be."""

    def __init__(self, underlay: Underlay) -> None:
        self._underlay = underlay
        self._held: dict[ClaimKey, Held] = {}
        self._counts: Counter[IPAddress] = Counter()
        self._by_vni: defaultdict[int, dict[ClaimKey, EvpnRoute]] = defaultdict(dict)
        self._limited: set[IPAddress] = set()
        self.limits: Mapping[IPAddress, int] = {}

    def of_vni(self, vni: int) -> Mapping[ClaimKey, EvpnRoute]:
        return self._by_vni.get(vni, {})

    def count(self, peer: IPAddress) -> int:
        return self._counts[peer]

    def take(self, peer: IPAddress, change: RouteChange, own: frozenset[IPAddress]) -> Update:
        """One change of another's routes."""
        key = peer, route_key(change.route)
        reason = "" if change.withdrawn else objection(change.route, own)
        if not (change.withdrawn or reason) and self._full(key):
            reason = LIMIT
        old = self._drop(key)
        if change.withdrawn or reason:
            return Update(key, old, None, reason)
        self._held[key] = Held(change.route)
        self._underlay.take(change.route.next_hop)
        self._counts[peer] += 1
        self._by_vni[change.route.vni][key] = change.route
        return Update(key, old, change.route)

    def _full(self, key: ClaimKey) -> bool:
        peer, _ = key
        if self._counts[peer] < self.limits.get(peer, EVPN_ROUTES_MAX) or key in self._held:
            return False
        self._limited.add(peer)
        return True

    def _drop(self, key: ClaimKey) -> EvpnRoute | None:
        held = self._held.pop(key, None)
        if held is None:
            return None
        self._counts[key[0]] -= 1
        self._underlay.release(held.route.next_hop)
        routes = self._by_vni[held.route.vni]
        del routes[key]
        if not routes:
            del self._by_vni[held.route.vni]
        return held.route

    def over_limit(self) -> frozenset[IPAddress]:
        """Neighbours that sent more than they may since this was asked last."""
        found = frozenset(self._limited)
        self._limited.clear()
        return found

    def doubt_all(self) -> None:
        """The daemon tells everything from the beginning."""
        for held in self._held.values():
            held.stale = True
        self._limited.clear()

    def doubt(self, key: ClaimKey) -> None:
        """Whoever said it is away, and expected back; until then it counts as ever."""
        held = self._held.get(key)
        if held:
            held.stale = True

    def sweep(self, peers: frozenset[IPAddress] | None) -> Iterator[Update]:
        """Forgets what was not said again: of these neighbours, or (None) of all."""
        gone = [
            key
            for key, held in self._held.items()
            if held.stale and (peers is None or key[0] in peers)
        ]
        for key in gone:
            yield Update(key, self._drop(key))

    def recheck(self, own: frozenset[IPAddress]) -> Iterator[Update]:
        """Forgets routes that make no sense any more, since our addresses are others."""
        for key, held in list(self._held.items()):
            if reason := objection(held.route, own):
                yield Update(key, self._drop(key), None, reason)
