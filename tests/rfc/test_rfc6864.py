# SPDX-License-Identifier: GPL-2.0-or-later
"""RFC 6864 section 5.3.1 (RFC 7857 section 10): the identification of translated datagrams."""

import os

import pytest
from scapy.layers.inet import IP, UDP
from scapy.packet import Packet, Raw

from hybrid_gateway.lab import LAN, LAN2, WAN, Interface
from tests.bpf.frames import ETHERNET
from tests.bpf.plane import Plane, forwarded
from tests.lib.packets import SERVER, from_lan, to_lan, to_wan

MANY = 8000
"""Datagrams within the two minutes that a number should rest."""


def numbered(
    source: str, target: str, sport: int, dport: int, number: int, *, df: bool, ttl: int = 64
) -> Packet:
    header = IP(src=source, dst=target, ttl=ttl, id=number, flags="DF" if df else 0)
    return header / UDP(sport=sport, dport=dport) / Raw(b"x")


def left(plane: Plane, number: int, *, df: bool, host: Interface = LAN) -> IP:
    outcome = plane.lan(numbered(host.ip, SERVER, 4000, 53, number, df=df), host)
    packet = outcome.packet[IP]
    port, found = packet[UDP].sport, packet.id
    forwarded(outcome, to_wan(numbered(WAN.ip, SERVER, port, 53, found, df=df, ttl=63)))
    return packet


def _identification(plane: Plane, frame: bytes) -> int:
    action, sent = plane.run_uncounted(frame, "lan0")
    assert action == "REDIRECT"
    return int.from_bytes(sent[ETHERNET + 4 : ETHERNET + 6], "big")


@pytest.mark.parametrize("number", [0, 1, 0x1234, 0xFFFF])
def test_rfc6864_sec4_1_atomic_datagrams_keep_theirs(plane: Plane, number: int) -> None:
    """The identification of a whole datagram with DF means nothing: it is left alone, like DF
    itself, which MUST NOT be cleared (4.2)."""
    packet = left(plane, number, df=True)
    assert (packet.id, packet.flags) == (number, "DF")


def test_rfc6864_sec5_3_1_non_atomic_datagrams_are_unique(plane: Plane) -> None:
    """MUST: as if the NAT had sent them: two inside hosts that use the same identification
    towards one host do not appear with the same one outside."""
    for host in (LAN, LAN2):
        left(plane, 0, df=False, host=host)
    frames = [
        bytes(from_lan(numbered(host.ip, SERVER, 4000, 53, 1, df=False))) for host in (LAN, LAN2)
    ]
    seen = [_identification(plane, frame) for _ in range(MANY // 2) for frame in frames]
    assert len(set(seen)) == MANY


def test_rfc6864_sec5_3_1_one_host_repeating_itself(plane: Plane) -> None:
    """MUST: a host that gives all its datagrams one number is no excuse."""
    frame = bytes(from_lan(numbered(LAN.ip, SERVER, 4000, 53, 0, df=False)))
    left(plane, 0, df=False)
    seen = [_identification(plane, frame) for _ in range(MANY)]
    assert len(set(seen)) == MANY


def test_rfc6864_sec5_3_1_unique_on_all_cores_together(plane: Plane) -> None:
    """MUST: which core happens to translate a datagram makes no difference."""
    frame = bytes(from_lan(numbered(LAN.ip, SERVER, 4000, 53, 0, df=False)))
    left(plane, 0, df=False)
    cores, seen = os.sched_getaffinity(0), []
    try:
        for turn in range(MANY // 100):
            os.sched_setaffinity(0, {sorted(cores)[turn % len(cores)]})
            seen += [_identification(plane, frame) for _ in range(100)]
    finally:
        os.sched_setaffinity(0, cores)
    assert len(set(seen)) == len(seen)


def test_rfc6864_what_comes_in_keeps_its_own(plane: Plane) -> None:
    """Inwards the sender's address stays, so its identifications are unique already."""
    port = left(plane, 7, df=True)[UDP].sport
    for df in (False, True):
        outcome = plane.wan(numbered(SERVER, WAN.ip, 53, port, 0x4321, df=df))
        expected = numbered(SERVER, LAN.ip, 53, 4000, 0x4321, df=df, ttl=63)
        forwarded(outcome, to_lan(expected))
