# SPDX-License-Identifier: GPL-2.0-or-later
"""Route netlink by the byte: attributes to build requests of, and what the kernel said of
addresses and neighbours (of routes: routing.py) made such that it can be said back for another
device.

In a message that is kept, OURS stands where the device's ifindex was, and what only an answer
has (counters, states, ages) is gone. Two of them that are equal mean the same.
"""

import struct
from collections.abc import Iterable
from dataclasses import dataclass

from ..errors import DeviceError
from ..rtnl import ATTRIBUTE, HEADER, NLA_TYPE_MASK

OURS = 0
"""No device has that ifindex."""
NLA_F_NESTED = 0x8000

ADDRESS = struct.Struct("=BBBBI")
"""struct ifaddrmsg: family, prefix length, flags, scope, ifindex."""
NEIGHBOUR = struct.Struct("=BxxxiHBB")
"""struct ndmsg: family, ifindex, state, flags, type."""
NEXTHOP = struct.Struct("=BBBxI")
"""struct nhmsg: family, scope, protocol, flags."""
IFINFO = struct.Struct("=BxHiII")

IFA_ADDRESS, IFA_LOCAL, IFA_CACHEINFO, IFA_FLAGS = 1, 2, 6, 8
IFA_F_TEMPORARY = 0x01
IFA_F_ANSWERS = 0x01 | 0x08 | 0x20 | 0x40 | 0x80
"""Secondary, DAD failed, deprecated, tentative, permanent: what the kernel finds out itself."""
FOREVER = 0xFFFFFFFF
RTNH_F_ANSWERS = 0xFF & ~0x04
"""All but onlink: dead, offloaded, link down and the like."""
NDA_DST, NDA_LLADDR, NDA_CACHEINFO, NDA_PROBES, NDA_MASTER = 1, 2, 3, 4, 9
NUD_NOARP, NUD_PERMANENT = 0x40, 0x80
NTF_PROXY = 0x08
NHA_ID, NHA_GROUP, NHA_OIF, NHA_ENCAP = 1, 2, 5, 8
NHA_SAID = (1, 2, 3, 4, 5, 6, 7, 8, 11)
"""What a request may have: no bridge that the kernel names, and no buckets of a resilient group."""


def attribute(kind: int, value: bytes) -> bytes:
    return ATTRIBUTE.pack(ATTRIBUTE.size + len(value), kind) + value + bytes(-len(value) % 4)


def nested(kind: int, *parts: bytes) -> bytes:
    return attribute(kind | NLA_F_NESTED, b"".join(parts))


def number(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack("=I", value))


def text(kind: int, value: str) -> bytes:
    return attribute(kind, value.encode() + b"\0")


def link(ifindex: int, *parts: bytes, flags: int = 0, change: int = 0, family: int = 0) -> bytes:
    """A message about a device."""
    return IFINFO.pack(family, 0, ifindex, flags, change) + b"".join(parts)


def u32(value: bytes) -> int:
    return int(struct.unpack("=I", value)[0]) if len(value) == 4 else 0


@dataclass(frozen=True, slots=True)
class Fields:
    """A message in parts; what is kept is `pack`ed again."""

    head: tuple[int, ...]
    attrs: tuple[tuple[int, bytes], ...]
    """In the order of their types, for two messages to be compared."""

    def get(self, kind: int) -> bytes:
        """Empty when there is none."""
        for found, value in self.attrs:
            if found == kind:
                return value
        return b""


def fields(layout: struct.Struct, body: bytes, start: int = 0) -> Fields:
    """DeviceError when it is shorter than its header. A loop of its own: there may be 100,000."""
    end, offset = len(body), start + layout.size
    if end < offset:
        raise DeviceError("a netlink message is cut short", code="device.record")
    attrs = []
    while offset + ATTRIBUTE.size <= end:
        length, kind = ATTRIBUTE.unpack_from(body, offset)
        if length < ATTRIBUTE.size or offset + length > end:
            break
        attrs.append((kind & NLA_TYPE_MASK, body[offset + ATTRIBUTE.size : offset + length]))
        offset += (length + 3) & ~3
    attrs.sort()
    return Fields(layout.unpack_from(body, start), tuple(attrs))


