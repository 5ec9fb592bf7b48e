# SPDX-License-Identifier: GPL-2.0-or-later
"""RFC 6888, what it asks beyond RFC 4787, RFC 5382 and RFC 5508: limits, and who pays."""

from itertools import pairwise
from typing import Any

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP

from hybrid_gateway.lab import LAN, LAN2, WAN
from hybrid_gateway.model import Timeouts
from tests.bpf.plane import ONE_TO_ONE, OUTSIDE, SETTINGS, Plane, forwarded
from tests.lib.packets import SERVER, SERVER2, echo, tcp, to_lan, to_wan, udp

from .expected import HIT, NEW, NEW_SESSION


def test_rfc6888_req2_pooling_is_paired_for_every_protocol(plane: Plane) -> None:
    """MUST by default: one outside address for all that a subscriber does."""
    plane.configure(addresses=(OUTSIDE, ONE_TO_ONE))
    for last in range(10, 20):
        host = f"192.168.110.{last}"
        packets = (udp(host, SERVER, 1, 53), tcp(host, SERVER2, 2, 80), echo(host, SERVER, 3))
        assert len({plane.lan(packet).packet[IP].src for packet in packets}) == 1


def test_rfc6888_req3_a_pool_of_any_addresses(plane: Plane) -> None:
    """SHOULD NOT limit contiguity: 203.0.113.2 and .9, and both are used to the last port."""
    plane.configure(addresses=(OUTSIDE, ONE_TO_ONE), ports=(20000, 20003), host_ports=1)
    seen: set[tuple[str, int]] = set()
    for last in range(10, 60):
        outcome = plane.lan(udp(f"192.168.110.{last}", SERVER, 4000, 53))
        if outcome.verdict == "FORWARD":
            seen.add((outcome.packet[IP].src, outcome.packet[UDP].sport))
    assert seen == {(str(a), p) for a in (OUTSIDE, ONE_TO_ONE) for p in range(20000, 20004)}


def test_rfc6888_req4_ports_of_a_subscriber(plane: Plane) -> None:
    """MUST: a limit on outside ports and identifiers per inside host, configurable (a); what
    the host has goes on, and its neighbour is not concerned."""
    plane.configure(host_ports=3)
    held = [
        plane.lan(packet) for packet in (udp(LAN.ip, SERVER, 1, 53), tcp(LAN.ip, SERVER, 1, 80))
    ]
    held.append(plane.lan(echo(LAN.ip, SERVER, 1)))
    assert [outcome.counted for outcome in held] == [NEW] * 3

    for packet in (udp(LAN.ip, SERVER, 2, 53), tcp(LAN.ip, SERVER, 2, 80), echo(LAN.ip, SERVER, 2)):
        assert plane.lan(packet).verdict == "DROP_HOST_LIMIT"
    assert plane.lan(udp(LAN.ip, SERVER2, 1, 53)).counted == NEW_SESSION
    assert plane.lan(udp(LAN2.ip, SERVER, 2, 53), LAN2).counted == NEW
    assert plane.host(LAN.ip) == (4, 3)


def test_rfc6888_req5_state_of_a_subscriber(plane: Plane) -> None:
    """SHOULD: a limit on sessions per inside host, whoever opens them."""
    plane.configure(host_sessions=4)
    port = plane.lan(udp(LAN.ip, SERVER, 4000, 1)).packet[UDP].sport
    for dport in range(2, 5):
        assert plane.lan(udp(LAN.ip, SERVER, 4000, dport)).counted == NEW_SESSION

    assert plane.lan(udp(LAN.ip, SERVER, 4000, 5)).verdict == "DROP_HOST_LIMIT"
    assert plane.wan(udp(SERVER, WAN.ip, 99, port)).counted == {"DROP_HOST_LIMIT": 1}
    assert plane.lan(udp(LAN2.ip, SERVER, 4000, 5), LAN2).counted == NEW
    assert plane.host(LAN.ip) == (4, 1)


