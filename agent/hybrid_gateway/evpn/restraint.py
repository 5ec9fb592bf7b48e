# SPDX-License-Identifier: GPL-2.0-or-later
"""Neighbours that send more than they may: their sessions end for a while, as the daemon's work
grows with what it holds, and others would have to wait for it."""

import logging
from collections.abc import Mapping
from math import inf

from ..model import IPAddress, PeerState
from .gobgp import GobgpClient
from .pace import Pace
from .remote import LIMIT
from .session import SHUT

log = logging.getLogger(__name__)

TOO_FAST = "more messages than can be heard"
SHUT_SECONDS = 300.0
"""That a neighbour which sent more routes than it may is left alone."""


class Restraint:
    """Of one daemon's neighbours."""

    def __init__(self) -> None:
        self._shut: dict[IPAddress, float] = {}
        """Those that went over their limit, and until when."""
        self._pace = Pace()

    def begin(self) -> None:
        """With a daemon that began anew nobody is shut down; with one that did not, it shows."""
        self._shut.clear()

    def pardon(self) -> None:
        """Whoever was shut down may try again with the next `look`."""
        self._shut = dict.fromkeys(self._shut, 0.0)

    def look(
        self,
        client: GobgpClient,
        peers: tuple[PeerState, ...],
        limits: Mapping[IPAddress, int],
        over: frozenset[IPAddress],
        now: float,
    ) -> dict[IPAddress, str]:
        """`over`: those that are known to have gone over their limit of routes. The daemon's own
        count goes as well, for it keeps also what is refused here.

        Returns whose sessions were ended, and why.
        """
        known = {peer.address for peer in peers}
        over |= {peer.address for peer in peers if peer.received > limits.get(peer.address, inf)}
        found = dict.fromkeys(self._pace.look(peers, limits, now), TOO_FAST)
        found |= dict.fromkeys(over, LIMIT)
        shut = {peer: found[peer] for peer in (found.keys() & known) - self._shut.keys()}
        for address, reason in shut.items():
            log.warning("neighbour %s is shut down: %s", address, reason)
            client.shut(address, reason)
            self._shut[address] = now + SHUT_SECONDS
        # Also those that an agent before this one had shut down.
        for peer in peers:
            if peer.reason == SHUT:
                self._shut.setdefault(peer.address, now + SHUT_SECONDS)
        for address in [address for address, end in self._shut.items() if end <= now]:
            del self._shut[address]
            if address in known:
                client.revive(address)
        return shut
