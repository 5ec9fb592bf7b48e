# SPDX-License-Identifier: GPL-2.0-or-later
"""What gobgpd's watch says, as events."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

from gw_gobgp import gobgp_pb2 as api

from ..model import FloodRoute, IPAddress, RouteChange, RouteEvent
from .heard import Heard
from .received import received

CHANGES = 1024
"""At most so many come out of a watch at once."""


class Beginning:
    """Finds where a watch has told all that there was: neighbours and that there are no more of
    them, one message with our own routes, and two for each neighbour with a session: its routes,
    and that they are all."""

    def __init__(self) -> None:
        self._left = 1
        self._told = False

    def over(self, answer: api.WatchEventResponse) -> bool:
        """Whether this message is the last one; true once."""
        if self._told:
            return False
        if answer.WhichOneof("event") == "table":
            self._left -= 1
        elif answer.peer.type == api.WatchEventResponse.PeerEvent.INIT:
            self._left += 0 if ended(answer.peer) else 2
        elif answer.peer.type == api.WatchEventResponse.PeerEvent.STATE:
            # A session that ended in between has left fewer messages.
            self._left = 0
        self._told = self._left <= 0
        return self._told


def ended(event: api.WatchEventResponse.PeerEvent) -> IPAddress | None:
    """The neighbour that has no session."""
    peer = event.peer.state
    if not peer.neighbor_address or peer.session_state == api.PeerState.ESTABLISHED:
        return None
    try:
        return ip_address(peer.neighbor_address)
    except ValueError:
        return None


def batches(heard: Heard, paths: Any) -> Iterator[list[RouteEvent]]:
    """What is news in a message with routes."""
    batch: list[RouteEvent] = []
    for path in paths:
        for event in received(path):
            batch += _news(heard, event) if isinstance(event, RouteChange) else [event]
        if len(batch) >= CHANGES:
            yield from cut(batch)
            batch = []
    if batch:
        yield from cut(batch)


def _news(heard: Heard, change: RouteChange) -> list[RouteChange]:
    route, news = change.route, []
    if isinstance(route, FloodRoute) and route.gone and change.peer is not None:
        for rd in route.gone:
            news += heard.emptied(change.peer, rd, route.next_hop)
        change = replace(change, route=replace(route, gone=()))
    told = heard.take(change)
    return [*news, told] if told else news


def cut(events: Sequence[RouteEvent]) -> Iterator[list[RouteEvent]]:
    """In pieces of a size that others need not wait for."""
    for start in range(0, len(events), CHANGES):
        yield [*events[start : start + CHANGES]]