def test_rfc6888_req8_a_freed_port_rests(plane: Plane) -> None:
    """SHOULD NOT be given out again for 120 s; configurable."""
    assert Timeouts().port_rest >= 120
    # Outside the range of the other tests, whose ports would be resting.
    plane.configure(ports=(61000, 61001), port_rest=120)
    first = plane.lan(udp(LAN.ip, SERVER, 4000, 53)).packet[UDP].sport
    plane.dataplane.clear_sessions()

    second = plane.lan(udp(LAN.ip, SERVER, 4000, 53)).packet[UDP].sport
    assert {first, second} == {61000, 61001}
    assert plane.lan(udp(LAN.ip, SERVER, 4002, 53)).verdict == "DROP_NO_PORT"
    plane.configure(ports=(61000, 61001), port_rest=0)
    outcome = plane.lan(udp(LAN.ip, SERVER, 4002, 53))
    forwarded(outcome, to_wan(udp(WAN.ip, SERVER, first, 53, ttl=63)))


SHORTAGES: dict[str, dict[str, Any]] = {
    "DROP_NO_PORT": {"ports": (20000, 20001)},
    "DROP_HOST_LIMIT": {"host_sessions": 2},
    "DROP_TABLE_FULL": {},
}


@pytest.mark.parametrize("reason", SHORTAGES)
def test_rfc6888_req11_nothing_is_evicted(plane: Plane, reason: str) -> None:
    """MUST: drop the packet (a), and not one mapping or session to make room for it (d)."""
    plane.configure(**SHORTAGES[reason])
    first = plane.lan(udp(LAN.ip, SERVER, 4000, 53)).packet[UDP].sport
    second = plane.lan(tcp(LAN.ip, SERVER, 4000, 80)).packet[TCP].sport
    if reason == "DROP_NO_PORT":
        assert plane.lan(udp(LAN2.ip, SERVER, 4001, 53), LAN2).verdict == "FORWARD"
    elif reason == "DROP_TABLE_FULL":
        for dport in range(1, plane.capacity - 1):
            assert plane.lan(udp(LAN2.ip, SERVER, 4001, dport), LAN2).verdict == "FORWARD"
    before = {(s.inside, s.outside, s.remote) for s in plane.sessions()}

    for number in range(100):
        assert plane.lan(udp(LAN.ip, SERVER2, 5000 + number, 53)).verdict == reason

    assert {(s.inside, s.outside, s.remote) for s in plane.sessions()} == before
    for sent, wanted in (
        (udp(SERVER, WAN.ip, 53, first), udp(SERVER, LAN.ip, 53, 4000, ttl=63)),
        (tcp(SERVER, WAN.ip, 80, second, "SA"), tcp(SERVER, LAN.ip, 80, 4000, "SA", ttl=63)),
    ):
        outcome = plane.wan(sent)
        forwarded(outcome, to_lan(wanted))
        assert outcome.counted == HIT


def test_rfc6888_req13_every_port_is_used(plane: Plane) -> None:
    """SHOULD maximize port utilization: all of the range, before anybody is refused."""
    plane.configure(ports=(20000, 20099))
    ports = set()
    for sport in range(100):
        ports.add(plane.lan(udp(LAN.ip, SERVER, 4000 + 2 * sport, 53)).packet[UDP].sport)
    assert ports == set(range(20000, 20100))


def test_rfc6888_req15_ports_are_hard_to_guess(plane: Plane) -> None:
    """SHOULD (RFC 7857 section 9, RFC 6056): at random from the whole range."""
    low, high = SETTINGS.ports
    ports = [plane.lan(udp(LAN.ip, SERVER, 4000 + i, 53)).packet[UDP].sport for i in range(60)]

    assert all(low <= port <= high for port in ports)
    assert len(set(ports)) == len(ports)
    assert len({after - before for before, after in pairwise(ports)}) > 30
    # Sixty at random are all in one half of the range once in 10^17 times.
    assert min(ports) < (low + high) // 2 < max(ports)


def test_rfc6888_req15_identifiers_are_hard_to_guess(plane: Plane) -> None:
    """SHOULD: identifiers of ICMP are what ports are."""
    found = [plane.lan(echo(LAN.ip, SERVER, i)).packet[ICMP].id for i in range(60)]
    assert len({after - before for before, after in pairwise(found)}) > 30
