# SPDX-License-Identifier: GPL-2.0-or-later
"""RFC 5508 REQ-8: the sender of what there is no room for is told."""

import pytest
from scapy.layers.inet import ICMP, IP, UDP
from scapy.packet import Packet, Raw

from hybrid_gateway.lab import GW_INSIDE, LAN, LAN2, WAN
from tests.bpf.plane import Outcome, Plane
from tests.lib.packets import SERVER, SERVER2, echo, tcp, to_lan, udp, wire

from .errors import MINIMUM


def refused(outcome: Outcome, reason: str, about: Packet) -> None:
    """Dropped for that reason, and its sender told: ICMP 3/13, which quotes what it sent."""
    assert outcome.counted == {reason: 1, "NAT_REFUSAL": 1}
    assert outcome.action == "TX"
    told = outcome.packet
    quoted = bytes(told[ICMP].payload)
    assert len(quoted) >= MINIMUM
    assert bytes(wire(about)).startswith(quoted)
    header = IP(src=GW_INSIDE.ip, dst=about[IP].src, ttl=64, tos=0xC0, id=told[IP].id)
    header.flags = told[IP].flags
    assert outcome.frame == bytes(to_lan(header / ICMP(type=3, code=13) / Raw(quoted)))


PACKETS = [
    udp(LAN.ip, SERVER, 4000, 53),
    tcp(LAN.ip, SERVER, 4000, 80),
    echo(LAN.ip, SERVER, 77),
    udp(LAN.ip, SERVER, 4000, 53, payload=bytes(1400)),
]
every_packet = pytest.mark.parametrize("packet", PACKETS, ids=["udp", "tcp", "echo", "long"])


@every_packet
def test_rfc5508_req8_no_outside_port(plane: Plane, packet: Packet) -> None:
    """SHOULD: ICMP 3/13 to the sender when there is no session for a new flow."""
    plane.configure(ports=(20000, 20001))
    for number in (5000, 5001):
        for build in (udp, tcp):
            assert plane.lan(build(LAN2.ip, SERVER, number, 53), LAN2).verdict == "FORWARD"
        assert plane.lan(echo(LAN2.ip, SERVER, number), LAN2).verdict == "FORWARD"

    refused(plane.lan(packet), "DROP_NO_PORT", packet)


@every_packet
def test_rfc5508_req8_the_host_has_its_share(plane: Plane, packet: Packet) -> None:
    """SHOULD: likewise for what the administrator does not allow."""
    plane.configure(host_sessions=1)
    assert plane.lan(udp(LAN.ip, SERVER2, 5000, 53)).verdict == "FORWARD"

    refused(plane.lan(packet), "DROP_HOST_LIMIT", packet)


@every_packet
def test_rfc5508_req8_the_table_is_full(plane: Plane, packet: Packet) -> None:
    """SHOULD: likewise when no host can open a session any more."""
    for dport in range(1, plane.capacity + 1):
        plane.lan(udp(LAN2.ip, SERVER, 4000, dport), LAN2)

    refused(plane.lan(packet), "DROP_TABLE_FULL", packet)


def test_rfc5508_req8_nobody_outside_is_told(plane: Plane) -> None:
    """The sender is an inside host; an Internet host learns nothing of the NAT's limits."""
    plane.configure(host_sessions=1)
    port = plane.lan(udp(LAN.ip, SERVER, 4000, 53)).packet[UDP].sport
    assert plane.wan(udp(SERVER, WAN.ip, 54, port)).counted == {"DROP_HOST_LIMIT": 1}
