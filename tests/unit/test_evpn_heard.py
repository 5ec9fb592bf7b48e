# SPDX-License-Identifier: GPL-2.0-or-later
"""What counts of what several neighbours have sent."""

from ipaddress import ip_address

from hypothesis import given
from hypothesis import strategies as some

from hybrid_gateway.evpn.heard import Heard
from hybrid_gateway.evpn.keys import RouteKey, route_key
from hybrid_gateway.model import IPAddress, MacRoute, RouteChange, RouteTarget

PEERS = [ip_address("192.0.2.1"), ip_address("192.0.2.2"), ip_address("2001:db8::3")]
FIRST, SECOND, _ = PEERS


def route(number: int = 1, sequence: int = 0) -> MacRoute:
    mac = bytes((2, 0, 0, 0, 0, number))
    target = (RouteTarget(64512, 550),)
    return MacRoute("192.0.2.9:550", mac, 550, PEERS[0], target, sequence=sequence)


def said(peer: IPAddress | None, sequence: int = 0, *, withdrawn: bool = False) -> RouteChange:
    return RouteChange(route(sequence=sequence), withdrawn=withdrawn, peer=peer)


def test_the_first_one_counts_for_as_long_as_it_has_the_route() -> None:
    heard = Heard()

    assert heard.take(said(FIRST)) == said(FIRST)
    assert heard.take(said(FIRST)) is None
    assert heard.take(said(SECOND, 7)) is None
    assert heard.take(said(FIRST, 3)) == said(FIRST, 3)
    assert heard.take(said(FIRST, withdrawn=True)) == said(SECOND, 7)
    assert heard.take(said(FIRST, withdrawn=True)) is None
    assert heard.take(said(SECOND, withdrawn=True)) == said(SECOND, withdrawn=True)
    assert heard.take(said(SECOND, withdrawn=True)) is None


def test_a_session_ends() -> None:
    heard = Heard()
    heard.take(said(FIRST))
    heard.take(said(SECOND, 7))
    heard.take(RouteChange(route(2), peer=FIRST))

    assert heard.lost(SECOND) == []
    assert heard.lost(FIRST) == [
        RouteChange(route(1), withdrawn=True, peer=FIRST),
        RouteChange(route(2), withdrawn=True, peer=FIRST),
    ]
    assert heard.lost(FIRST) == []


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
def test_whoever_follows_the_changes_knows_a_route_of_those_who_have_it(
    happened: list[RouteChange | IPAddress],
) -> None:
    heard = Heard()
    said: dict[IPAddress, dict[RouteKey, MacRoute]] = {peer: {} for peer in PEERS}
    view: dict[RouteKey, tuple[IPAddress | None, object]] = {}

    for one in happened:
        if isinstance(one, RouteChange):
            assert isinstance(one.route, MacRoute)
            assert one.peer is not None
            if one.withdrawn:
                said[one.peer].pop(route_key(one.route), None)
            else:
                said[one.peer][route_key(one.route)] = one.route
            changes = [change for change in [heard.take(one)] if change]
        else:
            said[one] = {}
            changes = heard.lost(one)
        for change in changes:
            if change.withdrawn:
                del view[route_key(change.route)]
            else:
                view[route_key(change.route)] = (change.peer, change.route)

        assert set(view) == {key for routes in said.values() for key in routes}
        for key, (peer, known) in view.items():
            assert peer is not None
            assert said[peer][key] == known
