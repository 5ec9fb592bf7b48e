# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether a neighbour that went away is expected back: its daemon died, or its site did. Pure.

gobgpd does graceful restart (RFC 4724) for neighbours that are to keep our routes. Of theirs, it
does not say which it keeps, nor why a session ended, and many do not offer to restart gracefully.
What it counts tells as much. A session that either side ended in good order has a NOTIFICATION,
also one whose hold time was over. If there was none, and the neighbour was heard a moment ago, the
end of its TCP connection did it, and whatever forwards there still does.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from ..model import IPAddress, PeerState, SessionState

ALIVE = 2 / 3
"""Of the hold time: keepalives come three times as often."""
JITTER_SECONDS = 0.5
"""Between two clocks: gobgpd goes by another one, in whole seconds."""


@dataclass(slots=True)
class _Heard:
    began: float
    """The session, as `now`."""
    notifications: int
    """As they were at first in this session: the one that ends it counts before it has ended."""
    messages: int
    when: float
    hold_time: float
    expected: bool | None = None
    """Since it went away; None: it is there."""


class Pulse:
    """Of all neighbours; has to look at them a few times in a hold time."""

    def __init__(self) -> None:
        self._heard: dict[IPAddress, _Heard] = {}

    def look(self, peers: Iterable[PeerState], now: float) -> frozenset[IPAddress]:
        """Those that are away and expected back. Once that is said of one, it stays."""
        return frozenset(peer.address for peer in peers if self._expected(peer, now))

    def _expected(self, peer: PeerState, now: float) -> bool:
        if peer.state is SessionState.ESTABLISHED:
            self._hear(peer, now)
            return False
        heard = self._heard.get(peer.address)
        if heard is None:
            return False
        if heard.expected is None:
            silent = now - heard.when
            alive = heard.hold_time == 0 or silent < heard.hold_time * ALIVE
            ended = bool(peer.reason) or peer.notifications != heard.notifications
            heard.expected = alive and not ended
        return heard.expected

    def _hear(self, peer: PeerState, now: float) -> None:
        heard = self._heard.get(peer.address)
        began = now - peer.since
        if heard is None or heard.expected is not None or began > heard.began + JITTER_SECONDS:
            self._heard[peer.address] = _Heard(
                began, peer.notifications, peer.messages, now, peer.hold_time
            )
        elif heard.messages != peer.messages:
            heard.messages, heard.when, heard.hold_time = peer.messages, now, peer.hold_time
