# SPDX-License-Identifier: GPL-2.0-or-later
"""What netlink's event messages say, as far as the gateway cares."""

import socket
import struct
import sys
from dataclasses import dataclass
from ipaddress import ip_address

from .model import IPAddress
from .rtnl import attributes

TCM_IFINDEX = struct.Struct("=i")
TCM_OFFSET = 16 + 4
TC_BLOCK = -1
"""Instead of a device, when several share one block of filters."""


def tc_device(data: bytes) -> int:
    """The ifindex that a message about a qdisc or a filter names, or TC_BLOCK."""
    (ifindex,) = TCM_IFINDEX.unpack_from(data, TCM_OFFSET)
    return int(ifindex)


@dataclass(frozen=True, slots=True)
class RouteEvent:
    """What a route message is about; a routing daemon sends them by the thousand."""

    devices: frozenset[int]
    gateway: IPAddress | None
    """None as well for a route with several next hops."""
    length: int
    family: int = socket.AF_INET
    destination: int = 0
    """An address as a number; 0 for a default route."""


RTA = struct.Struct("=HH")
ROUTE_FAMILY, ROUTE_LENGTH = 16, 16 + 1
ROUTE_HEADER = 16 + 12
RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_MULTIPATH = 1, 4, 5, 9
RTNEXTHOP = struct.Struct("=HBBi")


def route_event(data: bytes) -> RouteEvent:
    """Reads an RTM_NEWROUTE or RTM_DELROUTE by hand: pyroute2 takes ten times as long."""
    devices: set[int] = set()
    gateway: IPAddress | None = None
    destination = 0
    offset = ROUTE_HEADER
    while offset + RTA.size <= len(data):
        length, kind = RTA.unpack_from(data, offset)
        if length < RTA.size:
            break
        value = data[offset + RTA.size : offset + length]
        if kind == RTA_DST:
            destination = int.from_bytes(value)
        elif kind == RTA_OIF:
            devices.add(int.from_bytes(value, sys.byteorder))
        elif kind == RTA_GATEWAY and len(value) in (4, 16):
            gateway = ip_address(value)
        elif kind == RTA_MULTIPATH:
            devices |= _hop_devices(value)
        offset += (length + 3) & ~3
    length, family = data[ROUTE_LENGTH], data[ROUTE_FAMILY]
    return RouteEvent(frozenset(devices), gateway, length, family, destination)


def _hop_devices(data: bytes) -> set[int]:
    found = set()
    offset = 0
    while offset + RTNEXTHOP.size <= len(data):
        length, _, _, ifindex = RTNEXTHOP.unpack_from(data, offset)
        if length < RTNEXTHOP.size:
            break
        found.add(ifindex)
        offset += (length + 3) & ~3
    return found


NETCONF_HEADER = 16 + 4
NETCONFA_IFINDEX, NETCONFA_FORWARDING = 1, 2


def forwarding_device(data: bytes) -> int:
    """The device whose forwarding an RTM_NEWNETCONF message tells of, 0: it is about others."""
    attrs = dict(attributes(data, NETCONF_HEADER))
    if NETCONFA_FORWARDING not in attrs:
        return 0
    return int.from_bytes(attrs.get(NETCONFA_IFINDEX, b""), sys.byteorder)
