# SPDX-License-Identifier: GPL-2.0-or-later
"""Stations that go all at once, as their port goes down. Pure.

A withdrawal each takes ten thousand of them many seconds, at both ends. EVPN has a word for all
stations of an Ethernet segment (RFC 7432 section 8.2), but single-homed ones are in none, and other
VTEPs expect more of who is in one. So the word is a community of our type-3 route, with the route
distinguisher that stations of a VNI have for themselves (keys.py): whoever does not know it goes by
the withdrawals, which follow.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from ..model import EvpnRoute, FloodRoute, MacRoute

MASS_MIN = 512
"""Fewer are withdrawn one by one, in one message to gobgpd."""


@dataclass(frozen=True, slots=True)
class Mass:
    """All that there is by one route distinguisher."""

    rd: str
    routes: tuple[MacRoute, ...]
    """That go."""
    flood: FloodRoute | None = None
    """Of the same VNI, to say it with."""


def masses(
    removed: Iterable[EvpnRoute], wanted: Collection[EvpnRoute]
) -> tuple[list[Mass], list[EvpnRoute]]:
    """What of `removed` goes as a mass, and the rest of it; `wanted` is walked if need be.

    With a mass goes what stays by the same route distinguisher, and has to be said again. If that
    is more than what goes, it is not worth it.
    """
    by_rd: defaultdict[str, list[MacRoute]] = defaultdict(list)
    rest: list[EvpnRoute] = []
    for route in removed:
        if isinstance(route, MacRoute):
            by_rd[route.rd].append(route)
        else:
            rest.append(route)
    found: list[Mass] = []
    for rd, routes in by_rd.items():
        if len(routes) >= MASS_MIN and _is_worth_it(rd, len(routes), wanted):
            found.append(Mass(rd, tuple(routes), _flood(routes[0].vni, wanted)))
        else:
            rest += routes
    return found, rest


def _is_worth_it(rd: str, count: int, wanted: Iterable[EvpnRoute]) -> bool:
    stay = [route for route in wanted if route.rd == rd]
    return len(stay) <= count and all(isinstance(route, MacRoute) for route in stay)


def _flood(vni: int, wanted: Iterable[EvpnRoute]) -> FloodRoute | None:
    floods = (route for route in wanted if isinstance(route, FloodRoute) and route.vni == vni)
    return next(floods, None)


def again(found: Collection[Mass], wanted: Iterable[EvpnRoute]) -> list[EvpnRoute]:
    """What is to be announced after them: type 3 without the word, and what stays."""
    rds = {mass.rd for mass in found}
    vnis = {mass.flood.vni for mass in found if mass.flood}
    return [
        route
        for route in wanted
        if route.rd in rds or (isinstance(route, FloodRoute) and route.vni in vnis)
    ]
