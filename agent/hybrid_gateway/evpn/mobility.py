# SPDX-License-Identifier: GPL-2.0-or-later
"""Who has a station: MAC mobility and duplicate detection (RFC 7432 sections 7.7, 15). Pure.

All VTEPs come to the same owner, as all rank the same claims in the same order.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum

from ..model import IPAddress, MacRoute
from .entries import LocalStation
from .keys import ClaimKey

MOVES_MAX = 5
MOVES_SECONDS = 180.0
"""So many moves in so many seconds make a duplicate (RFC 7432 section 15.1)."""
FREEZE_SECONDS = 540.0
"""A duplicate is looked at again after that, unless the owner says so earlier."""
SEQUENCE_MAX = 0xFFFFFFFF

Rank = tuple[bool, int, int, int]


class Owner(Enum):
    """Where a station is."""

    NOBODY = 0
    HERE = 1
    AWAY = 2
    """Behind the VTEP of the best route."""


@dataclass(slots=True)
class Station:
    """One MAC address of one VNI, with all that is claimed of it."""

    local: LocalStation | None = None
    """As the kernel has it, as long as no other VTEP has a better claim."""
    sequence: int | None = None
    """Of our claim; None: there is none yet."""
    remembered: int | None = None
    """The sequence that an agent before this one announced."""
    routes: dict[ClaimKey, MacRoute] = field(default_factory=dict)
    owner: Owner = Owner.NOBODY
    best: MacRoute | None = None
    """Of `routes`."""
    since: float = 0.0
    """When it came to its owner, of the clock that decisions are given."""
    moves: tuple[float, ...] = ()
    """The latest; as there may be 50 k stations, and few move, nothing bigger."""
    until: float | None = None
    """A duplicate, until then."""
    conflict: bool = False
    """It was learned here, or put here by hand, though another VTEP says that it never moves."""

    @property
    def empty(self) -> bool:
        """Nothing is known that would be missed."""
        return not (self.local or self.routes or self.until or self.moves) and (
            self.remembered is None
        )


def rank(sticky: bool, sequence: int, vtep: IPAddress) -> Rank:
    """The least one wins: what never moves, then the latest move, then the lowest VTEP."""
    return not sticky, 0 if sticky else -sequence, vtep.version, int(vtep)


def rank_of(route: MacRoute) -> Rank:
    return rank(route.sticky, route.sequence, route.next_hop)


def best_of(routes: Iterable[MacRoute]) -> MacRoute | None:
    return min(routes, key=rank_of, default=None)


def claim(station: Station) -> None:
    """Numbers our claim: above whatever the other VTEPs say, for the kernel saw it here last."""
    if station.remembered is not None:
        station.sequence = station.remembered
        station.remembered = None
    else:
        highest = max((route.sequence for route in station.routes.values()), default=-1)
        station.sequence = min(highest + 1, SEQUENCE_MAX)


def judge(station: Station, vtep: IPAddress | None, now: float) -> bool:
    """Finds the owner anew. True: it has moved once too often, and is a duplicate from now on.

    A claim of ours that loses is given up, so that only news from the kernel makes another one.
    A duplicate stays where the kernel has it, which is here: it came, or was about to leave.
    """
    station.best = best_of(station.routes.values())
    before, station.owner = station.owner, _owner(station, vtep)
    if station.owner is not before:
        station.since = now
        if Owner.NOBODY not in (before, station.owner):
            station.moves = (*station.moves[1 - MOVES_MAX :], now)
            if _too_often(station, now):
                station.owner = Owner.HERE
                return True
    if station.owner is Owner.AWAY and station.local and not station.local.static:
        station.local = station.sequence = None
    return False


def _owner(station: Station, vtep: IPAddress | None) -> Owner:
    local, best = station.local, station.best
    station.conflict = bool(
        best and best.sticky and (station.conflict or (local and station.sequence is not None))
    )
    if not local:
        return Owner.AWAY if best else Owner.NOBODY
    if not best or station.sequence is None or vtep is None:
        return Owner.HERE
    ours = rank(local.static, station.sequence, vtep)
    return Owner.HERE if ours <= rank_of(best) else Owner.AWAY


def _too_often(station: Station, now: float) -> bool:
    if len(station.moves) < MOVES_MAX or station.moves[0] <= now - MOVES_SECONDS:
        return False
    station.until = now + FREEZE_SECONDS
    return True


def release(station: Station) -> None:
    """No duplicate any more: a station that the kernel still has here is claimed anew."""
    station.until = station.sequence = None
    station.moves = ()


def forget_moves(station: Station, now: float) -> None:
    """Those that are too long ago to count."""
    if station.moves and station.moves[0] <= now - MOVES_SECONDS:
        station.moves = tuple(move for move in station.moves if move > now - MOVES_SECONDS)
