# SPDX-License-Identifier: GPL-2.0-or-later
"""Routes as the kernel says them, kept and said back: see messages.py."""

import struct
from collections.abc import Callable

from ..rtnl import HEADER
from .messages import OURS, RTNH_F_ANSWERS, Fields, fields, pack, u32

HOP = struct.Struct("=HBBi")
"""struct rtnexthop: length, flags, hops (weight - 1), ifindex."""
RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_PRIORITY, RTA_PREFSRC = 1, 4, 5, 6, 7
RTA_MULTIPATH, RTA_CACHEINFO, RTA_TABLE, RTA_VIA, RTA_EXPIRES, RTA_NH_ID = 9, 12, 15, 18, 23, 30
RTN_UNICAST, RTN_LOCAL = 1, 2
RT_TABLE_LOCAL = 255
RTPROT_KERNEL = 2
RTM_F_CLONED = 0x200
HZ = 100
"""USER_HZ: what the kernel measures the ages of routes in."""
ROUTE = struct.Struct("=BBBBBBBBI")
"""struct rtmsg: family, lengths, TOS, table, protocol, scope, type, flags."""


def hops(value: bytes) -> list[tuple[int, int, int, bytes]]:
    """(flags, weight - 1, ifindex, attributes) of each next hop of a multipath route."""
    found, offset = [], 0
    while offset + HOP.size <= len(value):
        length, flags, weight, ifindex = HOP.unpack_from(value, offset)
        if length < HOP.size:
            break
        found.append((flags, weight, ifindex, value[offset + HOP.size : offset + length]))
        offset += (length + 3) & ~3
    return found


def _map_hops(value: bytes, change: Callable[[int], int]) -> bytes:
    return b"".join(
        HOP.pack(HOP.size + len(rest), flags & ~RTNH_F_ANSWERS, weight, change(ifindex))
        + rest
        + bytes(-len(rest) % 4)
        for flags, weight, ifindex, rest in hops(value)
    )


def keep_route(message: bytes, ours: int) -> Fields | None:
    """None: it is a cached answer of the kernel's and no route."""
    one = fields(ROUTE, message, HEADER.size)
    if one.head[8] & RTM_F_CLONED:
        return None
    attrs = []
    for kind, value in one.attrs:
        if kind == RTA_OIF:
            value = struct.pack("=I", OURS if u32(value) == ours else u32(value))
        elif kind == RTA_MULTIPATH:
            value = _map_hops(value, lambda index: OURS if index == ours else index)
        elif kind == RTA_CACHEINFO:
            expires = struct.unpack_from("=i", value, 8)[0] if len(value) >= 12 else 0
            if expires <= 0:
                continue
            kind, value = RTA_EXPIRES, struct.pack("=I", expires // HZ)
        attrs.append((kind, value))
    attrs.sort()
    return Fields((*one.head[:8], one.head[8] & ~RTNH_F_ANSWERS), tuple(attrs))


def packed(one: Fields) -> bytes:
    return pack(ROUTE, one.head, one.attrs)


def parsed(kept: bytes) -> Fields:
    return fields(ROUTE, kept)


def devices_of(one: Fields) -> set[int]:
    """The ifindexes that a route leaves by, OURS among them."""
    found = {hop[2] for hop in hops(one.get(RTA_MULTIPATH))}
    return found | ({u32(one.get(RTA_OIF))} if one.get(RTA_OIF) else set())


def identity(one: Fields) -> Fields:
    """Without what passes: two routes with the same are one."""
    return without(one, RTA_EXPIRES)


def without(one: Fields, unwanted: int) -> Fields:
    """Without one attribute; without the next hop object a route says itself where it goes."""
    if not one.get(unwanted):
        return one
    return Fields(one.head, tuple((k, v) for k, v in one.attrs if k != unwanted))


def renumbered(one: Fields, change: Callable[[int], int]) -> Fields:
    """With other ifindexes."""
    attrs = []
    for kind, value in one.attrs:
        if kind == RTA_OIF:
            value = struct.pack("=I", change(u32(value)))
        elif kind == RTA_MULTIPATH:
            value = _map_hops(value, change)
        attrs.append((kind, value))
    return Fields(one.head, tuple(attrs))


def object_of(one: Fields) -> int:
    """The id of the next hop object that a route goes by; 0: it says itself where it goes."""
    return u32(one.get(RTA_NH_ID))


def shares(one: Fields) -> bool:
    """It has several next hops, or leaves by another device from an address of this one."""
    return bool(one.get(RTA_MULTIPATH)) or OURS not in devices_of(one)


def is_automatic(one: Fields) -> bool:
    """A route of the local table that comes and goes with an address."""
    table = u32(one.get(RTA_TABLE)) or one.head[4]
    return table == RT_TABLE_LOCAL and is_kernels(one)


def is_kernels(one: Fields) -> bool:
    """The kernel has made it for an address."""
    return one.head[5] == RTPROT_KERNEL


def is_routed(one: Fields) -> bool:
    """It has a gateway, so that another route has to be there first."""
    return any(kind in (RTA_GATEWAY, RTA_VIA, RTA_MULTIPATH, RTA_NH_ID) for kind, _ in one.attrs)


def say_route(one: Fields, ifindex: int, elapsed: int, nexthops: set[int]) -> bytes | None:
    """To be sent; None: it has expired.

    A next hop object says where a route goes, or the route itself does: one that has an object
    which is there is sent without the rest.
    """
    by_object = object_of(one) in nexthops
    attrs = []
    for kind, value in one.attrs:
        if kind in (RTA_OIF, RTA_GATEWAY, RTA_VIA, RTA_MULTIPATH) and by_object:
            continue
        if kind == RTA_NH_ID and not by_object:
            continue
        if kind == RTA_OIF:
            value = struct.pack("=I", u32(value) or ifindex)
        elif kind == RTA_MULTIPATH:
            value = _map_hops(value, lambda index: index or ifindex)
        elif kind == RTA_EXPIRES:
            if u32(value) <= elapsed:
                return None
            value = struct.pack("=I", u32(value) - elapsed)
        attrs.append((kind, value))
    return pack(ROUTE, one.head, attrs)
