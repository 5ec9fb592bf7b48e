# SPDX-License-Identifier: GPL-2.0-or-later
"""RFC 4787 REQ-14 on single frames: fragments that come in order, and floods of others.

Those that come before their first one are followed by the kernel's part: test_live_fragments.
"""

import struct
from collections.abc import Iterator

import pytest
from _gw_native import ffi, lib
from scapy.layers.inet import IP

from hybrid_gateway.lab import LAN, LAN2, WAN
from tests.bpf.frames import ETHERNET, mended
from tests.bpf.plane import HANDOVER, Plane, forwarded
from tests.lib.packets import SERVER, from_lan, from_wan, to_lan, to_wan, udp

from .expected import HIT
from .fragments import KINDS, PIECE, Session, datagram, identification, identifications, pieces

every_kind = pytest.mark.parametrize("kind", KINDS)
FLOOD = 3000
HANDOVER_MAGIC = lib.GW_HANDOVER_MAGIC


@pytest.fixture(autouse=True)
def _forgotten(plane: Plane) -> Iterator[None]:
    """What a flood left is not taken for a part of a later test's datagrams."""
    yield
    plane.own.forget_fragments()


@every_kind
@pytest.mark.parametrize("size", [8, 24, PIECE, 1184], ids="{}-bytes".format)
def test_rfc4787_req14_outbound_fragments_in_order(plane: Plane, kind: str, size: int) -> None:
    """MUST: each is translated as it comes; together they are the datagram, translated."""
    session = Session(plane, kind)
    size = max(size, 24 if kind == "tcp" else 8)
    sent = pieces(session.outbound(next(identifications)), size)

    outcomes = [plane.lan(piece) for piece in sent]

    number = identification([outcome.packet for outcome in outcomes])
    expected = pieces(session.outbound(number, translated=True, ttl=63), size)
    assert len(expected) == len(sent)
    for outcome, piece in zip(outcomes, expected, strict=True):
        forwarded(outcome, to_wan(piece))
        assert outcome.counted == HIT


def test_rfc4787_req14_a_tiny_first_fragment_of_tcp(plane: Plane) -> None:
    """The exception: one without all of the TCP header is an attack on filters (RFC 1858 3)."""
    session = Session(plane, "tcp")
    for size in (8, 16):
        first, second, *_ = pieces(session.outbound(next(identifications)), size)
        assert plane.lan(first).counted == {"DROP_MALFORMED": 1}
        assert plane.lan(second).verdict != "FORWARD"


@every_kind
def test_rfc4787_req14_inbound_fragments_in_order(plane: Plane, kind: str) -> None:
    """MUST: the other way as well; what comes in keeps its identification."""
    session = Session(plane, kind)
    number = next(identifications)
    expected = pieces(session.inbound(number, translated=True, ttl=63))

    for piece, wanted in zip(pieces(session.inbound(number)), expected, strict=True):
        outcome = plane.wan(piece)
        forwarded(outcome, to_lan(wanted))
        assert outcome.counted == HIT


@every_kind
def test_rfc4787_req14_fragments_open_a_session(plane: Plane, kind: str) -> None:
    """MUST: the first packet of a flow may be a fragmented one."""
    target = (SERVER, 0 if kind == "echo" else 53)
    sent = pieces(datagram(kind, (LAN.ip, 4000), target, next(identifications)))
    outcomes = [plane.lan(piece) for piece in sent]

    assert outcomes[0].counted == HIT | {"NAT_NEW_SESSION": 1, "NAT_NEW_MAPPING": 1}
    assert [outcome.counted for outcome in outcomes[1:]] == [HIT] * (len(sent) - 1)
    number = identification([outcome.packet for outcome in outcomes])
    source = (WAN.ip, plane.session().outside[1])
    expected = pieces(datagram(kind, source, target, number, ttl=63))
    for outcome, piece in zip(outcomes, expected, strict=True):
        forwarded(outcome, to_wan(piece))


