# SPDX-License-Identifier: GPL-2.0-or-later
"""Routes of ours that the kernel has, by their protocol number."""

import socket
import struct
import sys
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_network

from ..model import IPAddress
from ..rtnl import HEADER, RTM_GETROUTE, Rtnl, attributes
from .entries import ROUTE_PROTOCOL, PrefixEntry
from .kernel_places import Places

ROUTE = struct.Struct("=BBBBBBBBI")
"""struct rtmsg."""
RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_TABLE, RTA_VIA = 1, 4, 5, 15, 18
FAMILIES = (socket.AF_INET, socket.AF_INET6)


def our_routes(rtnl: Rtnl, places: Places) -> Iterator[PrefixEntry]:
    """Of every table, as far as is needed to delete them: `vni` 0 is through a device that is no
    segment's bridge, `vtep` the next hop, and the router's MAC address is not in them."""
    bridges = {segment.bridge: segment.vni for segment in places.segments.values()}
    for family in FAMILIES:
        body = ROUTE.pack(family, 0, 0, 0, 0, ROUTE_PROTOCOL, 0, 0, 0)
        for message in rtnl.dump_body(RTM_GETROUTE, body):
            yield from _entries(message, bridges)


def _entries(message: bytes, bridges: dict[int, int]) -> Iterator[PrefixEntry]:
    if len(message) < HEADER.size + ROUTE.size:
        return
    family, length, _, _, table, protocol, *_ = ROUTE.unpack_from(message, HEADER.size)
    if protocol != ROUTE_PROTOCOL or family not in FAMILIES:
        return
    found = dict(attributes(message, HEADER.size + ROUTE.size))
    unspecified = bytes(4 if family == socket.AF_INET else 16)
    vtep = _gateway(found)
    yield PrefixEntry(
        ip_network((found.get(RTA_DST, unspecified), length)),
        bridges.get(_number(found, RTA_OIF), 0),
        _address(unspecified) if vtep is None else vtep,
        bytes(6),
        _number(found, RTA_TABLE) or table,
    )


def _number(found: dict[int, bytes], kind: int) -> int:
    return int.from_bytes(found.get(kind, b""), sys.byteorder)


def _address(packed: bytes) -> IPAddress:
    return IPv4Address(packed) if len(packed) == 4 else IPv6Address(packed)


def _gateway(found: dict[int, bytes]) -> IPAddress | None:
    packed = found.get(RTA_GATEWAY) or found.get(RTA_VIA, b"")[2:]
    if len(packed) not in (4, 16):
        return None
    return _address(packed)
