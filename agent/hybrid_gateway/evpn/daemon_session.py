# SPDX-License-Identifier: GPL-2.0-or-later
"""What there is for one session with the BGP daemon: a client, who hears what the daemon tells,
and who follows the links that neighbours are on."""

import logging
from collections.abc import Callable
from dataclasses import replace

from ..errors import EvpnError
from ..model import Evpn, IPAddress, PeerState, SessionState
from .fallover import Fallover
from .gobgp import GobgpClient
from .listener import Deliver, Listener

log = logging.getLogger(__name__)

LINK_DOWN = "its link went down"


class DaemonSession:
    """Ends with the daemon, which `ended` is called for, or when it is closed."""

    def __init__(
        self, client: GobgpClient, deliver: Deliver, ended: Callable[[EvpnError], None]
    ) -> None:
        """`deliver` and `ended` are called in threads of the session's."""
        self.client = client
        self._listener = Listener(client, deliver, ended)
        self._links = Fallover(self._lost)

    def start(self) -> None:
        self._listener.start()
        self._links.start()

    def close(self) -> None:
        """The client as well, so that threads that wait for the daemon are let go."""
        self.client.close()
        self._links.close()
        self._listener.join()

    def look(self, section: Evpn | None, announced: int) -> tuple[PeerState, ...]:
        """The neighbours; to be called at least once in a third of the hold time. `announced`:
        routes, which gobgpd would have to walk its table to count."""
        peers, severed = self._listener.look(), self._listener.severed
        far = {one.address for one in section.neighbors if one.multihop} if section else set()
        self._links.follow(
            peer.address
            for peer in peers
            if peer.state is SessionState.ESTABLISHED and peer.address not in far
        )
        return tuple(
            replace(
                peer,
                reason=peer.reason or (LINK_DOWN if peer.address in severed else ""),
                advertised=announced if peer.state is SessionState.ESTABLISHED else 0,
            )
            for peer in peers
        )

    def _lost(self, peers: frozenset[IPAddress]) -> None:
        self._listener.cut(peers)
        for peer in peers:
            log.warning("neighbour %s is given up: %s", peer, LINK_DOWN)
            try:
                self.client.hang_up(peer, LINK_DOWN)
            except EvpnError as error:
                log.warning("%s", error)
