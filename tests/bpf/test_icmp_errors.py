# SPDX-License-Identifier: GPL-2.0-or-later
"""ICMP errors about packets of sessions (RFC 5508 section 4), whole frames before and after."""

from typing import Any

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_Router_Alert
from scapy.packet import Packet, Raw

from tests.lib.packets import (
    LAN,
    LAN2,
    PAYLOAD,
    SERVER,
    WAN,
    echo,
    ip,
    same,
    tcp,
    to_lan,
    to_wan,
    udp,
    wire,
)

from .plane import Plane

HOP = "198.51.100.200"
"""A router between the gateway and the server."""


def _error(source: str, target: str, quote: bytes, *, ttl: int = 64, **fields: int) -> Packet:
    return wire(ip(source, target, ttl) / ICMP(**({"type": 3, "code": 3} | fields)) / Raw(quote))


KINDS: dict[str, Any] = {
    "udp": lambda a, b, p, q, **f: udp(a, b, p, q, **f),
    "tcp": lambda a, b, p, q, **f: tcp(a, b, p, q, **f),
    "icmp": lambda a, b, p, _, **f: echo(a, b, p, **f),
}


def _source_port(packet: Packet) -> int:
    return int(packet[ICMP].id if ICMP in packet else packet[IP].payload.sport)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cut", [8, 12, 20, 1000])
@pytest.mark.parametrize(("type_", "code"), [(3, 1), (3, 3), (3, 4), (11, 0), (12, 0)])
def test_from_outside(plane: Plane, kind: str, cut: int, type_: int, code: int) -> None:
    sent = KINDS[kind](LAN.ip, SERVER, 4000, 80)
    left = plane.lan(sent).packet
    port = _source_port(left)
    before = plane.session()
    fields = {"type": type_, "code": code, "nexthopmtu": 1300 * (type_ == 3)}

    # The quote as a router saw it, one hop further; reverted, it is as the sender's but for that.
    quoted = wire(KINDS[kind](WAN.ip, SERVER, port, 80, ttl=60))
    reverted = wire(KINDS[kind](LAN.ip, SERVER, 4000, 80, ttl=60))
    outcome = plane.wan(_error(HOP, WAN.ip, bytes(quoted)[: 20 + cut], **fields))

    assert outcome.counted == {"FORWARD": 1, "NAT_ICMP_ERROR": 1}
    expected = _error(HOP, LAN.ip, bytes(reverted)[: 20 + cut], ttl=63, **fields)
    same(outcome.packet, to_lan(expected))
    after = plane.session()
    assert (after.packets_in, after.expires_in <= before.expires_in) == (0, True)


@pytest.mark.parametrize("kind", KINDS)
def test_from_inside(plane: Plane, kind: str) -> None:
    port = _source_port(plane.lan(KINDS[kind](LAN.ip, SERVER, 4000, 80)).packet)
    answers: dict[str, Any] = {
        "udp": lambda to, number: udp(SERVER, to, 80, number, ttl=50),
        "tcp": lambda to, number: tcp(SERVER, to, 80, number, "SA", ttl=50),
        "icmp": lambda to, number: echo(SERVER, to, number, reply=True, ttl=50),
    }
    answer = answers[kind]

    # Whoever inside complains, outside it is the gateway.
    for source in (LAN.ip, LAN2.ip):
        error = _error(source, SERVER, bytes(wire(answer(LAN.ip, 4000))))
        outcome = plane.lan(error)
        assert outcome.verdict == "FORWARD"
        expected = _error(WAN.ip, SERVER, bytes(wire(answer(WAN.ip, port))), ttl=63)
        same(outcome.packet, to_wan(expected))


def test_between_two_inside_hosts(plane: Plane) -> None:
    callee = plane.lan(udp(LAN2.ip, SERVER, 5000, 53), LAN2).packet[UDP].sport
    called = plane.lan(udp(LAN.ip, WAN.ip, 4000, callee)).packet
    caller = called[UDP].sport

    quoted = wire(udp(WAN.ip, LAN2.ip, caller, 5000, ttl=63))
    outcome = plane.lan(_error(LAN2.ip, WAN.ip, bytes(quoted)), LAN2)

    reverted = wire(udp(LAN.ip, WAN.ip, 4000, callee, ttl=63))
    same(outcome.packet, to_lan(_error(WAN.ip, LAN.ip, bytes(reverted), ttl=63)))


