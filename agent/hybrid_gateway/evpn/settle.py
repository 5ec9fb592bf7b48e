# SPDX-License-Identifier: GPL-2.0-or-later
"""When what was known from before may be forgotten, if nobody said it again. Pure.

The daemon's first answers are not all: it may have begun anew itself, and its neighbours tell
what they have only after their sessions are up.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from ..model import IPAddress, PeerState, SessionState

QUIET_SECONDS = 2.0
"""A neighbour that does not mark the end of what it had (End-of-RIB) is taken to have come to it
when for so long nothing more came."""
SURE_SECONDS = 20.0
"""That takes to tell all, even if changes never end."""
LAG_SECONDS = 0.5
"""That what the daemon has from its neighbours may take to us."""


@dataclass(slots=True)
class Settling:
    """One session with the daemon, from its beginning."""

    began: float
    patience: float
    """Seconds; a neighbour that is not back by then has lost its routes (RFC 4724 section 4.2)."""
    told: bool = False
    """The daemon has told all that it had."""
    heard: float = 0.0
    """When a route came last."""
    settled: bool = False
    """No neighbour has anything more from before."""

    def returned(self, peers: Iterable[PeerState], now: float) -> frozenset[IPAddress]:
        """The neighbours that are there and have said all."""
        return frozenset(peer.address for peer in peers if self._finished(peer, now))

    def finished(self, peers: Iterable[PeerState], now: float) -> frozenset[IPAddress] | None:
        """The neighbours that have said all; None: all of them have, or had their time."""
        if not self.told:
            return frozenset()
        listed = list(peers)
        done = self.returned(listed, now)
        self.settled = self.settled or (
            len(done) == len(listed) or now >= self.began + self.patience
        )
        return None if self.settled else done

    def _finished(self, peer: PeerState, now: float) -> bool:
        if peer.state is not SessionState.ESTABLISHED:
            return False
        if peer.complete and now >= self.heard + LAG_SECONDS:
            return True
        quiet = peer.since >= QUIET_SECONDS and now >= self.heard + QUIET_SECONDS
        return quiet or peer.since >= SURE_SECONDS
