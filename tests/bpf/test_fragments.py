# SPDX-License-Identifier: GPL-2.0-or-later
"""Fragments in XDP: the first translates, the others follow it (RFC 4787 REQ-14, RFC 6864)."""

from typing import Any

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, fragment
from scapy.packet import Packet, Raw

from tests.lib.packets import (
    LAN,
    LAN2,
    SERVER,
    WAN,
    from_wan,
    ip,
    same,
    to_lan,
    to_wan,
    udp,
    wire,
)

from .plane import Plane

BIG = bytes(range(256)) * 5
KINDS: dict[str, Any] = {
    "udp": lambda port, peer: UDP(sport=port, dport=peer),
    "tcp": lambda port, peer: TCP(sport=port, dport=peer, flags="S"),
    "icmp": lambda port, _: ICMP(type="echo-request", id=port),
}


@pytest.fixture(autouse=True)
def _no_fragments(plane: Plane) -> None:
    plane.own.forget_fragments()


def _pieces(source: str, target: str, transport: Packet, ttl: int = 64, **fields: Any) -> Any:
    header = ip(source, target, ttl, flags=0, **fields)
    return fragment(wire(header / transport / Raw(BIG)), fragsize=400)


@pytest.mark.parametrize("kind", KINDS)
def test_outwards_in_order(plane: Plane, kind: str) -> None:
    sent = _pieces(LAN.ip, SERVER, KINDS[kind](4000, 80))
    outcomes = [plane.lan(piece) for piece in sent]

    assert [outcome.verdict for outcome in outcomes] == ["FORWARD"] * len(sent)
    first = outcomes[0].packet[IP]
    port = first[ICMP].id if kind == "icmp" else first.payload.sport
    expected = _pieces(WAN.ip, SERVER, KINDS[kind](port, 80), ttl=63)
    for outcome, piece in zip(outcomes, expected, strict=True):
        piece.id = first.id
        same(outcome.packet, to_wan(wire(IP(bytes(piece)))))


def test_inwards_in_order_and_the_identification_stays(plane: Plane) -> None:
    port = plane.lan(udp(LAN.ip, SERVER, 4000, 53)).packet[UDP].sport
    sent = _pieces(SERVER, WAN.ip, UDP(sport=53, dport=port))
    expected = _pieces(SERVER, LAN.ip, UDP(sport=53, dport=4000), ttl=63)

    for piece, wanted in zip(sent, expected, strict=True):
        same(plane.wan(piece).packet, to_lan(wanted))
    assert plane.session().packets_in == len(sent)


def test_two_hosts_with_one_identification_leave_with_two(plane: Plane) -> None:
    ids = set()
    for host in (LAN, LAN2):
        pieces = _pieces(host.ip, SERVER, UDP(sport=4000, dport=80))
        left = {plane.lan(piece, host).packet[IP].id for piece in pieces}
        assert len(left) == 1
        ids |= left
    assert len(ids) == 2


def test_what_may_be_cut_gets_an_identification_and_what_may_not_keeps_its(plane: Plane) -> None:
    packets = [plane.lan(udp(LAN.ip, SERVER, 4000, 53, df=False)).packet[IP] for _ in range(3)]
    assert len({packet.id for packet in packets}) == 3
    port = packets[0][UDP].sport
    assert plane.lan(udp(LAN.ip, SERVER, 4000, 53)).packet[IP].id == 0x1234
    inward = plane.wan(udp(SERVER, WAN.ip, 53, port, df=False))
    same(inward.packet, to_lan(udp(SERVER, LAN.ip, 53, 4000, ttl=63, df=False)))


@pytest.mark.parametrize("outbound", [True, False])
def test_out_of_order(plane: Plane, outbound: bool) -> None:
    """The kernel gets what came early, too; what XDP kept follows the first one through TC."""
    port = plane.lan(udp(LAN.ip, SERVER, 4000, 53)).packet[UDP].sport
    pieces = _pieces(LAN.ip, SERVER, UDP(sport=4000, dport=53))
    if not outbound:
        pieces = _pieces(SERVER, WAN.ip, UDP(sport=53, dport=port))
    run = plane.lan if outbound else plane.wan

    for early in (pieces[2], pieces[1]):
        assert run(early).counted == {"PUNT_FRAGMENT": 1, "FRAGMENT_KEPT": 1}
    assert run(pieces[0]).verdict == "PUNT_REPLAY"
    assert run(pieces[3]).verdict == "FORWARD"


