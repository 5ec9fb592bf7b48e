# SPDX-License-Identifier: GPL-2.0-or-later
"""The flood list of one VNI: type-3 routes in and out (RFC 7432 section 11). Pure."""

from collections import Counter, defaultdict

from ..model import EvpnRoute, FloodRoute, IPAddress, RouteTarget
from .entries import FloodEntry, KernelEntry
from .keys import ClaimKey, route_key
from .ledger import Ledger

VTEPS_MAX = 512
"""In one flood list: each gets a copy of every frame that is for all."""
VTEPS_OF_ONE = 448
"""That one neighbour may send: it leaves room for what the next one has."""


class FloodList:
    """Who gets what is for all."""

    def __init__(self, vni: int, routes: Ledger[EvpnRoute], entries: Ledger[KernelEntry]) -> None:
        self._vni = vni
        self._routes = routes
        self._entries = entries
        self._learned: dict[ClaimKey, FloodRoute] = {}
        self._counts: Counter[IPAddress] = Counter()
        """Routes of each VTEP: a neighbour may send as many as it may send routes."""
        self._theirs: defaultdict[IPAddress, Counter[IPAddress]] = defaultdict(Counter)
        """And by neighbour."""
        self._flooded: set[IPAddress] = set()
        self._said: FloodRoute | None = None
        self.dirty = False

    @property
    def vteps(self) -> set[IPAddress]:
        return set(self._counts)

    def __contains__(self, key: ClaimKey) -> bool:
        return key in self._learned

    def objection(self, key: ClaimKey, route: FloodRoute) -> str:
        """Why it is not taken; empty: it is."""
        if len(self._counts) >= VTEPS_MAX and route.next_hop not in self._counts:
            return "more VTEPs than a VNI may have"
        theirs = self._theirs[key[0]]
        if len(theirs) >= VTEPS_OF_ONE and route.next_hop not in theirs:
            return "more VTEPs of a VNI than it may send"
        return ""

    def add(self, key: ClaimKey, route: FloodRoute) -> None:
        self.remove(key)
        self._learned[key] = route
        self._counts[route.next_hop] += 1
        self._theirs[key[0]][route.next_hop] += 1

    def remove(self, key: ClaimKey) -> None:
        self.dirty = True
        before = self._learned.pop(key, None)
        if before is None:
            return
        for counts in (self._counts, self._theirs[key[0]]):
            counts[before.next_hop] -= 1
            if not counts[before.next_hop]:
                del counts[before.next_hop]

    def flush(
        self, here: bool, vtep: IPAddress | None, rd: str, targets: tuple[RouteTarget, ...]
    ) -> None:
        """`here`: there is a segment; `vtep`: the address that it is announced with, if it is."""
        self.dirty = False
        wanted = self.vteps if here else set()
        for one in wanted | self._flooded:
            entry = FloodEntry(self._vni, one) if one in wanted else None
            self._entries.want(("flood", self._vni, one), entry)
        self._flooded = wanted
        said = FloodRoute(rd, vtep, self._vni, vtep, targets) if vtep else None
        if self._said and (said is None or route_key(said) != route_key(self._said)):
            self._routes.want(route_key(self._said), None)
        if said:
            self._routes.want(route_key(said), said)
        self._said = said
