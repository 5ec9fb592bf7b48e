# SPDX-License-Identifier: GPL-2.0-or-later
"""TTL: decremented once, and answered when it expires."""

import pytest
from scapy.layers.inet import ICMP, IP, UDP
from scapy.packet import Packet, Raw

from tests.lib.gateway import Gateway
from tests.lib.packets import (
    GW_INSIDE,
    LAN,
    SERVER,
    WAN,
    from_lan,
    from_wan,
    same,
    to_lan,
    udp,
    wire,
)
from tests.lib.traffic import Wires, is_icmp_error


def time_exceeded_from_the_gateway(answer: Packet, expired: Packet) -> None:
    assert (answer[IP].src, answer[IP].dst) == (GW_INSIDE.ip, LAN.ip)
    assert (answer[ICMP].type, answer[ICMP].code) == (11, 0)
    # What is quoted is what the host sent, with its own address.
    assert bytes(answer[ICMP].payload).startswith(bytes(wire(expired))[:28])


@pytest.mark.parametrize("ttl", [2, 3, 255])
def test_every_hop_costs_one(wires: Wires, gateway: Gateway, ttl: int) -> None:
    counts = gateway.counting()
    sent = from_lan(udp(LAN.ip, SERVER, 4000, 53, ttl=ttl))
    out = wires.send_and_expect(sent, at="lan", to="wan")
    assert out[IP].ttl == ttl - 1
    counts.expect(FORWARD=1, NAT_NEW_MAPPING=1, NAT_NEW_SESSION=1)


def test_expired_before_there_is_a_session(wires: Wires, gateway: Gateway) -> None:
    counts = gateway.counting()
    expired = udp(LAN.ip, SERVER, 4000, 53, ttl=1)
    answer = wires.send_and_expect(from_lan(expired), at="lan", to="lan", wanted=is_icmp_error)
    time_exceeded_from_the_gateway(answer, expired)
    counts.expect(PUNT_TTL=1)


def test_expired_on_a_session(wires: Wires, gateway: Gateway) -> None:
    """As traceroute over an existing flow: the session must not carry it on."""
    wires.send_and_expect(from_lan(udp(LAN.ip, SERVER, 4000, 53)), at="lan", to="wan")
    counts = gateway.counting()
    expired = udp(LAN.ip, SERVER, 4000, 53, ttl=1)
    answer = wires.send_and_expect(from_lan(expired), at="lan", to="lan", wanted=is_icmp_error)
    time_exceeded_from_the_gateway(answer, expired)
    counts.expect(PUNT_TTL=1)


def test_expired_on_the_way_in(wires: Wires, gateway: Gateway) -> None:
    """Only XDP knows where this was going: it answers by itself, from the outside address."""
    first = from_lan(udp(LAN.ip, SERVER, 4000, 53))
    port = wires.send_and_expect(first, at="lan", to="wan")[UDP].sport
    counts = gateway.counting()
    expired = udp(SERVER, WAN.ip, 53, port, ttl=1)
    wires.send(from_wan(expired), at="wan")
    # XDP_TX into a veth waits for another frame to push it unless the far end has an XDP
    # program: the kernel's veth_xdp_flush() asks for one and does not look at GRO.
    answer = wires.send_and_expect(first, at="lan", to="wan", wanted=is_icmp_error)
    assert (answer[IP].src, answer[IP].dst) == (WAN.ip, SERVER)
    assert (answer[ICMP].type, answer[ICMP].code) == (11, 0)
    assert bytes(answer[ICMP].payload).startswith(bytes(wire(expired))[:28])
    counts.expect(REPLY=1, FORWARD=1)


def test_expiry_on_the_way_in_ends_no_session(wires: Wires, gateway: Gateway) -> None:
    """RFC 4787 REQ-12."""
    first = from_lan(udp(LAN.ip, SERVER, 4000, 53))
    port = wires.send_and_expect(first, at="lan", to="wan")[UDP].sport
    counts = gateway.counting()
    wires.send(from_wan(udp(SERVER, WAN.ip, 53, port, ttl=1)), at="wan")
    counts.expect(REPLY=1)
    back = wires.send_and_expect(from_wan(udp(SERVER, WAN.ip, 53, port)), at="wan", to="lan")
    same(back, to_lan(udp(SERVER, LAN.ip, 53, 4000, ttl=63)))
    assert back[Raw].load
