# SPDX-License-Identifier: GPL-2.0-or-later
"""Port forwards and 1:1 mappings, opened from either side."""

from ipaddress import IPv4Address

import pytest
from scapy.layers.inet import TCP
from scapy.packet import Packet

from hybrid_gateway.bpf import StaticRecord
from tests.lib.packets import LAN, LAN2, SERVER, WAN, echo, tcp, to_lan, to_wan, udp

from .plane import ONE_TO_ONE, OUTSIDE, Plane, forwarded

SSH = StaticRecord(6, OUTSIDE, 2222, IPv4Address(LAN.ip), 22)
DNS = StaticRecord(17, OUTSIDE, 53, IPv4Address(LAN.ip), 5353)
WHOLE = StaticRecord(0, ONE_TO_ONE, 0, IPv4Address(LAN2.ip), 0)
NINE = str(ONE_TO_ONE)


@pytest.fixture(autouse=True)
def statics(plane: Plane) -> None:
    plane.statics(SSH, DNS, WHOLE)


def test_a_tcp_forward_from_outside(plane: Plane) -> None:
    outcome = plane.wan(tcp(SERVER, WAN.ip, 4000, 2222))

    forwarded(outcome, to_lan(tcp(SERVER, LAN.ip, 4000, 22, ttl=63)))
    assert outcome.counted == {"FORWARD": 1, "NAT_NEW_SESSION": 1}
    answer = plane.lan(tcp(LAN.ip, SERVER, 22, 4000, "SA"))
    forwarded(answer, to_wan(tcp(WAN.ip, SERVER, 2222, 4000, "SA", ttl=63)))
    assert plane.session().origin == "inbound, static"
    assert plane.host(LAN.ip) == (1, 0)


def test_a_udp_forward_from_outside(plane: Plane) -> None:
    forwarded(
        plane.wan(udp(SERVER, WAN.ip, 4000, 53)),
        to_lan(udp(SERVER, LAN.ip, 4000, 5353, ttl=63)),
    )
    forwarded(
        plane.lan(udp(LAN.ip, SERVER, 5353, 4000)),
        to_wan(udp(WAN.ip, SERVER, 53, 4000, ttl=63)),
    )


def test_a_forward_used_from_inside_keeps_its_outside_port(plane: Plane) -> None:
    outcome = plane.lan(udp(LAN.ip, SERVER, 5353, 4000))

    forwarded(outcome, to_wan(udp(WAN.ip, SERVER, 53, 4000, ttl=63)))
    assert outcome.counted == {"FORWARD": 1, "NAT_NEW_SESSION": 1}
    assert plane.session().origin == "outbound, static"


def test_a_forward_is_of_one_protocol(plane: Plane) -> None:
    assert plane.wan(udp(SERVER, WAN.ip, 4000, 2222)).verdict == "PUNT_HOST"
    other = plane.lan(tcp(LAN.ip, SERVER, 5353, 80))
    assert other.packet[TCP].sport >= 20000


@pytest.mark.parametrize("flags", ["A", "SA", "R", "F", "FA"])
def test_a_forward_needs_a_syn(plane: Plane, flags: str) -> None:
    """Anything else may belong to a connection that the kernel's rule for the forward opened."""
    assert plane.wan(tcp(SERVER, WAN.ip, 4000, 2222, flags)).verdict == "PUNT_NO_SESSION"
    assert plane.sessions() == []


def test_filtering_does_not_concern_forwards(plane: Plane) -> None:
    plane.configure(filtering=2)

    assert plane.wan(tcp(SERVER, WAN.ip, 4000, 2222)).verdict == "FORWARD"
    assert plane.wan(tcp(SERVER, WAN.ip, 4001, 2222)).verdict == "FORWARD"


def _packets(source: str, target: str, ttl: int, *, answer: bool) -> list[Packet]:
    sport, dport = (80, 4000) if answer else (4000, 80)
    return [
        udp(source, target, sport, dport, ttl=ttl),
        tcp(source, target, sport, dport, "SA" if answer else "S", ttl=ttl),
        echo(source, target, 77, reply=answer, ttl=ttl),
    ]


@pytest.mark.parametrize("kind", [0, 1, 2], ids=["udp", "tcp", "echo"])
def test_one_to_one_from_outside(plane: Plane, kind: int) -> None:
    out = plane.wan(_packets(SERVER, NINE, 64, answer=False)[kind])
    forwarded(out, to_lan(_packets(SERVER, LAN2.ip, 63, answer=False)[kind], LAN2))
    back = plane.lan(_packets(LAN2.ip, SERVER, 64, answer=True)[kind], LAN2)
    forwarded(back, to_wan(_packets(NINE, SERVER, 63, answer=True)[kind]))
    assert back.counted == {"FORWARD": 1}


@pytest.mark.parametrize("kind", [0, 1, 2], ids=["udp", "tcp", "echo"])
def test_one_to_one_from_inside(plane: Plane, kind: int) -> None:
    out = plane.lan(_packets(LAN2.ip, SERVER, 64, answer=False)[kind], LAN2)
    forwarded(out, to_wan(_packets(NINE, SERVER, 63, answer=False)[kind]))
    back = plane.wan(_packets(SERVER, NINE, 64, answer=True)[kind])
    forwarded(back, to_lan(_packets(SERVER, LAN2.ip, 63, answer=True)[kind], LAN2))
    assert plane.host(LAN2.ip) == (1, 0)


def test_an_outside_address_that_was_taken_away_is_not_ours(plane: Plane) -> None:
    plane.statics()
    plane.dataplane.set_addresses([OUTSIDE])

    assert plane.wan(udp(SERVER, NINE, 4000, 80)).verdict == "PUNT_NOT_NAT"


def test_a_forward_that_was_taken_away_leaves_its_sessions(plane: Plane) -> None:
    plane.wan(tcp(SERVER, WAN.ip, 4000, 2222))
    plane.statics()

    assert plane.lan(tcp(LAN.ip, SERVER, 22, 4000, "SA")).verdict == "FORWARD"
    assert plane.wan(tcp(SERVER, WAN.ip, 4001, 2222)).verdict == "PUNT_HOST"


def test_an_expired_packet_opens_nothing(plane: Plane) -> None:
    assert plane.wan(tcp(SERVER, WAN.ip, 4000, 2222, ttl=1)).counted == {"REPLY": 1}
    assert plane.sessions() == []
