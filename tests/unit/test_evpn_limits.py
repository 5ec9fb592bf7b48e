# SPDX-License-Identifier: GPL-2.0-or-later
"""More than there is room for: named, counted, and nobody else harmed."""

from dataclasses import replace
from ipaddress import ip_address
from time import process_time

import pytest

from hybrid_gateway.evpn.flooding import VTEPS_MAX, VTEPS_OF_ONE
from hybrid_gateway.evpn.stations import MACS_MAX, MACS_OF_ONE
from hybrid_gateway.model import EvpnRoute

from .evpn_site import Gateway, flood_route, mac, mac_route, section, vtep


def test_a_neighbour_may_send_so_many_routes() -> None:
    gateway = Gateway(1).start()
    gateway.follow(replace(gateway.wanted, section=section(1, 2, routes_max=100)))
    gateway.hear_routes(*(mac_route(2, one) for one in range(1, 151)), peer=2)
    gateway.hear_routes(mac_route(3, 500), peer=3)

    assert gateway.refused() == {"more routes than it may send": 50}
    assert len(gateway.mind.alerts) == 1
    assert len(gateway.kernel) == 101
    assert gateway.where(500) == vtep(3), "another neighbour is not concerned"
    assert gateway.mind.remote.over_limit() == {vtep(2)}
    assert not gateway.mind.remote.over_limit(), "it is said once"

    gateway.hear_routes(*(mac_route(2, one) for one in range(1, 51)), peer=2, withdrawn=True)
    gateway.hear_routes(*(mac_route(2, one) for one in range(201, 251)), peer=2)
    assert gateway.refused() == {"more routes than it may send": 50}


