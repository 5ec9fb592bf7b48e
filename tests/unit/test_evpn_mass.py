# SPDX-License-Identifier: GPL-2.0-or-later
"""Which stations go as a mass."""

from hybrid_gateway.evpn.mass import MASS_MIN, Mass, again, masses
from hybrid_gateway.model import EvpnRoute, RouteChange

from .evpn_site import Gateway, flood_route, mac_route, prefix_route

MANY = [mac_route(1, number) for number in range(MASS_MIN)]
RD = MANY[0].rd


def test_many_stations_of_a_vni_go_as_one() -> None:
    """What is by other route distinguishers goes by itself, and type 3 carries the word."""
    few: list[EvpnRoute] = [
        mac_route(1, 1, vni=551),
        flood_route(1, 552),
        prefix_route(1, "10.0.0.0/8"),
    ]
    wanted: list[EvpnRoute] = [flood_route(1), flood_route(1, 551), mac_route(1, 2, vni=551)]

    found, rest = masses([*few, *MANY], wanted)

    assert found == [Mass(RD, tuple(MANY), flood_route(1))]
    assert again(found, wanted) == [flood_route(1)]
    assert sorted(map(repr, rest)) == sorted(map(repr, few))


def test_few_are_withdrawn_one_by_one() -> None:
    assert masses(MANY[1:], [flood_route(1)]) == ([], MANY[1:])


def test_what_stays_is_said_again() -> None:
    stay = [mac_route(1, MASS_MIN + number) for number in range(MASS_MIN)]
    wanted: list[EvpnRoute] = [flood_route(1, 551), *stay, flood_route(1)]

    found, rest = masses(MANY, wanted)

    assert (found, rest) == ([Mass(RD, tuple(MANY), flood_route(1))], [])
    assert again(found, wanted) == [*stay, flood_route(1)]
    assert again(found, [flood_route(1)]) == [flood_route(1)], "what has gone meanwhile is not"


def test_more_that_stay_are_left_alone() -> None:
    stay = [mac_route(1, MASS_MIN + number) for number in range(MASS_MIN + 1)]

    assert masses(MANY, [flood_route(1), *stay]) == ([], MANY)


def test_without_type_3_there_is_nobody_to_say_it() -> None:
    assert masses(MANY, []) == ([Mass(RD, tuple(MANY))], [])
    assert again([Mass(RD, tuple(MANY))], [flood_route(1)]) == []


def test_other_routes_by_the_same_distinguisher_stay() -> None:
    """An agent before this one may have announced all by one."""
    many: list[EvpnRoute] = [mac_route(1, number, vni=900) for number in range(MASS_MIN)]
    prefix = prefix_route(1, "10.0.0.0/8", vni=900 ^ 0x8000)
    assert prefix.rd == many[0].rd

    assert masses(many, [prefix]) == ([], many)


def test_what_an_agent_before_announced_goes_with_a_mass() -> None:
    """By the same route distinguisher; if it is wanted yet, it has to be said again."""
    gateway, before, elsewhere = Gateway(1), mac_route(1, 9000), mac_route(1, 9000, vni=551)
    mind = gateway.mind
    mind.synced()
    mind.begin(gateway.now, 120.0)
    for route in (before, elsewhere):
        mind.heard(RouteChange(route), gateway.now)
    mind.end_of_state(gateway.now)
    gateway.flush()

    assert mind.emptied([Mass(RD, tuple(MANY), flood_route(1))]) == [flood_route(1)]

    gateway.learn(9000)
    assert gateway.macs() == {before.mac: before}
    assert mind.routes.done == 3, "and what is by another one is there still"
