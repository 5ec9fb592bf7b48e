# SPDX-License-Identifier: GPL-2.0-or-later
"""A session with the daemon ends when listening to it fails, whatever the reason."""

import queue
from collections.abc import Iterator
from ipaddress import ip_address
from typing import cast

import pytest

from hybrid_gateway.errors import EvpnAbsentError, EvpnError
from hybrid_gateway.evpn.gobgp import GobgpClient
from hybrid_gateway.evpn.listener import Listener
from hybrid_gateway.model import IPAddress, MacRoute, PeerState, RouteChange, RouteEvent

SECONDS = 5.0
ADDRESS = ip_address("192.0.2.2")
GONE = RouteChange(MacRoute("192.0.2.2:550", bytes(6), 550, ADDRESS, ()), True, ADDRESS)


class Client:
    """Says one thing; then its watch ends, and so does asking for neighbours."""

    def __init__(self, watch: Exception, peers: Exception | None) -> None:
        self._watch, self._peers = watch, peers

    def watch(self) -> Iterator[list[RouteEvent]]:
        yield [GONE]
        raise self._watch

    def peers(self) -> list[PeerState]:
        if self._peers:
            raise self._peers
        return []


@pytest.mark.parametrize(
    ("watch", "peers", "message"),
    [
        (EvpnAbsentError("it went"), None, "it went"),
        (TypeError("nobody thought of it"), None, "unexpected TypeError: nobody thought of it"),
        (EvpnAbsentError("it went"), KeyError("x"), "unexpected KeyError: 'x'"),
    ],
)
def test_the_end_is_told(watch: Exception, peers: Exception | None, message: str) -> None:
    ended: queue.SimpleQueue[EvpnError] = queue.SimpleQueue()
    client = cast(GobgpClient, Client(watch, peers))
    listener = Listener(client, lambda *_: None, ended.put)

    listener.start()

    assert ended.get(timeout=SECONDS).message == message
    listener.join()


def test_nobody_is_asked_about_a_neighbour_whose_link_went_down() -> None:
    """Asking would fail here."""
    told: queue.SimpleQueue[tuple[list[RouteEvent], frozenset[IPAddress]]] = queue.SimpleQueue()
    ended: queue.SimpleQueue[EvpnError] = queue.SimpleQueue()
    client = cast(GobgpClient, Client(EvpnAbsentError("it went"), KeyError("x")))
    listener = Listener(client, lambda *news: told.put(news), ended.put)
    listener.cut(frozenset({ADDRESS}))

    listener.start()

    assert told.get(timeout=SECONDS) == ([GONE], frozenset())
    assert ended.get(timeout=SECONDS).message == "it went"
    listener.join()
