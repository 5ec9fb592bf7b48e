# SPDX-License-Identifier: GPL-2.0-or-later
"""What one gateway announces and has in its kernel, of what it is told."""

from dataclasses import replace
from ipaddress import IPv4Address, ip_address

from hybrid_gateway.evpn.entries import Binding, FloodEntry, RemoteMac
from hybrid_gateway.evpn.keys import distinguishers, stations_of
from hybrid_gateway.evpn.wanted import EvpnTable, EvpnWanted
from hybrid_gateway.model import (
    RouteTarget,
)

from .evpn_site import (
    VNI,
    Gateway,
    flood_route,
    mac,
    mac_route,
    prefix_route,
    section,
    segment,
    vtep,
)

L3VNI = 900


def test_a_segment_announces_itself() -> None:
    gateway = Gateway(1).start()

    assert list(gateway.announced.values()) == [flood_route(1)]


def test_a_station_is_announced_and_withdrawn_when_it_ages() -> None:
    gateway = Gateway(1).start()
    gateway.learn(1)
    assert gateway.macs() == {mac(1): mac_route(1, 1)}

    gateway.age(1)

    assert not gateway.macs()


def test_addresses_are_announced_with_their_station() -> None:
    gateway = Gateway(1).start()
    gateway.bind("10.0.0.7", 1)
    assert not gateway.addresses(), "nobody knows where it is yet"

    gateway.learn(1)
    assert gateway.addresses() == {ip_address("10.0.0.7"): mac_route(1, 1, address="10.0.0.7")}

    gateway.bind("10.0.0.7", 2)
    assert not gateway.addresses(), "the address is another's"
    gateway.learn(2)
    assert gateway.addresses()[ip_address("10.0.0.7")].mac == mac(2)

    gateway.bind("10.0.0.7", 2, gone=True)
    assert not gateway.addresses()
    assert set(gateway.macs()) == {mac(1), mac(2)}


def test_addresses_of_routers_are_not_announced() -> None:
    gateway = Gateway(1).start()
    gateway.learn(1)
    gateway.bind("2001:db8::7", 1, router=True)

    assert not gateway.addresses()


def test_the_addresses_of_one_station_have_a_limit() -> None:
    gateway = Gateway(1).start()
    gateway.learn(1)
    for last in range(70):
        gateway.bind(f"10.0.1.{last}", 1)
    assert len(gateway.addresses()) == 64

    for last in range(10):
        gateway.bind(f"10.0.1.{last}", 1, gone=True)

    assert len(gateway.addresses()) == 60


def test_what_others_announce_is_in_the_kernel() -> None:
    gateway = Gateway(1).start()
    gateway.hear_routes(
        flood_route(2), mac_route(2, 1), mac_route(2, 1, address="10.0.0.9"), flood_route(3)
    )

    assert set(gateway.kernel.values()) == {
        FloodEntry(VNI, vtep(2)),
        FloodEntry(VNI, vtep(3)),
        RemoteMac(VNI, mac(1), vtep(2)),
        Binding(VNI, ip_address("10.0.0.9"), mac(1)),
    }

    gateway.hear_routes(
        mac_route(2, 1), mac_route(2, 1, address="10.0.0.9"), flood_route(2), withdrawn=True
    )
    assert set(gateway.kernel.values()) == {FloodEntry(VNI, vtep(3))}


def test_an_address_here_is_not_taken_by_another_station_there() -> None:
    gateway = Gateway(1).start()
    gateway.learn(1)
    gateway.bind("10.0.0.9", 1)

    gateway.hear_routes(mac_route(2, 2, address="10.0.0.9"))
    assert not gateway.bindings()

    gateway.age(1)
    assert gateway.bindings() == {ip_address("10.0.0.9"): mac(2)}


def test_an_address_of_two_vteps_is_the_one_of_whom_has_the_station() -> None:
    gateway = Gateway(1).start()
    gateway.hear_routes(
        mac_route(2, 1, address="10.0.0.9"), mac_route(3, 1, sequence=1), mac_route(3, 5)
    )

    assert gateway.where(1) == vtep(3)
    assert not gateway.bindings(), "the VTEP that says so has not the station any more"


def test_a_device_that_is_down_announces_nothing() -> None:
    gateway = Gateway(1).start()
    gateway.learn(1)
    gateway.bind("10.0.0.9", 1)

    gateway.follow(replace(gateway.wanted, segments=(segment(1, up=False),)))
    assert not gateway.announced

    gateway.follow(gateway.wanted)
    assert len(gateway.announced) == 3


def test_a_segment_that_comes_later_has_what_was_heard_before() -> None:
    gateway = Gateway(1, 551).start()
    gateway.hear_routes(flood_route(2), mac_route(2, 1))
    assert not gateway.kernel

    gateway.follow(EvpnWanted(section(1), (segment(1, 551), segment(1, VNI))))
    assert gateway.where(1) == vtep(2)
    assert gateway.floods() == {vtep(2)}

    gateway.follow(EvpnWanted(section(1), (segment(1, 551),)))
    assert not gateway.kernel
    assert list(gateway.announced.values()) == [flood_route(1, 551)]


def test_nothing_is_left_without_a_section() -> None:
    gateway = Gateway(1, VNI, L3VNI, tables=[EvpnTable(L3VNI)]).start()
    gateway.learn(1)
    gateway.hear_routes(flood_route(2), mac_route(2, 2), prefix_route(2, "10.9.0.0/16"))
    assert len(gateway.kernel) == 3

    gateway.follow(None)

    assert not gateway.kernel
    assert not gateway.announced


def test_another_router_id_announces_everything_anew() -> None:
    gateway = Gateway(1).start()
    gateway.learn(1)
    gateway.bind("10.0.0.9", 1)
    other = replace(gateway.wanted.section, router_id=IPv4Address("192.0.2.99"), asn=4200000001)

    gateway.follow(replace(gateway.wanted, section=other))

    assert {route.rd for route in gateway.announced.values()} == {
        "192.0.2.99:550",
        stations_of("192.0.2.99:550"),
    }
    assert {route.targets for route in gateway.announced.values()} == {
        (RouteTarget(4200000001 & 0xFFFF, VNI),)
    }
    assert len(gateway.announced) == 3


def test_another_vtep_address_replaces_the_routes() -> None:
    gateway = Gateway(1).start()
    gateway.learn(1)

    gateway.follow(replace(gateway.wanted, segments=(segment(7),)))

    assert {route.next_hop for route in gateway.announced.values()} == {vtep(7)}
    assert len(gateway.announced) == 2


def test_large_vnis_have_distinguishers_of_their_own() -> None:
    vnis = [550, 65536 + 550, 2 * 65536 + 550, 65536, 0x8000 + 550, 0x8000]
    names = distinguishers(IPv4Address("192.0.2.1"), vnis)

    assert names[550] == "192.0.2.1:550"
    every = [*names.values(), *map(stations_of, names.values())]
    assert len(set(every)) == 2 * len(vnis)
    assert all(0 < int(name.split(":")[1]) < 65536 for name in every)


def test_targets_of_any_as_and_domain_are_imported() -> None:
    gateway = Gateway(1).start()
    route = mac_route(2, 1)

    gateway.hear_routes(replace(route, targets=(RouteTarget(65001, 0x10000000 | VNI),)))

    assert gateway.where(1) == vtep(2)
