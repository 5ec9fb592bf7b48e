# SPDX-License-Identifier: GPL-2.0-or-later
"""What an entry comes to in the kernel."""

from ipaddress import IPv4Address, IPv6Address

from ..model import IPAddress, Segment
from .entries import Binding, FloodEntry, PrefixEntry, RemoteMac
from .kernel_socket import Write, WriteKind

ROUTE_METRIC = 2000
"""Higher than what DHCP, router advertisements and people's routes have: theirs win."""


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
    """The VTEP as next hop. IPv4 has next hops of IPv6 (RFC 8950), IPv6 none of IPv4: these are
    mapped (RFC 4291 section 2.5.5.2), as zebra does it."""
    if isinstance(entry.vtep, IPv4Address) and entry.prefix.version == 6:
        return IPv6Address(f"::ffff:{entry.vtep}")
    return entry.vtep


def write_route(segment: Segment, entry: PrefixEntry) -> Write:
    return Write(
        WriteKind.ROUTE,
        segment.bridge,
        gateway(entry),
        prefix=entry.prefix,
        table=entry.table,
        metric=ROUTE_METRIC,
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
