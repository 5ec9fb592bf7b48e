# SPDX-License-Identifier: GPL-2.0-or-later
"""Routes from one gobgpd of ours to another."""

from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from hybrid_gateway.model import (
    EvpnRoute,
    FloodRoute,
    MacRoute,
    PrefixRoute,
    RouteChange,
    RouteTarget,
)

from .bgp import ASN, Following, Pair

VTEP6 = ip_address("2001:db8:0:1::11")
VTEP4 = ip_address("198.51.100.11")
OTHER6 = ip_address("2001:db8:0:2::11")
STATION = bytes.fromhex("0200000000a1")
ROUTER = bytes.fromhex("0200000000fe")


def targets(vni: int) -> tuple[RouteTarget, ...]:
    return (RouteTarget(ASN, vni),)


def station(vni: int = 550, **more: object) -> MacRoute:
    route = MacRoute(f"192.0.2.1:{vni & 0xFFFF}", STATION, vni, VTEP6, targets(vni))
    return replace(route, **more)  # type: ignore[arg-type]


ROUTES: list[EvpnRoute] = [
    station(),
    station(address=ip_address("192.168.110.5")),
    station(address=ip_address("fd00:110::5"), sequence=7),
    station(551, next_hop=VTEP4, sequence=3, sticky=True),
    station(0xABCDEF, l3vni=5001, router_mac=ROUTER, address=ip_address("192.168.110.6")),
    station(552, rd="64512:552", targets=(RouteTarget(ASN, 552), RouteTarget(4200000000, 552))),
    station(553, rd="4200000000:553"),
    FloodRoute("192.0.2.1:550", VTEP6, 550, VTEP6, targets(550)),
    FloodRoute("192.0.2.1:551", VTEP4, 0xFFFFFF, VTEP4, targets(551)),
    PrefixRoute(
        "192.0.2.1:5001",
        ip_network("10.1.0.0/16"),
        5001,
        VTEP6,
        targets(5001),
        router_mac=ROUTER,
    ),
    PrefixRoute("192.0.2.1:5001", ip_network("fd00:1::/48"), 5001, VTEP4, targets(5001)),
    PrefixRoute(
        "192.0.2.1:5001",
        ip_network("10.2.0.0/24"),
        5001,
        VTEP6,
        targets(5001),
        gateway=ip_address("10.1.0.1"),
    ),
]


def test_every_route_arrives_as_it_was_sent(pair: Pair, watch: Following) -> None:
    left, right = pair
    there, here = watch(right), watch(left)

    assert left.client.announce(ROUTES) == []
    there.routes(ROUTES, peer=left.address)
    here.routes(ROUTES)

    assert left.client.withdraw(ROUTES) == []
    there.gone(ROUTES, peer=left.address)
    here.gone(ROUTES)
    assert not right.paths()
    assert not left.paths()


def test_what_is_there_comes_before_the_end_of_the_state(pair: Pair, watch: Following) -> None:
    left, right = pair
    assert watch(right).before == []
    first = watch(right)
    left.client.announce(ROUTES)
    first.routes(ROUTES, peer=left.address)

    late = watch(right)
    assert set(late.before) == {RouteChange(route, peer=left.address) for route in ROUTES}

    left.client.withdraw(ROUTES)
    late.gone(ROUTES, peer=left.address)


def test_a_route_replaces_the_one_before(pair: Pair, watch: Following) -> None:
    left, right = pair
    there = watch(right)

    left.client.announce([station()])
    there.routes([station()], peer=left.address)
    left.client.announce([station(sequence=4)])
    there.routes([station(sequence=4)], peer=left.address)
    left.client.withdraw([station()])
    there.gone([station()], peer=left.address)


def test_each_neighbour_gets_the_form_of_type_3_that_it_can_read(
    pair: Pair, watch: Following
) -> None:
    left, right = pair
    there, here = watch(left), watch(right)
    route = FloodRoute("192.0.2.2:550", OTHER6, 550, OTHER6, targets(550))

    right.client.announce([route])

    # Left is right's neighbour with `pmsi-compat`: an IPv4 originator and nine bytes of PMSI.
    there.routes([replace(route, originator=right.router_id)], peer=right.address)
    (path,) = left.paths()
    sent = {bytes(value) for value in path.pattrs_binary}
    assert bytes.fromhex("c01609 00 06 000226 c0000202") in sent
    # Which of two routes goes to whom is said by communities; they stay at home.
    assert not [value for value in sent if value[1] == 8]
    here.routes([route])
    assert len(right.paths()) == 2

    right.client.withdraw([route])
    there.until(bool)
    assert not right.paths()


