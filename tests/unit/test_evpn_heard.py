# SPDX-License-Identifier: GPL-2.0-or-later
"""What several neighbours have sent."""

from dataclasses import replace
from ipaddress import ip_address
from time import process_time

from hypothesis import given
from hypothesis import strategies as some

from hybrid_gateway.evpn.heard import Heard
from hybrid_gateway.evpn.keys import RouteKey, route_key
from hybrid_gateway.model import FloodRoute, IPAddress, MacRoute, RouteChange, RouteTarget

PEERS = [ip_address("192.0.2.1"), ip_address("192.0.2.2"), ip_address("2001:db8::3")]
FIRST, SECOND, _ = PEERS
VTEP = FIRST


def route(number: int = 1, sequence: int = 0) -> MacRoute:
    mac = bytes((2, 0, 0, 0, 0, number))
    target = (RouteTarget(64512, 550),)
    return MacRoute("192.0.2.9:550", mac, 550, PEERS[0], target, sequence=sequence)


def said(peer: IPAddress | None, sequence: int = 0, *, withdrawn: bool = False) -> RouteChange:
    return RouteChange(route(sequence=sequence), withdrawn=withdrawn, peer=peer)


def test_what_is_said_again_is_no_news() -> None:
    heard = Heard()

    assert heard.take(said(FIRST)) == said(FIRST)
    assert heard.take(said(FIRST)) is None
    assert heard.take(said(SECOND)) == said(SECOND)
    assert heard.take(said(FIRST, 3)) == said(FIRST, 3)
    assert heard.take(said(FIRST, withdrawn=True)) == said(FIRST, withdrawn=True)
    assert heard.take(said(FIRST, withdrawn=True)) is None
    assert heard.take(said(SECOND, withdrawn=True)) == said(SECOND, withdrawn=True)


def test_a_session_ends() -> None:
    heard = Heard()
    heard.take(said(FIRST))
    heard.take(said(SECOND, 7))
    heard.take(RouteChange(route(2), peer=FIRST))

    assert heard.lost(SECOND) == [
        RouteChange(route(1, 7), withdrawn=True, peer=SECOND),
    ]
    assert heard.lost(FIRST) == [
        RouteChange(route(1), withdrawn=True, peer=FIRST),
        RouteChange(route(2), withdrawn=True, peer=FIRST),
    ]
    assert heard.lost(FIRST) == []


def test_all_stations_of_a_vtep_are_gone_at_once() -> None:
    """What is by another route distinguisher, and what others have said, stays."""
    heard = Heard()
    elsewhere = RouteChange(replace(route(), rd="192.0.2.9:551"), peer=FIRST)
    flood = RouteChange(FloodRoute("192.0.2.9:550", VTEP, 550, VTEP, ()), peer=FIRST)
    for change in (said(FIRST), RouteChange(route(2), peer=FIRST), said(SECOND), elsewhere, flood):
        heard.take(change)

    assert heard.emptied(FIRST, "192.0.2.9:550", VTEP) == [
        RouteChange(route(number), withdrawn=True, peer=FIRST) for number in (1, 2)
    ]
    assert heard.emptied(FIRST, "192.0.2.9:550", VTEP) == []
    assert heard.take(said(FIRST, withdrawn=True)) is None, "it is gone already"
    assert heard.take(said(FIRST)) == said(FIRST), "and may come back"
    assert [change.route for change in heard.lost(FIRST)] == [flood.route, route(), elsewhere.route]


def test_nobody_says_that_the_stations_of_others_are_gone() -> None:
    heard = Heard()
    heard.take(said(FIRST))

    assert heard.emptied(FIRST, "192.0.2.9:550", PEERS[1]) == []
    assert heard.emptied(SECOND, "192.0.2.9:550", VTEP) == []
    assert heard.emptied(FIRST, "192.0.2.9:551", VTEP) == []
    assert heard.lost(FIRST) == [said(FIRST, withdrawn=True)]


def test_a_word_of_no_stations_takes_no_time() -> None:
    """With each of them all that stood behind the first was looked at: that took a minute."""
    heard = Heard()
    for number in range(20_000):
        heard.take(RouteChange(_of(number, SECOND), peer=FIRST))
    began = process_time()

    for number in range(20_000):
        heard.take(RouteChange(_of(number, VTEP), peer=FIRST))
        assert len(heard.emptied(FIRST, "192.0.2.9:550", VTEP)) == 1
        heard.take(RouteChange(_of(number, SECOND), peer=FIRST))

    assert len(heard.lost(FIRST)) == 20_000
    assert process_time() - began < 5.0


def _of(number: int, vtep: IPAddress) -> MacRoute:
    return replace(route(), mac=b"\2\0" + number.to_bytes(4), next_hop=vtep)


def test_our_own_routes_pass() -> None:
    heard = Heard()

    assert heard.take(said(None)) == said(None)
    assert heard.take(said(None)) == said(None)
    assert heard.take(said(FIRST)) == said(FIRST)
    assert heard.take(said(None, withdrawn=True)) == said(None, withdrawn=True)


CHANGES = some.builds(
    RouteChange,
    some.builds(route, some.integers(1, 3), some.integers(0, 2)),
    some.booleans(),
    some.sampled_from(PEERS),
)


@given(some.lists(CHANGES | some.sampled_from(PEERS), max_size=40))
def test_whoever_follows_the_changes_knows_what_each_has_said(
    happened: list[RouteChange | IPAddress],
) -> None:
    heard = Heard()
    said: dict[tuple[IPAddress | None, RouteKey], object] = {}
    view: dict[tuple[IPAddress | None, RouteKey], object] = {}

    for one in happened:
        if isinstance(one, RouteChange):
            said.pop((one.peer, route_key(one.route)), None)
            if not one.withdrawn:
                said[one.peer, route_key(one.route)] = one.route
            changes = [change for change in [heard.take(one)] if change]
        else:
            said = {key: route for key, route in said.items() if key[0] != one}
            changes = heard.lost(one)
        for change in changes:
            if change.withdrawn:
                del view[change.peer, route_key(change.route)]
            else:
                view[change.peer, route_key(change.route)] = change.route

        assert view == said
