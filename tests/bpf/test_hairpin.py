# SPDX-License-Identifier: GPL-2.0-or-later
"""An inside host talks to another by its outside endpoint (RFC 4787 REQ-9, RFC 5382 REQ-8)."""

from ipaddress import IPv4Address

import pytest
from scapy.layers.inet import ICMP, TCP, UDP

from hybrid_gateway.bpf import StaticRecord
from tests.lib.packets import GW_INSIDE, LAN, LAN2, SERVER, WAN, echo, tcp, to_lan, udp

from .plane import ONE_TO_ONE, OUTSIDE, Plane, forwarded


def _callee(plane: Plane) -> int:
    """Gives LAN2's endpoint 5000 a mapping; returns its outside port."""
    return int(plane.lan(udp(LAN2.ip, SERVER, 5000, 53), LAN2).packet[UDP].sport)


def test_udp_to_a_mapping_and_back(plane: Plane) -> None:
    callee = _callee(plane)

    there = plane.lan(udp(LAN.ip, WAN.ip, 4000, callee))
    caller = there.packet[UDP].sport
    forwarded(there, to_lan(udp(WAN.ip, LAN2.ip, caller, 5000, ttl=63), LAN2))
    assert there.counted == {"FORWARD": 1, "NAT_NEW_SESSION": 1, "NAT_NEW_MAPPING": 1}
    back = plane.lan(udp(LAN2.ip, WAN.ip, 5000, caller), LAN2)
    forwarded(back, to_lan(udp(WAN.ip, LAN.ip, callee, 4000, ttl=63)))
    assert back.counted == {"FORWARD": 1}
    assert sorted(session.origin for session in plane.sessions()) == ["hairpin", "outbound"]


def test_a_host_to_its_own_mapping(plane: Plane) -> None:
    own = plane.lan(udp(LAN.ip, SERVER, 4000, 53)).packet[UDP].sport

    there = plane.lan(udp(LAN.ip, WAN.ip, 4001, own))
    caller = there.packet[UDP].sport
    forwarded(there, to_lan(udp(WAN.ip, LAN.ip, caller, 4000, ttl=63)))
    back = plane.lan(udp(LAN.ip, WAN.ip, 4000, caller))
    forwarded(back, to_lan(udp(WAN.ip, LAN.ip, own, 4001, ttl=63)))


def test_to_a_port_forward(plane: Plane) -> None:
    plane.statics(StaticRecord(6, OUTSIDE, 2222, IPv4Address(LAN2.ip), 22))

    there = plane.lan(tcp(LAN.ip, WAN.ip, 4000, 2222))
    caller = there.packet[TCP].sport
    forwarded(there, to_lan(tcp(WAN.ip, LAN2.ip, caller, 22, ttl=63), LAN2))
    back = plane.lan(tcp(LAN2.ip, WAN.ip, 22, caller, "SA"), LAN2)
    forwarded(back, to_lan(tcp(WAN.ip, LAN.ip, 2222, 4000, "SA", ttl=63)))


def test_to_a_one_to_one_mapping(plane: Plane) -> None:
    plane.statics(StaticRecord(0, ONE_TO_ONE, 0, IPv4Address(LAN2.ip), 0))
    nine = str(ONE_TO_ONE)

    there = plane.lan(udp(LAN.ip, nine, 4000, 7))
    caller = there.packet[UDP].sport
    forwarded(there, to_lan(udp(WAN.ip, LAN2.ip, caller, 7, ttl=63), LAN2))
    back = plane.lan(udp(LAN2.ip, WAN.ip, 7, caller), LAN2)
    forwarded(back, to_lan(udp(nine, LAN.ip, 7, 4000, ttl=63)))


@pytest.mark.parametrize("port", [22, 25000])
def test_what_nobody_holds_is_for_the_gateway(plane: Plane, port: int) -> None:
    assert plane.lan(tcp(LAN.ip, WAN.ip, 4000, port)).verdict == "PUNT_HOST"
    assert plane.lan(udp(LAN.ip, WAN.ip, 4000, port)).verdict == "PUNT_HOST"
    assert plane.lan(echo(LAN.ip, WAN.ip, port)).verdict == "PUNT_HOST"
    assert plane.lan(udp(LAN.ip, GW_INSIDE.ip, 4000, port)).verdict == "PUNT_HOST"


def test_the_callee_s_mapping_lives_as_long_as_the_call(plane: Plane) -> None:
    callee = _callee(plane)
    caller = plane.lan(udp(LAN.ip, WAN.ip, 4000, callee)).packet[UDP].sport
    plane.expire(lambda session: session.origin == "outbound")
    plane.sweep()

    assert [session.origin for session in plane.sessions()] == ["hairpin"]
    back = plane.lan(udp(LAN2.ip, WAN.ip, 5000, caller), LAN2)
    forwarded(back, to_lan(udp(WAN.ip, LAN.ip, callee, 4000, ttl=63)))
    again = plane.lan(udp(LAN2.ip, SERVER, 5000, 54), LAN2)
    assert again.packet[UDP].sport == callee
    assert again.counted == {"FORWARD": 1, "NAT_NEW_SESSION": 1}


def test_the_callee_is_charged_rightly_after_the_call(plane: Plane) -> None:
    """Its port was taken while it had a session; the call kept it when that session ended."""
    plane.statics(StaticRecord(6, OUTSIDE, 2222, IPv4Address(LAN2.ip), 22))
    callee = _callee(plane)
    plane.lan(udp(LAN.ip, WAN.ip, 4000, callee))
    plane.expire(lambda session: session.origin == "outbound")
    plane.sweep()
    plane.lan(udp(LAN2.ip, SERVER, 5000, 53), LAN2)
    plane.wan(tcp(SERVER, WAN.ip, 4000, 2222))
    plane.expire(lambda session: session.origin != "inbound, static")
    plane.sweep()

    assert plane.host(LAN2.ip) == (1, 0)
    assert plane.lan(udp(LAN2.ip, SERVER, 5001, 53), LAN2).verdict == "FORWARD"


def test_an_expired_call_is_answered(plane: Plane) -> None:
    """Not by the kernel, which would take it for its own and refuse it."""
    callee = _callee(plane)
    first = plane.lan(udp(LAN.ip, WAN.ip, 4000, callee, ttl=1))
    assert first.counted == {"REPLY": 1}
    assert first.packet[ICMP].type == 11
    assert len(plane.sessions()) == 1

    plane.lan(udp(LAN.ip, WAN.ip, 4000, callee))
    assert plane.lan(udp(LAN.ip, WAN.ip, 4000, callee, ttl=1)).verdict == "REPLY"