def pack(layout: struct.Struct, head: Iterable[int], attrs: Iterable[tuple[int, bytes]]) -> bytes:
    return layout.pack(*head) + b"".join(attribute(kind, value) for kind, value in attrs)


# ---- addresses --------------------------------------------------------------------------


def keep_address(message: bytes) -> bytes | None:
    """None: one that the kernel makes up by itself (RFC 8981)."""
    one = fields(ADDRESS, message, HEADER.size)
    family, bits, flags, scope, _ = one.head
    flags = u32(one.get(IFA_FLAGS)) or flags
    if family == 10 and flags & IFA_F_TEMPORARY:
        return None
    flags &= ~IFA_F_ANSWERS
    attrs = [(kind, value) for kind, value in one.attrs if kind != IFA_FLAGS]
    attrs.append((IFA_FLAGS, struct.pack("=I", flags)))
    return pack(ADDRESS, (family, bits, flags & 0xFF, scope, OURS), attrs)


def address_key(kept: bytes) -> tuple[int, int, bytes, bytes]:
    """What tells one address of a device from another."""
    one = fields(ADDRESS, kept)
    return one.head[0], one.head[1], one.get(IFA_ADDRESS), one.get(IFA_LOCAL)


def say_address(kept: bytes, ifindex: int, elapsed: int) -> bytes | None:
    """To be sent; with `elapsed` seconds less to live, None: it has expired meanwhile."""
    one = fields(ADDRESS, kept)
    attrs = []
    for kind, value in one.attrs:
        if kind == IFA_CACHEINFO and len(value) == 16:
            preferred, valid, *_ = struct.unpack("=4I", value)
            if valid != FOREVER and valid <= elapsed:
                return None
            left = (n if n == FOREVER else max(0, n - elapsed) for n in (preferred, valid))
            value = struct.pack("=4I", *left, 0, 0)
        attrs.append((kind, value))
    return pack(ADDRESS, (*one.head[:4], ifindex), attrs)


# ---- neighbours, stations and next hop objects ------------------------------------------


def keep_neighbour(message: bytes) -> bytes:
    one = fields(NEIGHBOUR, message, HEADER.size)
    family, _, state, flags, kind = one.head
    if flags & NTF_PROXY:
        state = NUD_PERMANENT  # is not said of one; without, it goes when the link does
    passing = (NDA_CACHEINFO, NDA_PROBES, NDA_MASTER)
    attrs = [(k, value) for k, value in one.attrs if k not in passing]
    return pack(NEIGHBOUR, (family, OURS, state, flags, kind), attrs)


def say_neighbour(kept: bytes, ifindex: int) -> bytes:
    one = fields(NEIGHBOUR, kept)
    return pack(NEIGHBOUR, (one.head[0], ifindex, *one.head[2:]), one.attrs)


def keep_nexthop(message: bytes, ours: int) -> bytes:
    one = fields(NEXTHOP, message, HEADER.size)
    attrs = [
        (k, struct.pack("=I", OURS if u32(v) == ours else u32(v)) if k == NHA_OIF else v)
        for k, v in one.attrs
        if k in NHA_SAID
    ]
    family, _, protocol, flags = one.head  # the scope is an answer: a request has none
    return pack(NEXTHOP, (family, 0, protocol, flags & ~RTNH_F_ANSWERS), attrs)


def say_nexthop(kept: bytes, ifindex: int) -> bytes:
    one = fields(NEXTHOP, kept)
    attrs = [
        (
            k | NLA_F_NESTED if k == NHA_ENCAP else k,
            struct.pack("=I", ifindex) if k == NHA_OIF else v,
        )
        for k, v in one.attrs
    ]
    return pack(NEXTHOP, one.head, attrs)


def nexthop_id(kept: bytes) -> int:
    return u32(fields(NEXTHOP, kept).get(NHA_ID))


def nexthop_members(kept: bytes) -> set[int]:
    """Ids of the members of a group; of a single next hop none."""
    group = fields(NEXTHOP, kept).get(NHA_GROUP)
    return {u32(group[at : at + 4]) for at in range(0, len(group) - 7, 8)}


def leaves_by_us(kept: bytes) -> bool:
    value = fields(NEXTHOP, kept).get(NHA_OIF)
    return bool(value) and u32(value) == OURS
