# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel's ways to VTEPs, asked for one by one and remembered: there may be thousands."""

import socket
from bisect import bisect_left
from collections.abc import Iterable

from .events import RouteEvent
from .model import IPAddress, VtepRoute
from .netlink import Netlink, family_of

ROUTES_MAX = 1024
"""VTEPs whose next hops are kept resolved: half a second of questions when all of them change.
To the others XDP sends too, and the kernel resolves their next hops as for anybody."""


class VtepRoutes:
    """Of the VTEPs that were asked for last."""

    def __init__(self, netlink: Netlink) -> None:
        self._netlink = netlink
        self._known: dict[IPAddress, VtepRoute] = {}

    def look(self, vteps: Iterable[IPAddress], *, anew: bool) -> tuple[VtepRoute, ...]:
        """The ways to these, at most ROUTES_MAX; without `anew` only new VTEPs are asked for."""
        before = {} if anew else self._known
        wanted = sorted(set(vteps), key=lambda one: (one.version, int(one)))[:ROUTES_MAX]
        self._known = {vtep: before.get(vtep) or self._ask(vtep) for vtep in wanted}
        return tuple(self._known.values())

    def _ask(self, vtep: IPAddress) -> VtepRoute:
        way = self._netlink.way(vtep)
        if way is None or way.local:
            return VtepRoute(vtep)
        return VtepRoute(vtep, way.ifindex, way.gateway, way.source)


BITS: dict[int, int] = {socket.AF_INET: 32, socket.AF_INET6: 128}


class VtepIndex:
    """Says of a route whether it is to any VTEP: a routing daemon has a million of them."""

    def __init__(self, routes: Iterable[VtepRoute]) -> None:
        self._known: dict[int, list[int]] = {family: [] for family in BITS}
        for route in sorted(routes, key=lambda route: int(route.vtep)):
            self._known[family_of(route.vtep)].append(int(route.vtep))

    def concerned_by(self, route: RouteEvent) -> bool:
        known, bits = self._known.get(route.family, []), BITS.get(route.family, 0)
        at = bisect_left(known, route.destination)
        return at < len(known) and known[at] < route.destination + (1 << (bits - route.length))
