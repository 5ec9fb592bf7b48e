# SPDX-License-Identifier: GPL-2.0-or-later
"""What neighbours have sent, and which of it counts. Pure.

gobgpd would choose best paths itself. But its 3.10 compares each MAC route that enters its table
with all that are in there: ten thousand took twelve seconds of a processor, and four times as many
sixteen times that. So its import policy keeps what neighbours send out of the table
(session_policy.py), and the little that is to choose is chosen here.
"""

from ..model import IPAddress, RouteChange
from .keys import RouteKey, route_key


class Heard:
    """All neighbours' routes. A route that several neighbours send, who reflect it, counts as the
    first of them has it, for as long as that one has it."""

    def __init__(self) -> None:
        self._best: dict[RouteKey, RouteChange] = {}
        self._spare: dict[RouteKey, dict[IPAddress, RouteChange]] = {}

    def take(self, change: RouteChange) -> RouteChange | None:
        """What a neighbour's change changes on the whole. Our own routes are not kept here."""
        if change.peer is None:
            return change
        key = route_key(change.route)
        best = self._best.get(key)
        if change.withdrawn:
            return self._withdraw(key, best, change)
        if best is None or best.peer == change.peer:
            self._best[key] = change
            return None if best == change else change
        self._spare.setdefault(key, {})[change.peer] = change
        return None

    def _withdraw(
        self, key: RouteKey, best: RouteChange | None, change: RouteChange
    ) -> RouteChange | None:
        spare = self._spare.get(key, {})
        if best is None or best.peer != change.peer:
            if change.peer is not None:
                spare.pop(change.peer, None)
            return None
        if not spare:
            self._spare.pop(key, None)
            del self._best[key]
            return change
        peer, following = next(iter(spare.items()))
        del spare[peer]
        self._best[key] = following
        return following

    def lost(self, peer: IPAddress) -> list[RouteChange]:
        """What changes with the end of a neighbour's session."""
        for spare in self._spare.values():
            spare.pop(peer, None)
        gone = [change.route for change in self._best.values() if change.peer == peer]
        changes = (self.take(RouteChange(route, withdrawn=True, peer=peer)) for route in gone)
        return [change for change in changes if change]
