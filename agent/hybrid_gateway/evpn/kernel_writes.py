# SPDX-License-Identifier: GPL-2.0-or-later
"""What an entry comes to in the kernel."""

from ipaddress import IPv4Address, IPv6Address

from ..model import IPAddress, Segment
from .entries import Binding, FloodEntry, PrefixEntry, RemoteMac
from .kernel_socket import Write, WriteKind

ROUTE_METRIC = 2000
"""Higher than what DHCP, router advertisements and people's routes have: theirs win."""

LINK_LOCAL = bytes.fromhex("fe80000000000000")


def write_mac(segment: Segment, entry: RemoteMac, delete: bool = False) -> Write:
    return Write(
        WriteKind.MAC,
        segment.ifindex,
        entry.vtep,
        mac=entry.mac,
        bridge=segment.bridge,
        vlan=segment.vlan,
        vni=segment.vni if segment.external else 0,
        sticky=entry.sticky,
        delete=delete,
    )


def write_flood(segment: Segment, entry: FloodEntry, delete: bool = False) -> Write:
    return Write(
        WriteKind.FLOOD,
        segment.ifindex,
        entry.vtep,
        vni=segment.vni if segment.external else 0,
        delete=delete,
    )


def write_binding(segment: Segment, entry: Binding, delete: bool = False) -> Write:
    return Write(
        WriteKind.NEIGHBOUR,
        segment.bridge,
        entry.address,
        mac=entry.mac,
        router=entry.router,
        delete=delete,
    )


def gateway(entry: PrefixEntry) -> IPAddress:
    """The next hop: of IPv4 the VTEP; else the router's link-local address, as its MAC address
    would have it (RFC 4291 section 2.5.1), also for IPv4 (RFC 8950).

    The kernel takes no global address of IPv6 that the same table reaches by another device, and
    VTEPs are reached by the underlay.
    """
    if isinstance(entry.vtep, IPv4Address) and entry.prefix.version == 4:
        return entry.vtep
    first, rest = entry.router_mac[0] ^ 2, entry.router_mac[1:]
    return IPv6Address(LINK_LOCAL + bytes([first, *rest[:2], 0xFF, 0xFE, *rest[2:]]))


def write_route(segment: Segment, entry: PrefixEntry) -> Write:
    first, *others = map(gateway, entry.ways)
    return Write(
        WriteKind.ROUTE,
        segment.bridge,
        first,
        prefix=entry.prefix,
        table=entry.table,
        metric=ROUTE_METRIC,
        others=tuple(others),
    )


def delete_route(entry: PrefixEntry) -> Write:
    """Whatever its device is."""
    return Write(
        WriteKind.ROUTE,
        0,
        entry.vtep,
        prefix=entry.prefix,
        table=entry.table,
        metric=ROUTE_METRIC,
        delete=True,
    )
