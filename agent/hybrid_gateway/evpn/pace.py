# SPDX-License-Identifier: GPL-2.0-or-later
"""Which neighbours say more than can be heard: gobgpd keeps what was not fetched yet, and has no
limit to that. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ..model import EVPN_ROUTES_MAX, IPAddress, PeerState

MESSAGES_A_SECOND = 1000.0
"""That may go on for ever; about four times as many can be heard."""
MESSAGES_AT_ONCE = 10_000
"""And so many more, with two for each route that a neighbour may send."""


@dataclass(frozen=True, slots=True)
class _Said:
    messages: int
    when: float
    level: float = 0.0
    """Of messages, less what may go on for ever."""


class Pace:
    """Of all neighbours; looks at what the daemon counts."""

    def __init__(self) -> None:
        self._said: dict[IPAddress, _Said] = {}

    def look(
        self, peers: Iterable[PeerState], limits: Mapping[IPAddress, int], now: float
    ) -> frozenset[IPAddress]:
        """Those that said too much; said once."""
        fast: set[IPAddress] = set()
        before, self._said = self._said, {}
        for peer in peers:
            said = _next(before.get(peer.address), peer, now)
            limit = limits.get(peer.address, EVPN_ROUTES_MAX)
            if said.level > MESSAGES_AT_ONCE + 2 * limit:
                fast.add(peer.address)
                said = _Said(peer.messages, now)
            self._said[peer.address] = said
        return frozenset(fast)


def _next(before: _Said | None, peer: PeerState, now: float) -> _Said:
    if before is None:
        return _Said(peer.messages, now)
    gone = MESSAGES_A_SECOND * (now - before.when)
    # A session that is another one counts from the beginning.
    more = peer.messages - before.messages
    more = peer.messages if more < 0 else more
    return _Said(peer.messages, now, max(0.0, before.level + more - gone))
