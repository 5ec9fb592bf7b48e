# SPDX-License-Identifier: GPL-2.0-or-later
"""gobgpd as the `evpn` section wants it, and what becomes of everything when it dies."""

import threading
from contextlib import ExitStack
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from hybrid_gateway.errors import EvpnAbsentError, EvpnError
from hybrid_gateway.evpn import daemon
from hybrid_gateway.evpn.gobgp import GobgpClient
from hybrid_gateway.lab import namespaces
from hybrid_gateway.model import Evpn, RouteChange, SessionState
from tests.lib.gateway import eventually

from .bgp import ASN, Following, Pair, Speaker, neighbor, together
from .test_gobgp_routes import ROUTES, station

LOCAL = station(rd="192.0.2.2:550", mac=bytes.fromhex("0200000000c1"))


def sections(pair: Pair) -> tuple[Evpn, Evpn]:
    """As the fixture has configured them."""
    left, right = pair
    return (
        left.section(neighbor(right, password="secret")),
        right.section(neighbor(left, password="secret", pmsi_compat=True, passive=True)),
    )


def test_what_is_right_is_not_touched(pair: Pair) -> None:
    left, right = pair
    (before,) = left.client.peers()

    for one, section in zip(pair, sections(pair), strict=True):
        assert one.client.configure(section, ROUTES) is False

    (after,) = left.client.peers()
    assert after.since >= before.since
    assert replace(after, since=0.0, messages=0) == replace(before, since=0.0, messages=0)
    assert after.state is SessionState.ESTABLISHED
    assert (after.address, after.asn, after.reason) == (right.address, ASN, "")
    # Routes are for a daemon that had to be started.
    assert not left.paths()


def test_a_daemon_that_died_and_comes_back(pair: Pair, watch: Following) -> None:
    left, right = pair
    there, here = watch(right), watch(left)
    right.client.announce([LOCAL])
    left.client.announce(ROUTES)
    there.until(lambda events: len(events) > len(ROUTES))

    left.kill()

    assert isinstance(here.error(), EvpnAbsentError)
    for call in (left.client.peers, lambda: left.client.announce(ROUTES)):
        with pytest.raises(EvpnAbsentError, match="does not answer"):
            call()
    there.gone(ROUTES, peer=left.address)

    # All routes are announced before there is a neighbour, so that it misses none.
    left.start()
    section = sections(pair)[0]
    assert left.client.configure(section, ROUTES, restarting=True) is True
    assert {RouteChange(route) for route in ROUTES} <= set(watch(left).before)
    together(left, right)
    there.routes(ROUTES, peer=left.address)
    left.client.withdraw(ROUTES)
    there.gone(ROUTES, peer=left.address)
    right.client.withdraw([LOCAL])
    there.gone([LOCAL])


def test_a_neighbour_that_is_shut_down(pair: Pair, watch: Following) -> None:
    left, right = pair
    there = watch(right)
    left.client.announce(ROUTES)
    there.routes(ROUTES, peer=left.address)

    right.client.shut(left.address, "sends too much")

    there.gone(ROUTES, peer=left.address)
    eventually(lambda: right.client.peers()[0].reason == "it is shut down", "it is said")
    # It stays so, whatever is configured meanwhile.
    assert right.client.configure(sections(pair)[1]) is False
    assert right.client.peers()[0].state is SessionState.IDLE

    right.client.revive(left.address)

    eventually(lambda: right.client.peers()[0].state is SessionState.ACTIVE, "it may come back")
    left.client.withdraw(ROUTES)


def test_neighbours_that_change_and_go(pair: Pair) -> None:
    left, right = pair
    first = sections(pair)[0]
    other = neighbor(right, address=right.address4)

    left.client.configure(replace(first, neighbors=(*first.neighbors, other), hold_time=30))
    assert [peer.address for peer in left.client.peers()] == [right.address4, right.address]
    left.client.configure(replace(first, neighbors=(other,), hold_time=30))
    assert [peer.address for peer in left.client.peers()] == [right.address4]
    left.client.configure(replace(first, neighbors=()))
    assert left.client.peers() == []


def test_the_routes_of_a_neighbour_go_with_it(pair: Pair, watch: Following) -> None:
    left, right = pair
    section = sections(pair)[0]
    left.client.configure(section)
    together(left, right)
    there, here = watch(right), watch(left)
    right.client.announce(ROUTES[:3])
    here.routes(ROUTES[:3], peer=right.address)

    left.client.configure(replace(section, neighbors=()))

    here.gone(ROUTES[:3], peer=right.address)
    assert left.client.peers() == []
    there.routes(ROUTES[:3])
    right.client.withdraw(ROUTES[:3])


def test_another_router_id_is_another_daemon(pair: Pair) -> None:
    left, _ = pair
    section = replace(left.section(), router_id=IPv4Address("192.0.2.77"), port=1790)

    assert left.client.configure(section, [station(sequence=2)]) is True
    assert len(left.paths()) == 1
    assert left.client.configure(section) is False
    assert left.client.configure(left.section()) is True
    assert not left.paths()


def test_a_port_that_is_taken_is_said(pair: Pair, tmp_path: Path) -> None:
    left, _ = pair
    socket = tmp_path / "second.sock"
    with ExitStack() as stack:
        inside = namespaces.inside(left.namespace, ())
        process = daemon.start(socket, prefix=inside)
        stack.callback(process.wait)
        stack.callback(process.terminate)
        client = GobgpClient(f"unix://{socket}")
        stack.callback(client.close)
        second = Speaker("second", 3, tmp_path)
        eventually(second.answers, "the second one answers")

        with pytest.raises(EvpnError, match="address already in use"):
            client.configure(second.section())
        assert client.configure(replace(second.section(), port=0)) is True


@pytest.mark.parametrize("missing", [{"asn": 0}, {"router_id": None}])
def test_who_it_is_has_to_be_known(pair: Pair, missing: dict[str, None]) -> None:
    with pytest.raises(EvpnError, match="needs an AS number and a router id"):
        pair[0].client.configure(replace(pair[0].section(), **missing))  # type: ignore[arg-type]


def test_close_ends_a_watch(pair: Pair) -> None:
    _, right = pair
    client = GobgpClient(f"unix://{right.socket}")
    begun = threading.Event()
    ends: list[EvpnError] = []

    def follow(client: GobgpClient) -> None:
        try:
            for _ in client.watch():
                begun.set()
        except EvpnError as error:
            ends.append(error)

    thread = threading.Thread(target=follow, args=(client,))
    thread.start()
    assert begun.wait(30)
    client.close()
    thread.join(30)

    assert [type(error) for error in ends] == [EvpnAbsentError]
    with pytest.raises(EvpnAbsentError, match="the connection was closed"):
        client.peers()


def test_nobody_there(tmp_path: Path) -> None:
    client = GobgpClient(f"unix://{tmp_path}/nobody.sock")

    with pytest.raises(EvpnAbsentError, match=r"nobody\.sock does not answer"):
        client.peers()
    with pytest.raises(EvpnAbsentError):
        next(iter(client.watch()))
    client.close()
