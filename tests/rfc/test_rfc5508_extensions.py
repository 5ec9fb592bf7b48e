# SPDX-License-Identifier: GPL-2.0-or-later
"""RFC 5508 REQ-3d with RFC 4884, and quotes of every length: what is behind the headers stays."""

import struct

import pytest

from hybrid_gateway.lab import LAN, WAN, checksums
from tests.bpf.frames import IPV4
from tests.bpf.plane import Plane, forwarded
from tests.lib.packets import SERVER, to_lan, to_wan

from .errors import FORWARDED, KINDS, MINIMUM, ROUTER_FAR, error, opened

PADDED = 128
"""Bytes to which RFC 4884 pads what is quoted in front of extensions."""


def extensions() -> bytes:
    """One MPLS label stack object (RFC 4950) behind its header, checksum and all."""
    labels = struct.pack("!HBB", 8, 1, 1) + struct.pack("!I", 0x12345 << 12 | 0x1FF)
    without = struct.pack("!BBH", 0x20, 0, 0) + labels
    return without[:2] + struct.pack("!H", 0xFFFF - checksums.folded(without)) + without[4:]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("icmp", "code"), [(3, 1), (11, 0), (12, 0)])
@pytest.mark.parametrize("told", [True, False], ids=["with length", "without length"])
def test_rfc5508_req3d_extensions_stay(
    plane: Plane, kind: str, icmp: int, code: int, told: bool
) -> None:
    """MUST: padding and extensions are no part of the embedded packet; they go along as they
    are, also behind a router that says nothing about them (RFC 4884 5.5)."""
    flow = opened(plane, kind)
    length = {"length": PADDED // 4} if told else {}

    def quoted(packet: bytes) -> bytes:
        return packet.ljust(PADDED, b"\0") + extensions()

    inbound = quoted(bytes(flow.outbound(translated=True)))
    reverted = quoted(bytes(flow.outbound(translated=False)))
    outcome = plane.wan(error(ROUTER_FAR, WAN.ip, inbound, icmp, code, **length))
    expected = error(ROUTER_FAR, LAN.ip, reverted, icmp, code, ttl=63, **length)
    forwarded(outcome, to_lan(expected))
    assert outcome.counted == FORWARDED

    outbound = quoted(bytes(flow.inbound(translated=True)))
    reverted = quoted(bytes(flow.inbound(translated=False)))
    outcome = plane.lan(error(LAN.ip, SERVER, outbound, icmp, code, **length))
    expected = error(WAN.ip, SERVER, reverted, icmp, code, ttl=63, **length)
    forwarded(outcome, to_wan(expected))


@pytest.mark.parametrize("kind", KINDS)
def test_rfc5508_req4_quotes_of_every_length(plane: Plane, kind: str) -> None:
    """RFC 792 quotes 64 bits, RFC 1812 as much as fits, and anything between happens: the
    checksum of the transport header is corrected when it is there (half of one cannot be)."""
    flow = opened(plane, kind)
    quoted = bytes(flow.outbound(translated=True))
    reverted = bytes(flow.outbound(translated=False))
    half = {"tcp": IPV4 + 17}.get(kind)
    for length in {*range(MINIMUM, len(quoted) + 1)} - {half}:
        outcome = plane.wan(error(ROUTER_FAR, WAN.ip, quoted[:length], 11, 0))
        expected = error(ROUTER_FAR, LAN.ip, reverted[:length], 11, 0, ttl=63)
        forwarded(outcome, to_lan(expected))


@pytest.mark.parametrize("kind", KINDS)
def test_rfc5508_req4_a_quote_too_short_for_its_session(plane: Plane, kind: str) -> None:
    """Less than 64 bits of the transport header say too little: nothing is passed on."""
    flow = opened(plane, kind)
    quoted = bytes(flow.outbound(translated=True))
    for length in range(MINIMUM):
        outcome = plane.wan(error(ROUTER_FAR, WAN.ip, quoted[:length], 11, 0))
        assert outcome.verdict in ("DROP_ICMP", "PUNT_ICMP"), length
