# SPDX-License-Identifier: GPL-2.0-or-later
"""Prefixes of other sites: which of them are taken, and by which ways."""

from dataclasses import replace
from ipaddress import ip_address, ip_network

from hypothesis import given
from hypothesis import strategies as some

from hybrid_gateway.evpn.kernel_socket import WAYS_MAX
from hybrid_gateway.evpn.prefixes import CUTS_OFF, ROUTERS_MAX
from hybrid_gateway.evpn.snapshot import prefixes
from hybrid_gateway.evpn.underlay import Underlay
from hybrid_gateway.evpn.wanted import EvpnTable
from hybrid_gateway.model import IPAddress, IPNetwork

from .evpn_site import Gateway, flood_route, prefix_route, section, vtep

L3VNI = 900
AROUND_2, AROUND_3 = "2001:db8:0:2::/64", "2001:db8:0:3::/64"
OTHER = "2001:db8:7::/48"


def routing(table: int = 254) -> Gateway:
    return Gateway(1, L3VNI, tables=[EvpnTable(L3VNI, table)]).start()


def taken(gateway: Gateway) -> set[str]:
    return {str(entry.prefix) for entry in gateway.prefixes()}


# ---- the way to the other sites ----------------------------------------------------------


def test_no_prefix_of_the_main_table_takes_the_way_to_a_vtep() -> None:
    gateway = routing()
    gateway.hear_routes(flood_route(3, L3VNI), peer=3)

    gateway.hear_routes(*(prefix_route(2, one) for one in (AROUND_2, AROUND_3, OTHER)), peer=2)

    assert taken(gateway) == {OTHER}
    assert gateway.mind.refusals.counts == {(vtep(2), CUTS_OFF): 2}
    gateway.hear_routes(prefix_route(4, AROUND_3), peer=4)
    assert gateway.mind.refusals.counts[vtep(4), CUTS_OFF] == 1

    gateway.hear_routes(flood_route(3, L3VNI), peer=3, withdrawn=True)
    assert taken(gateway) == {OTHER, AROUND_3}, "there is nobody in it any more"


def test_a_vtep_that_comes_later_has_its_way() -> None:
    gateway = routing()
    many = [f"2001:db8:1000:{number:x}::/64" for number in range(1, 200)]
    gateway.hear_routes(*(prefix_route(2, one) for one in [AROUND_3, *many]), peer=2)
    assert AROUND_3 in taken(gateway)

    gateway.hear_routes(flood_route(3, 551), peer=3)

    assert taken(gateway) == set(many)
    assert gateway.refused() == {CUTS_OFF: 1}


def test_no_prefix_of_the_main_table_takes_the_way_to_a_neighbour() -> None:
    gateway = routing()
    gateway.hear_routes(prefix_route(2, AROUND_3), peer=2)

    gateway.follow(replace(gateway.wanted, section=section(1, 3)))
    assert not taken(gateway)

    gateway.follow(replace(gateway.wanted, section=section(1)))
    assert taken(gateway) == {AROUND_3}


def test_a_vrf_and_the_default_route_take_nobodys_way() -> None:
    vrf, main = routing(77), routing()
    for gateway in (vrf, main):
        gateway.hear_routes(*(prefix_route(2, one) for one in (AROUND_2, "::/0")), peer=2)

    assert taken(vrf) == {AROUND_2, "::/0"}
    assert taken(main) == {"::/0"}
    vrf.follow(replace(vrf.wanted, tables=(EvpnTable(L3VNI),)))
    assert taken(vrf) == {"::/0"}, "it is the main table now"


ADDRESSES = some.integers(0, 15).map(lambda last: ip_address(0x0A000000 + last))
PREFIXES = some.tuples(ADDRESSES, some.integers(28, 32)).map(
    lambda it: ip_network(it, strict=False)
)


@given(some.lists(ADDRESSES), some.sets(ADDRESSES), PREFIXES)
def test_the_underlay_is_who_has_not_been_released(
    added: list[IPAddress], neighbors: set[IPAddress], prefix: IPNetwork
) -> None:
    underlay, there = Underlay(), set(added[::2]) | neighbors
    for address in added:
        underlay.take(address)
    underlay.follow(neighbors)
    for address in added:
        underlay.release(address)
    for address in added[::2]:
        underlay.take(address)

    for network in (ip_network("10.0.0.0/28"), ip_network("10.0.0.8/30"), prefix):
        assert underlay.is_in(network) == any(one in network for one in there)
    assert not underlay.is_in(ip_network("::/1"))


# ---- several routers ---------------------------------------------------------------------


def ways(gateway: Gateway) -> list[tuple[IPAddress, bytes]]:
    [entry] = gateway.prefixes()
    return [(way.vtep, way.router_mac) for way in entry.ways]


def test_a_prefix_of_several_routers_is_spread_over_them() -> None:
    gateway, sent = routing(), [prefix_route(number, OTHER) for number in (4, 2, 3)]
    gateway.hear_routes(*sent, prefix_route(2, OTHER), peer=8)
    gateway.hear_routes(*sent, peer=9)

    assert ways(gateway) == [(vtep(n), prefix_route(n, OTHER).router_mac) for n in (2, 3, 4)]
    shown = [(view.vtep, view.router_mac) for view in prefixes(gateway.mind)]
    assert shown == ways(gateway)

    gateway.hear_routes(*sent[1:], peer=8, withdrawn=True)
    assert len(ways(gateway)) == 3, "the other reflector has them still"
    gateway.hear_routes(*sent[1:], peer=9, withdrawn=True)
    assert [way for way, _ in ways(gateway)] == [vtep(4)]


def test_no_two_ways_are_one() -> None:
    """There is one entry for a router's MAC address, and one MAC address for a next hop."""
    gateway = routing()
    sent = [prefix_route(number, OTHER) for number in (2, 3, 4)]
    gateway.hear_routes(
        sent[0],
        replace(sent[1], router_mac=sent[0].router_mac),
        replace(sent[2], next_hop=vtep(2)),
    )

    assert ways(gateway) == [(vtep(2), sent[0].router_mac)]


def test_routers_of_a_prefix_have_a_limit() -> None:
    gateway = routing()
    gateway.hear_routes(*(prefix_route(number, OTHER) for number in range(40, 10, -1)))

    assert [way for way, _ in ways(gateway)] == [vtep(number) for number in range(11, 27)]
    assert ROUTERS_MAX == WAYS_MAX


def test_a_neighbour_may_send_so_many_routes_of_one_prefix() -> None:
    """All of them are looked at with each change: of sixty thousand, for 0.05 s."""
    gateway = routing()
    sent = [replace(prefix_route(9, OTHER), rd=f"192.0.2.9:{n}") for n in range(2_000)]
    gateway.hear_routes(*sent, peer=9)
    gateway.hear_routes(prefix_route(3, OTHER), peer=3)

    assert [way for way, _ in ways(gateway)] == [vtep(3), vtep(9)], "others are heard"
    assert gateway.refused() == {"more routes of one prefix than it may send": 2000 - 1024}

    gateway.hear_routes(sent[0], withdrawn=True)
    gateway.hear_routes(replace(prefix_route(2, OTHER), rd="192.0.2.9:2001"))
    assert ways(gateway)[0][0] == vtep(2), "there is room again"