def test_a_vni_may_have_so_many_stations(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MACS_MAX > MACS_OF_ONE >= 50_000
    assert VTEPS_MAX > VTEPS_OF_ONE >= 64
    monkeypatch.setattr("hybrid_gateway.evpn.stations.MACS_MAX", 10)
    gateway = Gateway(1).start()
    gateway.hear_routes(*(mac_route(2, one) for one in range(1, 13)))

    assert gateway.refused() == {"more MAC addresses than a VNI may have": 2}
    assert len(gateway.kernel) == 10


def test_no_neighbour_takes_all_the_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hybrid_gateway.evpn.stations.MACS_OF_ONE", 5)
    monkeypatch.setattr("hybrid_gateway.evpn.flooding.VTEPS_OF_ONE", 2)
    gateway = Gateway(1).start()
    greedy: list[EvpnRoute] = [mac_route(2, one) for one in range(1, 8)]
    greedy += [flood_route(number) for number in (4, 5, 6)]
    gateway.hear_routes(*greedy, mac_route(2, 5, address="10.0.0.9"), peer=2)
    gateway.hear_routes(mac_route(3, 7), flood_route(6), peer=3)

    assert gateway.refused() == {
        "more MAC addresses of a VNI than it may send": 2,
        "more VTEPs of a VNI than it may send": 1,
    }
    assert gateway.where(7) == vtep(3)
    assert gateway.floods() == {vtep(4), vtep(5), vtep(6)}

    gateway.hear_routes(greedy[0], greedy[7], peer=2, withdrawn=True)
    gateway.hear_routes(mac_route(2, 30), flood_route(7), peer=2)
    assert gateway.where(30) == vtep(2)
    assert gateway.floods() == {vtep(5), vtep(6), vtep(7)}


def test_what_was_left_out_is_taken_when_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever took all of it was shut down, say."""
    monkeypatch.setattr("hybrid_gateway.evpn.stations.MACS_MAX", 10)
    monkeypatch.setattr("hybrid_gateway.evpn.flooding.VTEPS_MAX", 3)
    gateway = Gateway(1).start()
    greedy: list[EvpnRoute] = [mac_route(2, one) for one in range(1, 11)]
    greedy += [flood_route(number) for number in (4, 5, 6)]
    good: list[EvpnRoute] = [mac_route(3, 20), mac_route(3, 21, address="10.0.0.9"), flood_route(3)]
    gateway.hear_routes(*greedy, peer=2)
    gateway.hear_routes(*good, peer=3)
    gateway.now += 60.0
    gateway.flush()
    assert len(gateway.kernel) == 13, "there is none yet"
    before = gateway.refused()

    gateway.hear_routes(*greedy, peer=2, withdrawn=True)
    gateway.now += 60.0
    gateway.flush()

    assert (gateway.where(20), gateway.where(21)) == (vtep(3), vtep(3))
    assert gateway.bindings() == {ip_address("10.0.0.9"): mac(21)}
    assert gateway.floods() == {vtep(3)}
    assert gateway.refused() == before, "a look for room is no refusal"


def test_a_neighbour_may_send_so_many_stations_of_one_address() -> None:
    """All of them are looked at with each change: of fifty thousand, for 0.35 s."""
    gateway = Gateway(1).start()
    gateway.hear_routes(*(mac_route(2, one, address="10.0.0.9") for one in range(3, 2_003)))
    gateway.hear_routes(mac_route(3, 1, address="10.0.0.9", sequence=1), peer=3)

    assert gateway.bindings() == {ip_address("10.0.0.9"): mac(1)}, "others are heard"
    assert gateway.refused() == {"more routes of one IP address than it may send": 2000 - 1024}

    gateway.hear_routes(mac_route(2, 3, address="10.0.0.9"), withdrawn=True)
    gateway.hear_routes(mac_route(2, 3000, address="10.0.0.9", sequence=2))
    assert gateway.bindings() == {ip_address("10.0.0.9"): mac(3000)}, "there is room again"


def test_a_neighbour_may_send_so_many_addresses_of_one_station() -> None:
    gateway = Gateway(1).start()
    many = [str(ip_address(0x0A010000 + number)) for number in range(2000)]
    gateway.hear_routes(*(mac_route(2, 1, address=one) for one in many))
    gateway.hear_routes(mac_route(3, 1, sequence=1), peer=3)

    assert gateway.where(1) == vtep(3), "others are heard"
    assert gateway.refused() == {"more routes of one MAC address than it may send": 2000 - 1024}

    gateway.hear_routes(mac_route(2, 1, address=many[0]), withdrawn=True)
    gateway.hear_routes(mac_route(2, 1, sequence=2))
    assert gateway.where(1) == vtep(2), "there is room again"


def test_so_many_stations_of_a_vni_are_announced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hybrid_gateway.evpn.stations.MACS_MAX", 10)
    gateway = Gateway(1).start()
    for station in range(1, 15):
        gateway.learn(station)

    assert len(gateway.macs()) == 10
    assert gateway.refused() == {"more than 10 stations here of one VNI": 4}
    assert len(gateway.mind.alerts) == 1

    gateway.age(14)
    for station in range(1, 9):
        gateway.age(station)
    assert set(gateway.macs()) == {mac(number) for number in (9, 10, 11, 12, 13)}, "who waited"


def test_so_many_addresses_of_a_station_are_announced() -> None:
    gateway = Gateway(1).start()
    gateway.learn(1)
    for last in (*range(66), 65):
        gateway.bind(f"10.0.1.{last}", 1)

    assert len(gateway.addresses()) == 64
    assert gateway.refused() == {"more than 64 addresses of a station here": 2}


def test_a_flood_list_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hybrid_gateway.evpn.flooding.VTEPS_MAX", 3)
    gateway = Gateway(1).start()

    gateway.hear_routes(*(flood_route(number) for number in range(2, 7)))

    assert gateway.refused() == {"more VTEPs than a VNI may have": 2}
    assert len(gateway.floods()) == 3


def test_many_routes_of_one_vtep_take_no_time() -> None:
    """Of that many, each was compared with all before it: that took more than a minute."""
    gateway = Gateway(1).start()
    many = [replace(flood_route(2), rd=f"192.0.2.2:{number}") for number in range(20_000)]
    began = process_time()

    gateway.hear_routes(*many)
    assert gateway.floods() == {vtep(2)}
    gateway.hear_routes(*many[1:], withdrawn=True)
    assert gateway.floods() == {vtep(2)}
    gateway.hear_routes(replace(many[0], next_hop=vtep(3)))
    assert gateway.floods() == {vtep(3)}
    gateway.hear_routes(many[0], withdrawn=True)

    assert gateway.floods() == set()
    assert process_time() - began < 20.0


def test_a_station_that_moved_away_while_it_had_no_room_stays_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("hybrid_gateway.evpn.stations.MACS_MAX", 1)
    gateway = Gateway(1).start()
    gateway.learn(1)
    gateway.learn(2)
    gateway.hear_routes(mac_route(3, 2), peer=3)

    gateway.age(1)

    assert gateway.where(2) == vtep(3)
    assert not gateway.macs()