def test_options_in_the_quote_are_stepped_over(plane: Plane) -> None:
    port = plane.lan(udp(LAN.ip, SERVER, 4000, 80)).packet[UDP].sport

    def quoted(source: str, number: int) -> bytes:
        header = ip(source, SERVER, options=[IPOption_Router_Alert()] * 10)
        return bytes(wire(header / UDP(sport=number, dport=80) / Raw(PAYLOAD)))

    outcome = plane.wan(_error(HOP, WAN.ip, quoted(WAN.ip, port)))
    same(outcome.packet, to_lan(_error(HOP, LAN.ip, quoted(LAN.ip, 4000), ttl=63)))


def test_extensions_stay(plane: Plane) -> None:
    """RFC 4884: the quote is padded to 128 bytes, its length stands in words, extensions follow."""
    port = plane.lan(tcp(LAN.ip, SERVER, 4000, 80)).packet[TCP].sport
    extension = bytes.fromhex("2000dfff 0008 0101 00002141".replace(" ", ""))

    def quote(source: str, number: int) -> bytes:
        return bytes(wire(tcp(source, SERVER, number, 80))).ljust(128, b"\0") + extension

    outcome = plane.wan(_error(HOP, WAN.ip, quote(WAN.ip, port), type=11, code=0, length=32))
    expected = _error(HOP, LAN.ip, quote(LAN.ip, 4000), ttl=63, type=11, code=0, length=32)
    same(outcome.packet, to_lan(expected))


def test_a_quote_without_udp_checksum_stays_so(plane: Plane) -> None:
    port = plane.lan(udp(LAN.ip, SERVER, 4000, 80)).packet[UDP].sport
    quotes = []
    for source, number in ((WAN.ip, port), (LAN.ip, 4000)):
        quoted = ip(source, SERVER) / UDP(sport=number, dport=80, chksum=0) / Raw(PAYLOAD)
        quotes.append(bytes(wire(quoted)))

    outcome = plane.wan(_error(HOP, WAN.ip, quotes[0]))
    same(outcome.packet, to_lan(_error(HOP, LAN.ip, quotes[1], ttl=63)))


def test_what_is_wrong_is_dropped(plane: Plane) -> None:
    port = plane.lan(udp(LAN.ip, SERVER, 4000, 80)).packet[UDP].sport
    quoted = bytes(wire(udp(WAN.ip, SERVER, port, 80)))
    good = _error(HOP, WAN.ip, quoted)
    assert plane.wan(good).verdict == "FORWARD"

    wrong = bytearray(bytes(good))
    wrong[-1] ^= 1
    assert plane.wan(IP(bytes(wrong))).verdict == "DROP_CHECKSUM"
    header = bytearray(quoted)
    header[8] ^= 1  # the quoted TTL, which its header checksum covers
    assert plane.wan(_error(HOP, WAN.ip, bytes(header))).verdict == "DROP_CHECKSUM"
    assert plane.wan(_error(HOP, WAN.ip, quoted[:27])).verdict == "DROP_ICMP"
    assert plane.wan(_error(HOP, WAN.ip, b"\x65" + quoted[1:])).verdict == "DROP_ICMP"
    assert plane.wan(_error(HOP, WAN.ip, b"\x4f" + quoted[1:28])).verdict == "DROP_ICMP"
    assert plane.wan(_error(LAN.ip, WAN.ip, quoted)).verdict == "DROP_SOURCE"
    assert plane.wan(_error(HOP, WAN.ip, quoted, ttl=1)).verdict == "DROP_TTL"
    other = bytes(wire(udp(WAN.ip, SERVER, port, 81)))
    assert plane.wan(_error(HOP, WAN.ip, other)).verdict == "PUNT_ICMP"
    later = bytes(wire(ip(WAN.ip, SERVER, frag=3) / UDP(sport=port, dport=80)))
    assert plane.wan(_error(HOP, WAN.ip, later)).verdict == "PUNT_ICMP"
    inside = bytes(wire(udp(SERVER, LAN.ip, 80, 4000)))
    assert plane.lan(_error(LAN.ip, "198.51.100.1", inside)).verdict == "DROP_ICMP"
    assert plane.lan(_error("10.9.9.9", SERVER, inside)).verdict == "PUNT_SOURCE"
