# SPDX-License-Identifier: GPL-2.0-or-later
"""What neighbours have sent, each of them by itself. Pure.

gobgpd would choose best paths. But its 3.10 compares each MAC route that enters its table with all
that are in there: ten thousand took twelve seconds of a processor, and four times as many sixteen
times that. So its import policy keeps what neighbours send out of the table (session_policy.py),
and what is to choose is chosen where it is known what is worth anything (remote.py, mobility.py).
"""

from ..model import IPAddress, RouteChange
from .keys import RouteKey, route_key


class Heard:
    """All neighbours' routes: what is said again is no news, and with a session all of it goes."""

    def __init__(self) -> None:
        self._said: dict[IPAddress, dict[RouteKey, RouteChange]] = {}

    def take(self, change: RouteChange) -> RouteChange | None:
        """None: nothing is new. Our own routes are not kept here."""
        if change.peer is None:
            return change
        key = route_key(change.route)
        said = self._said.setdefault(change.peer, {})
        if change.withdrawn:
            return change if said.pop(key, None) else None
        if said.get(key) == change:
            return None
        said[key] = change
        return change

    def lost(self, peer: IPAddress) -> list[RouteChange]:
        """What is withdrawn with the end of a neighbour's session."""
        said = self._said.pop(peer, {})
        return [RouteChange(change.route, withdrawn=True, peer=peer) for change in said.values()]
