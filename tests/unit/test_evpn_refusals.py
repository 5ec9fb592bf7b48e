# SPDX-License-Identifier: GPL-2.0-or-later
"""Routes that make no sense, and too many of them: named, counted, and nobody else harmed."""

from dataclasses import replace
from ipaddress import ip_address

import pytest

from hybrid_gateway.evpn.wanted import EvpnTable
from hybrid_gateway.model import (
    EvpnRoute,
    RouteRefused,
)

from .evpn_site import (
    BRIDGE_MAC,
    VNI,
    Gateway,
    flood_route,
    mac_route,
    prefix_route,
    section,
    target,
    vtep,
)

L3VNI = 900

BAD: list[tuple[str, EvpnRoute]] = [
    ("VNI out of range", replace(mac_route(2, 1), vni=0)),
    ("VNI out of range", replace(flood_route(2), vni=0x1000000)),
    ("no route target for its VNI", replace(mac_route(2, 1), targets=target(551))),
    ("no route target for its VNI", replace(mac_route(2, 1), targets=())),
    ("our own address as its VTEP", replace(mac_route(2, 1), next_hop=vtep(1))),
    ("our own address as its VTEP", replace(flood_route(2), next_hop=vtep(1))),
    ("a VTEP that is no unicast address", replace(flood_route(2), next_hop=ip_address("ff02::1"))),
    ("a VTEP that is no unicast address", replace(flood_route(2), next_hop=ip_address("::"))),
    ("a VTEP that is no unicast address", replace(flood_route(2), next_hop=ip_address("fe80::1"))),
    (
        "a VTEP that is no unicast address",
        replace(flood_route(2), next_hop=ip_address("255.255.255.255")),
    ),
    (
        "a VTEP of the other address family",
        replace(flood_route(2), next_hop=ip_address("192.0.2.2")),
    ),
    ("a MAC address that no station has", replace(mac_route(2, 1), mac=bytes(6))),
    ("a MAC address that no station has", replace(mac_route(2, 1), mac=b"\xff" * 6)),
    (
        "a MAC address that no station has",
        replace(mac_route(2, 1), mac=bytes.fromhex("01005e000001")),
    ),
    ("our bridge's MAC address", replace(mac_route(2, 1), mac=BRIDGE_MAC[:-1] + b"\1")),
    ("our bridge's address", mac_route(2, 1, address="10.0.0.1")),
    ("an address that no station has", mac_route(2, 1, address="224.0.0.1")),
    ("an address that no station has", mac_route(2, 1, address="0.0.0.0")),
    ("no router's MAC address", replace(prefix_route(2, "10.9.0.0/16"), router_mac=b"")),
    ("our bridge's MAC address", replace(prefix_route(1, "10.9.0.0/16"), next_hop=vtep(2))),
    ("a prefix that is not routed", prefix_route(2, "224.0.0.0/4")),
    ("a prefix that is not routed", prefix_route(2, "127.0.0.0/8")),
    ("a prefix that is not routed", prefix_route(2, "fe80::/64")),
]


@pytest.mark.parametrize(("reason", "route"), BAD, ids=lambda value: str(value)[:60])
def test_a_bad_route_is_refused_by_name(reason: str, route: EvpnRoute) -> None:
    gateway = Gateway(1, VNI, L3VNI, tables=[EvpnTable(L3VNI)]).start()
    gateway.hear_routes(flood_route(3), mac_route(3, 3))
    before = dict(gateway.kernel)

    gateway.hear_routes(route, route)

    assert gateway.refused() == {reason: 2}
    assert gateway.mind.alerts == [f"routes of {vtep(9)} are refused: {reason}"]
    assert gateway.kernel == before, "nobody else is harmed"


def test_a_bad_route_takes_the_place_of_a_good_one() -> None:
    gateway = Gateway(1).start()
    gateway.hear_routes(mac_route(2, 1))

    gateway.hear_routes(replace(mac_route(2, 1), next_hop=vtep(1)))

    assert gateway.where(1) is None


@pytest.mark.parametrize(
    "bad",
    [
        replace(mac_route(2, 1), next_hop=vtep(1)),
        replace(mac_route(2, 1), targets=()),
        replace(mac_route(2, 1), next_hop=ip_address("192.0.2.2")),
        replace(mac_route(2, 1), next_hop=vtep(9)),
    ],
    ids=["our VTEP", "no target", "other family", "of lower rank"],
)
@pytest.mark.parametrize("first", [True, False])
def test_a_neighbour_cannot_take_the_place_of_anothers_route(bad: EvpnRoute, first: bool) -> None:
    """With its route distinguisher: whichever was there first."""
    gateway = Gateway(1).start()
    good = mac_route(2, 1)
    for route, peer in [(bad, 9), (good, 2)] if first else [(good, 2), (bad, 9)]:
        gateway.hear_routes(route, peer=peer)

    assert gateway.where(1) == vtep(2)

    gateway.hear_routes(bad, peer=9, withdrawn=True)
    assert gateway.where(1) == vtep(2)
    gateway.hear_routes(good, peer=2, withdrawn=True)
    assert gateway.where(1) is None


def test_a_route_of_two_reflectors_is_there_until_both_have_withdrawn_it() -> None:
    gateway = Gateway(1).start()
    routes = (flood_route(2), mac_route(2, 1), mac_route(2, 1, address="10.0.0.9"))
    for reflector in (8, 9):
        gateway.hear_routes(*routes, peer=reflector)
    assert len(gateway.kernel) == 3
    written = gateway.writes

    gateway.hear_routes(*routes, peer=8, withdrawn=True)
    assert len(gateway.kernel) == 3
    assert gateway.writes == written, "nothing has changed"

    gateway.hear_routes(*routes, peer=9, withdrawn=True)
    assert not gateway.kernel


def test_no_address_of_this_host_is_a_vtep() -> None:
    """The kernel would bring back what is sent there."""
    gateway = Gateway(1).start()
    gateway.hear_routes(flood_route(2), mac_route(2, 1), flood_route(3))

    gateway.follow(replace(gateway.wanted, addresses=frozenset({vtep(2)})))
    gateway.hear_routes(mac_route(2, 2))

    assert gateway.floods() == {vtep(3)}
    assert gateway.where(1) is None
    assert gateway.where(2) is None
    assert set(gateway.refused()) == {"our own address as its VTEP"}


def test_what_cannot_be_read_is_counted() -> None:
    gateway = Gateway(1).start()
    for _ in range(3):
        gateway.mind.heard(RouteRefused("malformed", vtep(2)), gateway.now)
    gateway.flush()

    assert gateway.refused() == {"malformed": 3}
    assert len(gateway.mind.alerts) == 1


def test_refusals_are_counted_until_they_are_cleared() -> None:
    gateway = Gateway(1).start()
    gateway.follow(replace(gateway.wanted, section=section(1, 2, 3)))
    bad = replace(mac_route(2, 1), targets=())
    for peer in (2, 2, 3):
        gateway.hear_routes(bad, peer=peer)
    reason = "no route target for its VNI"

    gateway.follow(replace(gateway.wanted, section=section(1, 2)))
    assert gateway.mind.refusals.counts == {(vtep(2), reason): 2}, "3 is no neighbour any more"

    gateway.mind.alerts.clear()
    assert gateway.mind.refusals.clear() == 1
    assert not gateway.refused()
    gateway.hear_routes(bad, peer=2)
    assert gateway.refused() == {reason: 1}
    assert gateway.mind.alerts == [f"routes of {vtep(2)} are refused: {reason}"], "it is news"
