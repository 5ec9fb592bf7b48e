# SPDX-License-Identifier: GPL-2.0-or-later
"""Which outside port an inside endpoint gets (RFC 4787 section 4)."""

import socket
from contextlib import closing
from ipaddress import IPv4Address
from itertools import pairwise

import pytest
from scapy.layers.inet import ICMP, TCP, UDP

from hybrid_gateway.bpf import StaticRecord
from tests.lib.packets import LAN, LAN2, SERVER, SERVER2, WAN, echo, tcp, to_wan, udp

from .plane import ONE_TO_ONE, OUTSIDE, SETTINGS, Plane, forwarded


def _udp_port(plane: Plane, sport: int, target: str = SERVER, host: str = LAN.ip) -> int:
    outcome = plane.lan(udp(host, target, sport, 53))
    assert outcome.verdict == "FORWARD", outcome.counted
    return int(outcome.packet[UDP].sport)


def test_a_mapping_is_endpoint_independent(plane: Plane) -> None:
    first = plane.lan(udp(LAN.ip, SERVER, 4000, 53))
    port = first.packet[UDP].sport

    other_port = plane.lan(udp(LAN.ip, SERVER, 4000, 54))
    forwarded(other_port, to_wan(udp(WAN.ip, SERVER, port, 54, ttl=63)))
    assert other_port.counted == {"FORWARD": 1, "NAT_NEW_SESSION": 1}
    other_host = plane.lan(udp(LAN.ip, SERVER2, 4000, 53))
    forwarded(other_host, to_wan(udp(WAN.ip, SERVER2, port, 53, ttl=63)))
    assert plane.host(LAN.ip) == (3, 1)


def test_two_hosts_never_share_a_port(plane: Plane) -> None:
    plane.configure(ports=(20000, 20007))
    ports = [_udp_port(plane, 4000), _udp_port(plane, 4000, host=LAN2.ip)]
    ports += [_udp_port(plane, 4001 + i) for i in range(6)]

    assert sorted(ports) == list(range(20000, 20008))


def test_protocols_have_ports_of_their_own(plane: Plane) -> None:
    plane.configure(ports=(20000, 20000))

    assert _udp_port(plane, 4000) == 20000
    assert plane.lan(tcp(LAN.ip, SERVER, 4000, 80)).packet[TCP].sport == 20000
    assert plane.lan(echo(LAN.ip, SERVER, 4000)).packet[ICMP].id == 20000
    assert plane.host(LAN.ip) == (3, 3)


def test_parity_is_kept(plane: Plane) -> None:
    plane.configure(ports=(20001, 20200))
    for sport in range(4000, 4080):
        assert _udp_port(plane, sport) % 2 == sport % 2


@pytest.mark.parametrize("ports", [(20000, 20009), (20000, 20010), (20001, 20010), (20001, 20011)])
def test_parity_is_kept_while_such_a_port_is_free(plane: Plane, ports: tuple[int, int]) -> None:
    plane.configure(ports=ports)
    everything = range(ports[0], ports[1] + 1)
    even = [port for port in everything if port % 2 == 0]

    assert sorted(_udp_port(plane, 4000 + 2 * i) for i in range(len(even))) == even
    odd = _udp_port(plane, 4998)
    assert odd % 2 == 1
    assert odd in everything


def test_ports_stay_in_their_range_and_are_random(plane: Plane) -> None:
    low, high = SETTINGS.ports
    ports = [_udp_port(plane, 4000 + i) for i in range(60)]

    assert all(low <= port <= high for port in ports)
    assert len(set(ports)) == len(ports)
    steps = {after - before for before, after in pairwise(ports)}
    assert len(steps) > 30


def test_a_privileged_port_gets_an_unprivileged_one(plane: Plane) -> None:
    assert _udp_port(plane, 123) >= SETTINGS.ports[0]


def test_pooling_is_paired(plane: Plane) -> None:
    plane.configure(addresses=(OUTSIDE, ONE_TO_ONE))
    chosen = set()
    for last in range(10, 26):
        host = f"192.168.110.{last}"
        sources = {plane.lan(udp(host, SERVER, 4000 + i, 53)).packet["IP"].src for i in range(3)}
        assert len(sources) == 1
        chosen |= sources
    assert chosen == {str(OUTSIDE), str(ONE_TO_ONE)}


def test_no_port_is_taken_that_a_socket_of_the_host_has(plane: Plane) -> None:
    plane.configure(ports=(30000, 30001))
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as held:
        held.bind((WAN.ip, 30000))

        assert _udp_port(plane, 4000) == 30001
        assert plane.lan(udp(LAN.ip, SERVER, 4001, 53)).verdict == "DROP_NO_PORT"
        assert plane.wan(udp(SERVER, WAN.ip, 53, 30000)).verdict == "PUNT_HOST"
    assert plane.wan(udp(SERVER, WAN.ip, 53, 30000)).verdict == "DROP_NO_MAPPING"


@pytest.mark.parametrize("address", ["0.0.0.0", WAN.ip])
def test_no_port_is_taken_that_the_host_listens_on(plane: Plane, address: str) -> None:
    plane.configure(ports=(30000, 30001))
    with closing(socket.create_server((address, 30001))):
        outcome = plane.lan(tcp(LAN.ip, SERVER, 4001, 80))
        assert outcome.packet[TCP].sport == 30000
        assert plane.lan(tcp(LAN.ip, SERVER, 4002, 80)).verdict == "DROP_NO_PORT"
        assert plane.wan(tcp(SERVER, WAN.ip, 53, 30001)).verdict == "PUNT_HOST"
        assert plane.wan(tcp(SERVER, WAN.ip, 53, 30001, "A")).verdict == "PUNT_HOST"
    assert plane.wan(tcp(SERVER, WAN.ip, 53, 30001)).verdict == "DROP_NO_MAPPING"


def test_no_port_is_taken_that_is_forwarded(plane: Plane) -> None:
    plane.configure(ports=(30000, 30001))
    forward = StaticRecord(17, OUTSIDE, 30000, IPv4Address(LAN2.ip), 7)
    plane.statics(forward)

    assert _udp_port(plane, 4000) == 30001
    assert plane.lan(udp(LAN.ip, SERVER, 4002, 53)).verdict == "DROP_NO_PORT"
    assert plane.lan(tcp(LAN.ip, SERVER, 4000, 80)).packet[TCP].sport == 30000


def test_a_freed_port_rests(plane: Plane) -> None:
    # Outside the range of the other tests, whose ports would be resting.
    plane.configure(ports=(61000, 61001), port_rest=120)
    first = _udp_port(plane, 4000)
    plane.dataplane.clear_sessions()

    assert {first, _udp_port(plane, 4000)} == {61000, 61001}
    assert plane.lan(udp(LAN.ip, SERVER, 4002, 53)).verdict == "DROP_NO_PORT"
    plane.configure(ports=(61000, 61001), port_rest=0)
    assert _udp_port(plane, 4002) == first


def test_without_an_outside_address_the_kernel_has_the_packet(plane: Plane) -> None:
    plane.configure(addresses=())

    assert plane.lan(udp(LAN.ip, SERVER, 4000, 53)).verdict == "PUNT_NO_POOL"
    assert plane.wan(udp(SERVER, WAN.ip, 53, 30000)).verdict == "PUNT_HOST"