def test_the_usual_form_has_the_whole_address(pair: Pair, watch: Following) -> None:
    left, right = pair
    there = watch(right)
    route = FloodRoute("192.0.2.1:550", VTEP6, 550, VTEP6, targets(550))

    left.client.announce([route])

    there.routes([route], peer=left.address)
    (path,) = right.paths()
    sent = {bytes(value) for value in path.pattrs_binary}
    assert bytes.fromhex("c01615 00 06 000226") + VTEP6.packed in sent
    assert not [value for value in sent if value[1] == 8]
    left.client.withdraw([route])
    there.until(bool)


def test_gobgpd_has_a_word_in_sequence_numbers(pair: Pair, watch: Following) -> None:
    left, right = pair
    there = watch(right)
    left.client.announce([station(sequence=5)])
    there.routes([station(sequence=5)], peer=left.address)

    # What others announce is our affair: a tie is between the two VTEPs.
    same = station(rd="192.0.2.2:550", next_hop=OTHER6, sequence=5)
    assert right.client.announce([same]) == []
    there.routes([same])

    # Less than another route of ours for this MAC has is not possible.
    bound = station(address=ip_address("192.168.110.5"), sequence=3)
    assert left.client.announce([bound]) == []
    there.routes([replace(bound, sequence=5)], peer=left.address)

    # When it never moves it is refused, but no other route of the same call.
    stuck = station(address=ip_address("192.168.110.6"), sequence=1, sticky=True)
    free = station(mac=ROUTER)
    assert left.client.announce([stuck, free]) == [
        (stuck, "gobgpd: invalid MAC mobility sequence number")
    ]
    there.routes([free], peer=left.address)
    right.client.withdraw([same])
    there.gone([same])
    left.client.withdraw([station(), bound, stuck, free])
    there.gone([station(), bound, free], peer=left.address)


@pytest.mark.parametrize(
    ("route", "reason"),
    [
        (
            station(address=ip_address("fe80::1"), router=True),
            "gobgpd cannot say that a neighbour is a router",
        ),
        (
            station(rd="192.0.2.1:70000"),
            "'192.0.2.1:70000' is no route distinguisher",
        ),
        (station(vni=1 << 24), "VNI 16777216 has more than 24 bits"),
        (
            station(targets=(RouteTarget(4200000000, 70000),)),
            "4200000000:70000 does not fit into a route target",
        ),
        (
            station(esi="00:01:02:03:04:05:06:07:08:09"),
            "only single-homed stations are announced",
        ),
        (station(mac=b"\1\2\3"), "'01:02:03' is no MAC address"),
        (
            PrefixRoute(
                "192.0.2.1:1",
                ip_network("10.0.0.0/8"),
                1,
                VTEP6,
                targets(1),
                gateway=ip_address("fd00::1"),
            ),
            "fd00::1 is no gateway for 10.0.0.0/8",
        ),
    ],
)
def test_what_cannot_be_said_is_refused_alone(
    pair: Pair, watch: Following, route: EvpnRoute, reason: str
) -> None:
    left, right = pair
    there = watch(right)

    assert left.client.announce([route, station()]) == [(route, reason)]

    there.routes([station()], peer=left.address)
    left.client.withdraw([station()])
    there.gone([station()], peer=left.address)


def test_many_stations(pair: Pair, watch: Following) -> None:
    """More than one message to gobgpd."""
    left, right = pair
    there = watch(right)
    stations = [station(mac=(0x02 << 40 | number).to_bytes(6, "big")) for number in range(2500)]

    assert left.client.announce(stations[:600]) == []
    assert left.client.announce(stations[600:]) == []

    there.routes(stations, peer=left.address)
    assert {state.received for state in right.client.peers()} == {2500}
    assert {state.accepted for state in right.client.peers()} == {2500}
    assert {state.advertised for state in left.client.peers(advertised=True)} == {2500}
    assert len(watch(right).before) == 2500
