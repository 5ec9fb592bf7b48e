# SPDX-License-Identifier: GPL-2.0-or-later
"""What neighbours have sent, each of them by itself. Pure.

gobgpd would choose best paths. But its 3.10 compares each MAC route that enters its table with all
that are in there: ten thousand took twelve seconds of a processor, and four times as many sixteen
times that. So its import policy keeps what neighbours send out of the table (session_policy.py),
and what is to choose is chosen where it is known what is worth anything (remote.py, mobility.py).
"""

from itertools import takewhile

from ..model import EvpnRoute, IPAddress, MacRoute, RouteChange
from .keys import RouteKey, route_key

_Said = dict[RouteKey, RouteChange]


class Heard:
    """All neighbours' routes: what is said again is no news, and with a session all of it goes."""

    def __init__(self) -> None:
        self._said: dict[IPAddress, dict[str, _Said]] = {}
        """By neighbour and route distinguisher."""

    def take(self, change: RouteChange) -> RouteChange | None:
        """None: nothing is new. Our own routes are not kept here."""
        peer, key, rd = change.peer, route_key(change.route), change.route.rd
        if peer is None:
            return change
        if change.withdrawn:
            return change if self._forget(peer, rd, key) else None
        said = self._said.setdefault(peer, {}).setdefault(rd, {})
        if said.get(key) == change:
            return None
        said[key] = change
        return change

    def _forget(self, peer: IPAddress, rd: str, key: RouteKey) -> bool:
        """Whether it was there."""
        by_rd = self._said.get(peer, {})
        said = by_rd.get(rd, {})
        if said.pop(key, None) is None:
            return False
        if not said:
            del by_rd[rd]
        return True

    def emptied(self, peer: IPAddress, rd: str, vtep: IPAddress) -> list[RouteChange]:
        """What is withdrawn when this VTEP has no stations any more by that route distinguisher.

        Somebody else's are not touched: with the first that is not this VTEP's, looking ends, so
        that saying this takes no more time than saying the routes did. What comes after that one,
        as in the middle of a change of address, goes as it is withdrawn.
        """
        said = self._said.get(peer, {}).get(rd, {})
        found = list(takewhile(lambda one: _is_station(one.route, vtep), said.values()))
        for change in found:
            self._forget(peer, rd, route_key(change.route))
        return [RouteChange(change.route, withdrawn=True, peer=peer) for change in found]

    def lost(self, peer: IPAddress) -> list[RouteChange]:
        """What is withdrawn with the end of a neighbour's session."""
        return [
            RouteChange(change.route, withdrawn=True, peer=peer)
            for said in self._said.pop(peer, {}).values()
            for change in said.values()
        ]


def _is_station(route: EvpnRoute, vtep: IPAddress) -> bool:
    return isinstance(route, MacRoute) and route.next_hop == vtep
