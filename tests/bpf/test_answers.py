# SPDX-License-Identifier: GPL-2.0-or-later
"""Packets that go no further: the kernel answers those from inside, the program the others."""

import os

import pytest
from scapy.layers.inet import ICMP, IP, UDP
from scapy.packet import Packet, Raw

from tests.lib.packets import LAN, LAN2, ROUTER, SERVER, WAN, from_wan, to_wan, udp, wire

from .plane import Plane, forwarded
from .site import FAR_NARROW, NARROW, NARROW_MAC, NARROW_MTU

BIG = bytes(NARROW_MTU)
ERRORS_PER_S = 100


def _big(source: str, target: str, sport: int, dport: int) -> Packet:
    packet = udp(source, target, sport, dport, payload=BIG)
    packet[IP].flags = "DF"
    return packet


def _error(about: Packet, **fields: int) -> Packet:
    """The ICMP error to the Internet host that sent `about` to the outside address."""
    quote = bytes(wire(about))[:28]
    header = IP(src=about[IP].dst, dst=about[IP].src, ttl=64, tos=0xC0, id=0, flags="DF")
    return to_wan(header / ICMP(**fields) / Raw(quote))


def _narrow_session(plane: Plane) -> int:
    """Opens a session of the inside host whose link is narrow; returns its outside port."""
    packet = udp(NARROW, SERVER, 4000, 53)
    frame = bytes.fromhex("0200c0a86e01") + bytes.fromhex(NARROW_MAC.replace(":", ""))
    outcome = plane.run(frame + b"\x08\0" + bytes(packet))
    assert outcome.verdict == "FORWARD"
    return int(outcome.packet[UDP].sport)


def test_expired_outbound_is_left_to_the_kernel(plane: Plane) -> None:
    assert plane.lan(udp(LAN.ip, SERVER, 4000, 53, ttl=1)).verdict == "PUNT_TTL"
    assert plane.lan(udp(LAN.ip, SERVER, 4000, 53, ttl=0)).verdict == "PUNT_TTL"
    assert plane.sessions() == []


def test_expired_outbound_of_a_session_is_left_untranslated(plane: Plane) -> None:
    plane.lan(udp(LAN.ip, SERVER, 4000, 53))

    assert plane.lan(udp(LAN.ip, SERVER, 4000, 53, ttl=1)).verdict == "PUNT_TTL"


@pytest.mark.parametrize("ttl", [0, 1])
@pytest.mark.parametrize("payload", [b"", b"x" * 1400])
def test_expired_inbound_is_answered(plane: Plane, ttl: int, payload: bytes) -> None:
    port = plane.lan(udp(LAN.ip, SERVER, 4000, 53)).packet[UDP].sport
    expired = udp(SERVER, WAN.ip, 53, port, ttl=ttl, payload=payload)

    outcome = plane.wan(expired)

    assert outcome.counted == {"REPLY": 1}
    assert outcome.frame == bytes(_error(expired, type=11, code=0))
    assert plane.session().packets_in == 0


def test_too_big_outbound_is_left_to_the_kernel(plane: Plane) -> None:
    assert plane.lan(udp(LAN.ip, FAR_NARROW, 4000, 53)).verdict == "FORWARD"

    assert plane.lan(_big(LAN.ip, FAR_NARROW, 4000, 53)).verdict == "PUNT_TOO_BIG"


def test_too_big_inbound_is_answered_with_the_right_mtu(plane: Plane) -> None:
    port = _narrow_session(plane)
    big = _big(SERVER, WAN.ip, 53, port)

    outcome = plane.wan(big)

    assert outcome.counted == {"REPLY": 1}
    assert outcome.frame == bytes(_error(big, type=3, code=4, nexthopmtu=NARROW_MTU))


def test_what_just_fits_is_forwarded(plane: Plane) -> None:
    port = _narrow_session(plane)
    fits = bytes(NARROW_MTU - 28)

    outcome = plane.wan(udp(SERVER, WAN.ip, 53, port, payload=fits))

    expected = wire(to_wan(udp(SERVER, NARROW, 53, 4000, ttl=63, payload=fits)))
    expected.src, expected.dst = "02:00:c0:a8:6e:01", NARROW_MAC
    forwarded(outcome, expected)
    longer = bytes(NARROW_MTU - 27)
    outcome = plane.wan(udp(SERVER, WAN.ip, 53, port, payload=longer, df=False))
    assert outcome.verdict == "PUNT_CUT"


@pytest.mark.parametrize("refused", ["DROP_TTL", "DROP_TOO_BIG"])
def test_answers_are_limited(plane: Plane, refused: str) -> None:
    port = _narrow_session(plane)
    packet = udp(SERVER, WAN.ip, 53, port, ttl=1)
    if refused == "DROP_TOO_BIG":
        packet = _big(SERVER, WAN.ip, 53, port)
    frame = bytes(from_wan(packet))
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})  # the budget is each core's own
    try:
        verdicts = [plane.run(frame, "wan0").verdict for _ in range(3 * ERRORS_PER_S)]
    finally:
        os.sched_setaffinity(0, cores)

    assert set(verdicts) == {"REPLY", refused}
    # A new second may begin meanwhile, and give as many again.
    assert verdicts.count("REPLY") <= 2 * ERRORS_PER_S


def test_the_answer_goes_back_the_way_the_packet_came(plane: Plane) -> None:
    port = plane.lan(udp(LAN.ip, SERVER, 4000, 53)).packet[UDP].sport

    outcome = plane.wan(udp(SERVER, WAN.ip, 53, port, ttl=1))

    assert (outcome.packet.src, outcome.packet.dst) == (WAN.mac, ROUTER.mac)
    assert outcome.action == "TX"


def test_refusals_leave_the_budget_of_others_alone(plane: Plane) -> None:
    port = _narrow_session(plane)
    plane.configure(host_sessions=1)
    plane.lan(udp(LAN.ip, SERVER, 4000, 53))
    told = [plane.lan(udp(LAN.ip, SERVER, 5000 + n, 53)).counted for n in range(300)]
    assert {"DROP_HOST_LIMIT": 1} in told  # their own is used up
    assert plane.wan(_big(SERVER, WAN.ip, 53, port)).verdict == "REPLY"


@pytest.mark.parametrize("source", ["255.255.255.255", "224.0.0.1", "192.168.110.255", "8.8.8.8"])
def test_no_error_goes_to_what_is_no_host_of_ours(plane: Plane, source: str) -> None:
    callee = plane.lan(udp(LAN2.ip, SERVER, 5000, 53), LAN2).packet[UDP].sport
    assert plane.lan(udp(source, WAN.ip, 4000, callee, ttl=1)).verdict == "PUNT_SOURCE"
