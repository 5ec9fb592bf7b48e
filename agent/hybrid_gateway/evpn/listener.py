# SPDX-License-Identifier: GPL-2.0-or-later
"""Hears what the BGP daemon tells, and finds out what its withdrawals mean."""

import logging
import queue
import threading
import time
from collections.abc import Callable

from ..errors import EvpnError
from ..model import IPAddress, PeerState, RouteChange, RouteEvent, SessionState
from .gobgp import GobgpClient
from .pulse import Pulse

log = logging.getLogger(__name__)

BATCH_MAX = 4096
"""Events that are handed over at once."""

Deliver = Callable[[list[RouteEvent], frozenset[IPAddress]], None]
"""Takes events, and the neighbours whose routes are withdrawn only because their daemon went."""


class Listener:
    """Of one session with the daemon; ends with it, when the client is closed."""

    def __init__(
        self, client: GobgpClient, deliver: Deliver, ended: Callable[[EvpnError], None]
    ) -> None:
        self._client = client
        self._deliver = deliver
        self._ended = ended
        self._pulse = Pulse()
        self._cut: dict[IPAddress, bool] = {}
        """Neighbours whose link went down, and whether their session has ended since."""
        self._lock = threading.Lock()
        self._said: queue.SimpleQueue[list[RouteEvent] | EvpnError] = queue.SimpleQueue()
        # One that only takes in what is told, as asking for neighbours takes longer than a route.
        self._threads = [
            threading.Thread(target=target, name=name, daemon=True)
            for target, name in ((self._watch, "evpn-watch"), (self._sort, "evpn-sort"))
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        for thread in self._threads:
            if thread.ident:
                thread.join()

    def look(self) -> tuple[PeerState, ...]:
        """The neighbours; to be called at least once in a third of the hold time."""
        peers = tuple(self._client.peers())
        self._absent(peers)
        return peers

    def cut(self, peers: frozenset[IPAddress]) -> None:
        """Their link went down: nothing is kept of them, though their daemons may live."""
        with self._lock:
            self._cut |= dict.fromkeys(peers, False)

    @property
    def severed(self) -> frozenset[IPAddress]:
        """Those that have no session since their link went down."""
        with self._lock:
            return frozenset(peer for peer, ended in self._cut.items() if ended)

    def _absent(self, peers: tuple[PeerState, ...]) -> frozenset[IPAddress]:
        with self._lock:
            for peer in peers:
                if peer.address in self._cut:
                    self._see(peer)
            return self._pulse.look(peers, time.monotonic()) - self._cut.keys()

    def _see(self, peer: PeerState) -> None:
        if peer.state is not SessionState.ESTABLISHED:
            self._cut[peer.address] = True
        elif self._cut[peer.address]:
            del self._cut[peer.address]

    def _watch(self) -> None:
        try:
            for batch in self._client.watch():
                self._said.put(batch)
        except EvpnError as error:
            self._said.put(error)
        except Exception as error:
            # Broadly: nothing would be heard any more, and the view would say that all is well.
            log.error("unexpected", exc_info=error)
            self._said.put(_unexpected(error))

    def _sort(self) -> None:
        try:
            while True:
                events = self._next()
                absent: frozenset[IPAddress] = frozenset()
                if self._is_doubtful(events):
                    # The daemon ends the session first, and withdraws then.
                    absent = self._absent(tuple(self._client.peers()))
                self._deliver(events, absent)
        except EvpnError as error:
            self._ended(error)
        except Exception as error:
            log.error("unexpected", exc_info=error)
            self._ended(_unexpected(error))

    def _is_doubtful(self, events: list[RouteEvent]) -> bool:
        """Whether something is withdrawn, and it is not known why. Of a link that went down it is,
        and the daemon has no time for questions while it forgets the neighbour's routes."""
        with self._lock:
            return any(
                isinstance(event, RouteChange) and event.withdrawn and event.peer not in self._cut
                for event in events
            )

    def _next(self) -> list[RouteEvent]:
        """What was told meanwhile, as one; raises what the daemon ended with."""
        events: list[RouteEvent] = []
        while not events or (not self._said.empty() and len(events) < BATCH_MAX):
            said = self._said.get()
            if isinstance(said, EvpnError):
                if not events:
                    raise said
                self._said.put(said)
                break
            events += said
        return events


def _unexpected(error: Exception) -> EvpnError:
    return EvpnError(f"unexpected {type(error).__name__}: {error}")
