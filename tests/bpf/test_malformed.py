# SPDX-License-Identifier: GPL-2.0-or-later
"""Frames that contradict themselves or end too early: counted and dropped, never translated."""

from collections.abc import Callable

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.packet import Packet

from tests.lib.packets import LAN, SERVER, WAN, echo, from_lan, from_wan, tcp, udp, wire

from .plane import Plane

ETHERNET, IPV4 = 14, 20
Kind = Callable[[str, str, int, int], Packet]


def _echo(source: str, target: str, sport: int, dport: int) -> Packet:
    del dport
    return echo(source, target, sport)


KINDS: dict[str, Kind] = {"udp": udp, "tcp": tcp, "echo": _echo}
every_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())


def _from_lan(kind: Kind) -> bytes:
    return bytes(from_lan(kind(LAN.ip, SERVER, 4000, 53)))


def _with_length(frame: bytes, length: int) -> bytes:
    """The IPv4 total length says something else, under a right header checksum."""
    packet = wire(from_lan(IP(frame[ETHERNET:])))
    packet[IP].len = length
    del packet[IP].chksum
    return bytes(packet)[:ETHERNET] + bytes(packet)[ETHERNET : len(frame)]


@every_kind
def test_a_frame_that_ends_early(plane: Plane, kind: Kind) -> None:
    whole = _from_lan(kind)
    for length in range(ETHERNET, len(whole)):
        assert plane.run(whole[:length]).counted == {"DROP_TRUNCATED": 1}, length
    assert plane.sessions() == []
    assert plane.run(whole).verdict == "FORWARD"


@every_kind
def test_a_frame_of_a_session_that_ends_early(plane: Plane, kind: Kind) -> None:
    whole = _from_lan(kind)
    plane.run(whole)
    for length in range(ETHERNET, len(whole)):
        assert plane.run(whole[:length]).counted == {"DROP_TRUNCATED": 1}, length
    assert plane.session().packets_out == 1


@every_kind
def test_a_packet_too_short_for_its_headers(plane: Plane, kind: Kind) -> None:
    """The frame is whole; the IPv4 length leaves no room for what must follow."""
    frame = _from_lan(kind)
    least = IPV4 + (20 if kind is tcp else 8)
    for length in range(least):
        outcome = plane.run(_with_length(frame, length))
        assert outcome.counted == {"DROP_MALFORMED": 1}, length
    assert plane.sessions() == []


@every_kind
def test_a_packet_longer_than_its_frame(plane: Plane, kind: Kind) -> None:
    frame = _from_lan(kind)
    for length in (len(frame) - ETHERNET + 1, 1500, 65535):
        assert plane.run(_with_length(frame, length)).counted == {"DROP_TRUNCATED": 1}


def test_a_udp_length_that_lies(plane: Plane) -> None:
    for length in (0, 1, 7, 8 + 32, 65535):
        packet = udp(LAN.ip, SERVER, 4000, 53)
        packet[UDP].len = length
        assert plane.lan(packet).counted == {"DROP_MALFORMED": 1}, length
    assert plane.sessions() == []


def test_a_tcp_offset_that_lies(plane: Plane) -> None:
    for offset in (*range(5), *range(6, 16)):
        packet = tcp(LAN.ip, SERVER, 4000, 80)
        packet[TCP].dataofs = offset
        assert plane.lan(packet).counted == {"DROP_MALFORMED": 1}, offset


@pytest.mark.parametrize("first", [0x05, 0x35, 0x55, 0x65, 0x40, 0x44, 0xF5])
def test_another_version_or_a_header_too_short(plane: Plane, first: int) -> None:
    frame = bytearray(_from_lan(udp))
    frame[ETHERNET] = first

    assert plane.run(bytes(frame)).counted == {"DROP_MALFORMED": 1}


def test_every_single_bit_of_the_header_is_covered_by_its_checksum(plane: Plane) -> None:
    frame = _from_lan(udp)
    plane.run(frame)
    for bit in range(8 * IPV4):
        broken = bytearray(frame)
        broken[ETHERNET + bit // 8] ^= 1 << bit % 8
        outcome = plane.run(bytes(broken))
        expected = {"DROP_CHECKSUM"}
        if bit < 32:  # version, header length, type of service and total length
            expected |= {"DROP_MALFORMED", "DROP_TRUNCATED", "PUNT_OPTIONS"}
        assert outcome.verdict in expected, bit
    assert len(plane.sessions()) == 1
    assert plane.session().packets_out == 1


def test_a_wrong_checksum_of_a_session_from_outside(plane: Plane) -> None:
    port = plane.lan(udp(LAN.ip, SERVER, 4000, 53)).packet[UDP].sport
    answer = wire(from_wan(udp(SERVER, WAN.ip, 53, port)))
    answer[IP].chksum ^= 0x0101

    assert plane.run(answer, "wan0").counted == {"DROP_CHECKSUM": 1}


def test_a_wrong_transport_checksum_stays_as_wrong(plane: Plane) -> None:
    """Whether it is right is for the receiver to say: the error survives the translation."""
    port = plane.lan(udp(LAN.ip, SERVER, 4000, 53)).packet[UDP].sport
    right = wire(udp(LAN.ip, SERVER, 4000, 53))[UDP].chksum
    expected = wire(udp(WAN.ip, SERVER, port, 53))[UDP].chksum

    packet = udp(LAN.ip, SERVER, 4000, 53)
    packet[UDP].chksum = right - 1
    found = plane.lan(packet).packet[UDP].chksum

    assert (found - expected) % 0xFFFF == 0xFFFF - 1


@pytest.mark.parametrize("frame", [b"\0" * 14, b"\xff" * 14, b"\0" * 60, b"\xff" * 1514])
def test_noise(plane: Plane, frame: bytes) -> None:
    for port in ("lan0", "lan2", "wan0"):
        assert plane.run(frame, port).verdict.startswith(("PUNT_", "DROP_"))