def test_a_flood_leaves_room_for_others(plane: Plane) -> None:
    """One source has at most half of the places of its set; the next one still gets some."""
    for number in range(40):
        flood = ip(SERVER, WAN.ip, flags=0, frag=100 + number, proto=17) / Raw(bytes(64))
        outcome = plane.wan(flood)
        kept = "FRAGMENT_KEPT" if number < 16 else "FRAGMENT_NOT_KEPT"
        assert outcome.counted == {"PUNT_FRAGMENT": 1, kept: 1}
    other = ip("198.51.100.77", WAN.ip, flags=0, frag=100, proto=17) / Raw(bytes(64))
    assert plane.wan(other).counted == {"PUNT_FRAGMENT": 1, "FRAGMENT_KEPT": 1}


def test_a_flood_of_packets_does_not_push_out_anothers(plane: Plane) -> None:
    port = plane.lan(udp(LAN.ip, SERVER, 4000, 53)).packet[UDP].sport
    pieces = _pieces(SERVER, WAN.ip, UDP(sport=53, dport=port))
    assert plane.wan(pieces[0]).verdict == "FORWARD"
    for number in range(50):
        plane.lan(_pieces(LAN2.ip, SERVER, UDP(sport=4000, dport=80), id=number)[0], LAN2)
    assert plane.wan(pieces[1]).verdict == "FORWARD"


@pytest.mark.parametrize(
    "fields",
    [
        {"frag": 8190, "flags": 0},  # ends beyond the longest packet
        {"frag": 10, "flags": "MF", "odd": True},  # no multiple of 8, and not the last
        {"frag": 1, "flags": 0, "proto": 6},  # over the flags of a TCP header
    ],
)
def test_what_no_fragment_is(plane: Plane, fields: dict[str, Any]) -> None:
    payload = bytes(63 if fields.pop("odd", False) else 64)
    fields = {"proto": 17} | fields
    assert plane.lan(ip(LAN.ip, SERVER, **fields) / Raw(payload)).verdict == "DROP_MALFORMED"


def test_they_end_with_their_session(plane: Plane) -> None:
    port = plane.lan(udp(LAN.ip, SERVER, 4000, 53)).packet[UDP].sport
    pieces = _pieces(SERVER, WAN.ip, UDP(sport=53, dport=port))
    assert [plane.wan(piece).verdict for piece in pieces[:2]] == ["FORWARD"] * 2
    plane.expire()
    assert plane.wan(pieces[2]).verdict == "PUNT_FRAGMENT"


def test_a_packet_of_the_gateways_own_is_not_taken_for_another(plane: Plane) -> None:
    """The same addresses and identification again: what was remembered of them is forgotten."""
    port = plane.lan(udp(LAN.ip, SERVER, 4000, 53)).packet[UDP].sport
    for piece in _pieces(SERVER, WAN.ip, UDP(sport=53, dport=port)):
        assert plane.wan(piece).verdict == "FORWARD"
    own = _pieces(SERVER, WAN.ip, UDP(sport=53, dport=1000))
    verdicts = [plane.wan(piece).verdict for piece in own]
    assert verdicts == ["PUNT_HOST", *["PUNT_FRAGMENT"] * (len(own) - 1)]


def test_a_flood_from_outside_takes_no_room_from_inside(plane: Plane) -> None:
    for number in range(200):
        source = f"198.51.100.{number + 20}"
        for place in range(4):
            flood = ip(source, WAN.ip, flags=0, frag=100 + place, proto=17) / Raw(bytes(64))
            plane.run_uncounted(bytes(from_wan(flood)), "wan0")
    early = _pieces(LAN.ip, SERVER, UDP(sport=4000, dport=53))[1]
    assert plane.lan(early).counted == {"PUNT_FRAGMENT": 1, "FRAGMENT_KEPT": 1}


def test_of_what_is_not_ours_nothing_is_kept(plane: Plane) -> None:
    stray = ip(SERVER, "192.0.2.77", flags=0, frag=100, proto=17) / Raw(bytes(64))
    assert plane.wan(stray).counted == {"PUNT_FRAGMENT": 1}
