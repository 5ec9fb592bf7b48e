# SPDX-License-Identifier: GPL-2.0-or-later
"""Stations that go all at once, as their port goes down. Pure.

A withdrawal each takes ten thousand of them many seconds, at both ends. EVPN has a word for all
stations of an Ethernet segment (RFC 7432 section 8.2), but single-homed ones are in none, and other
VTEPs expect more of who is in one. So the word is a community of our type-3 route, with the route
distinguisher that stations of a VNI have for themselves (keys.py): whoever does not know it goes by
the withdrawals, which follow.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from ..model import EvpnRoute, FloodRoute, MacRoute

MASS_MIN = 512
"""Fewer are withdrawn one by one, in one message to gobgpd."""
LEFT_MAX = 10
"""Percent, of those that go: more that stay are not worth being said again."""


@dataclass(frozen=True, slots=True)
class Mass:
    """All that there is by one route distinguisher."""

    rd: str
    routes: tuple[EvpnRoute, ...]
    """That go."""
    flood: FloodRoute | None = None
    """Of the same VNI, to say it with."""
    again: tuple[EvpnRoute, ...] = ()
    """What is to be said after that."""


def masses(
    removed: Iterable[EvpnRoute], wanted: Iterable[EvpnRoute]
) -> tuple[list[Mass], list[EvpnRoute]]:
    """What of `removed` goes as a mass, and the rest of it; `wanted` is walked if need be."""
    by_rd: defaultdict[str, list[EvpnRoute]] = defaultdict(list)
    rest: list[EvpnRoute] = []
    for route in removed:
        (by_rd[route.rd] if isinstance(route, MacRoute) else rest).append(route)
    few = [rd for rd, routes in by_rd.items() if len(routes) < MASS_MIN]
    for rd in few:
        rest += by_rd.pop(rd)
    if not by_rd:
        return [], rest
    left: defaultdict[str, list[EvpnRoute]] = defaultdict(list)
    floods: dict[int, FloodRoute] = {}
    for route in wanted:
        if isinstance(route, FloodRoute):
            floods[route.vni] = route
        if route.rd in by_rd:
            left[route.rd].append(route)
    found = []
    for rd, routes in by_rd.items():
        mass = _mass(rd, routes, left[rd], floods)
        if mass:
            found.append(mass)
        else:
            rest += routes
    return found, rest


def _mass(
    rd: str, routes: list[EvpnRoute], left: list[EvpnRoute], floods: dict[int, FloodRoute]
) -> Mass | None:
    if not all(isinstance(route, MacRoute) for route in left):
        return None
    if len(left) * 100 > len(routes) * LEFT_MAX:
        return None
    flood = floods.get(routes[0].vni)
    again = (flood, *left) if flood else tuple(left)
    return Mass(rd, tuple(routes), flood, again)
