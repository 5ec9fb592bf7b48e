# SPDX-License-Identifier: GPL-2.0-or-later
"""Outer packets in pieces, as routers and VTEPs make them (RFC 791 section 3.2, RFC 8200 4.5)."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

UNIT = 8
"""Offsets are multiples of it."""


def payload_of(frame: Packet) -> bytes:
    """What the outer IP packet carries: UDP, and all behind it."""
    whole = Ether(bytes(frame))
    return bytes(whole.payload.payload)


def family_of(frame: Packet) -> int:
    return 4 if frame.type == 0x0800 else 6


def piece(
    frame: Packet, begin: int, end: int, number: int, *, more: bool | None = None, **fields: Any
) -> Packet:
    """The bytes from `begin` to `end` of the frame's IP payload, in a fragment of that
    identification. `fields` are those of the outer IP header."""
    whole = Ether(bytes(frame))
    payload = payload_of(frame)
    follows = end < len(payload) if more is None else more
    part = Raw(payload[begin:end])
    head = Ether(src=whole.src, dst=whole.dst)
    if family_of(whole) == 4:
        ip = whole[IP]
        own = {"tos": ip.tos, "ttl": ip.ttl, "proto": ip.proto} | fields
        flags = "MF" if follows else 0
        return head / IP(
            src=ip.src, dst=ip.dst, id=number, flags=flags, frag=begin // UNIT, **own
        ) / part  # fmt: skip
    ip6 = whole[IPv6]
    own = {"tc": ip6.tc, "hlim": ip6.hlim, "fl": ip6.fl} | fields
    cut = IPv6ExtHdrFragment(nh=ip6.nh, offset=begin // UNIT, m=int(follows), id=number)
    return head / IPv6(src=ip6.src, dst=ip6.dst, **own) / cut / part


def pieces(frame: Packet, cuts: Sequence[int], number: int = 1) -> list[Packet]:
    """The frame, cut at these offsets of its IP payload."""
    edges = [0, *cuts, len(payload_of(frame))]
    return [piece(frame, *edge, number) for edge in pairwise(edges)]


def fitting(frame: Packet, mtu: int, number: int) -> list[Packet]:
    """As few pieces as this MTU allows, all but the last as long as possible."""
    headers = 20 if family_of(frame) == 4 else 48
    chunk = (mtu - headers) // UNIT * UNIT
    return pieces(frame, range(chunk, len(payload_of(frame)), chunk), number)


def number_of(frame: Packet) -> int:
    """The identification of a fragment."""
    if family_of(frame) == 4:
        return int(frame[IP].id)
    return int(frame[IPv6ExtHdrFragment].id)