def test_rfc4787_req14_hairpinned_fragments(plane: Plane) -> None:
    """MUST: between two inside hosts as well."""
    callee = plane.lan(udp(LAN2.ip, SERVER, 5000, 53), LAN2).packet["UDP"].sport
    caller = plane.lan(udp(LAN.ip, WAN.ip, 4000, callee)).packet["UDP"].sport
    sent = pieces(datagram("udp", (LAN.ip, 4000), (WAN.ip, callee), next(identifications)))
    outcomes = [plane.lan(piece) for piece in sent]

    number = identification([outcome.packet for outcome in outcomes])
    expected = pieces(datagram("udp", (WAN.ip, caller), (LAN2.ip, 5000), number, ttl=63))
    for outcome, piece in zip(outcomes, expected, strict=True):
        forwarded(outcome, to_lan(piece, LAN2))


def test_rfc4787_req14_interleaved_datagrams(plane: Plane) -> None:
    """MUST: pieces of several datagrams, of one flow and of two, come mixed."""
    session = Session(plane, "udp")
    numbers = [next(identifications) for _ in range(4)]
    sent = [pieces(session.outbound(number)) for number in numbers]

    outcomes = [[plane.lan(row[i]) for row in sent] for i in range(len(sent[0]))]

    for datagram_pieces in zip(*outcomes, strict=True):
        number = identification([outcome.packet for outcome in datagram_pieces])
        expected = pieces(session.outbound(number, translated=True, ttl=63))
        for outcome, piece in zip(datagram_pieces, expected, strict=True):
            forwarded(outcome, to_wan(piece))


def test_rfc4787_req14_the_same_identification_from_two_hosts(plane: Plane) -> None:
    """MUST NOT be confused: outside they look like one source, and have two identifications."""
    number = next(identifications)
    flows = {
        host.ip: pieces(datagram("udp", (host.ip, 4000), (SERVER, 53), number))
        for host in (LAN, LAN2)
    }
    left = {
        host.ip: [plane.lan(piece, host).packet for piece in flows[host.ip]] for host in (LAN, LAN2)
    }

    assert all(packet[IP].src == WAN.ip for packets in left.values() for packet in packets)
    assert identification(left[LAN.ip]) != identification(left[LAN2.ip])


def test_rfc4787_req14_right_behind_another_packet(plane: Plane) -> None:
    """MUST: a burst shares one answer of the FIB; a first fragment in it is handed over, with
    those that came before it, to the device that the rest of the burst leaves by."""
    session = Session(plane, "udp")
    whole = bytes(from_lan(session.outbound(next(identifications))))
    for _ in range(50):  # some of them within one tick of the kernel's clock
        first, *_, last = pieces(session.outbound(next(identifications)))
        plane.own.forget_fragments()
        burst = [bytes(from_lan(packet)) for packet in (last, first)]
        assert plane.run_uncounted(whole, "lan0")[0] == "REDIRECT"
        assert plane.run_uncounted(burst[0], "lan0")[0] == "PASS"
        action, frame = plane.run_uncounted(burst[1], "lan0")
        assert action == "PASS"
        found = ffi.from_buffer("struct gw_handover *", frame[:HANDOVER])
        assert (found.magic, found.ifindex) == (HANDOVER_MAGIC, plane.site.ifindex("wan0"))
        assert found.flow


@pytest.mark.parametrize("inbound", [False, True], ids=["from inside", "from outside"])
def test_rfc4787_req14a_a_flood_harms_nobody(plane: Plane, *, inbound: bool) -> None:
    """MUST: a flood of fragments without their first ones leaves whole packets and fragments
    in order as they were, and nothing of it leaves translated."""
    session = Session(plane, "udp")
    port = "wan0" if inbound else "lan0"
    second = pieces(session.inbound(1) if inbound else session.outbound(1))[1]
    alone = bytearray(bytes(from_wan(second) if inbound else from_lan(second)))
    for number in range(FLOOD):
        struct.pack_into("!H", alone, ETHERNET + 4, number)
        action, _ = plane.run_uncounted(mended(alone), port)
        assert action in ("DROP", "PASS")

    assert plane.lan(udp(LAN.ip, SERVER, 4000, 53)).counted == HIT
    assert plane.lan(udp(LAN2.ip, SERVER, 4000, 53), LAN2).verdict == "FORWARD"
    number = FLOOD + 1
    expected = pieces(session.inbound(number, translated=True, ttl=63))
    for piece, wanted in zip(pieces(session.inbound(number)), expected, strict=True):
        forwarded(plane.wan(piece), to_lan(wanted))
    assert [plane.lan(piece).counted for piece in pieces(session.outbound(number))] == [HIT] * 4
