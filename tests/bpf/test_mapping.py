# SPDX-License-Identifier: GPL-2.0-or-later
"""Which outside port an inside endpoint gets (RFC 4787 section 4)."""

import socket
from contextlib import closing
from ipaddress import IPv4Address

import pytest
from scapy.layers.inet import TCP, UDP

from hybrid_gateway.bpf import StaticRecord
from tests.lib.packets import LAN, LAN2, SERVER, WAN, tcp, udp

from .plane import OUTSIDE, Plane


def _udp_port(plane: Plane, sport: int, target: str = SERVER, host: str = LAN.ip) -> int:
    outcome = plane.lan(udp(host, target, sport, 53))
    assert outcome.verdict == "FORWARD", outcome.counted
    return int(outcome.packet[UDP].sport)


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


def test_without_an_outside_address_the_kernel_has_the_packet(plane: Plane) -> None:
    plane.configure(addresses=())

    assert plane.lan(udp(LAN.ip, SERVER, 4000, 53)).verdict == "PUNT_NO_POOL"
    assert plane.wan(udp(SERVER, WAN.ip, 53, 30000)).verdict == "PUNT_HOST"
