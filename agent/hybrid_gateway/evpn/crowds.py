# SPDX-License-Identifier: GPL-2.0-or-later
"""How many routes of the same thing one neighbour may send. Pure."""

from collections.abc import Collection

from ..model import IPAddress, IPNetwork
from .keys import ClaimKey

SAME_ROUTES_MAX = 1024
"""Routes of one MAC address, IP address or prefix that a neighbour may send: a reflector has one
for each address of a station, and one of each VTEP for what all of them have. With each change all
of them are looked at."""

Thing = bytes | IPAddress | IPNetwork


class Crowds:
    """A limit of each neighbour's, lest one of them keep the others' out."""

    def __init__(self) -> None:
        self._full: set[tuple[IPAddress, Thing]] = set()
        """Neighbours that may not send more of that, as far as it was asked."""

    def full(self, peer: IPAddress, what: Thing, routes: Collection[ClaimKey]) -> bool:
        """Whether the neighbour may not send one more; `routes`: all that there are of it."""
        if len(routes) < SAME_ROUTES_MAX:
            return False
        found = (peer, what) in self._full or (
            sum(one[0] is peer or one[0] == peer for one in routes) >= SAME_ROUTES_MAX
        )
        if found:
            self._full.add((peer, what))
        return found

    def left(self, peer: IPAddress, *what: Thing | None) -> None:
        """One that it had sent of each of these is there no more."""
        if self._full:
            self._full -= {(peer, one) for one in what if one is not None}
