# SPDX-License-Identifier: GPL-2.0-or-later
"""Reading what NAT has given out: outside ports, mappings and what inside hosts hold."""

from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Any

from _gw_native import ffi, lib

from ..errors import KernelError
from .maps import Map
from .scan import Match, monotonic, set_match
from .sessions import NS, Endpoint, endpoint
from .tables import number_address

PORTS = 65536
PROTOCOLS = {lib.GW_NAT_TCP: 6, lib.GW_NAT_UDP: 17, lib.GW_NAT_ICMP: 1}
"""enum gw_nat_protocol to the number in the IP header."""


@dataclass(frozen=True, slots=True)
class PortUse:
    """The outside ports of one pool address and protocol; for ICMP they are identifiers."""

    address: IPv4Address
    protocol: int
    used: int
    used_in_range: int
    """Of the ports that are configured now; more are used from before they were changed."""
    resting: int


@dataclass(frozen=True, slots=True)
class MappingInfo:
    """An inside endpoint and the outside one that it keeps while sessions use it."""

    protocol: int
    inside: Endpoint
    outside: Endpoint
    users: int


@dataclass(frozen=True, slots=True)
class HostUse:
    """Inside hosts that hold sessions, and those among them that have all they may have."""

    hosts: int
    at_limit: int


@dataclass(frozen=True, slots=True)
class MappingFilter:
    """All of it has to hold; protocol 0: any."""

    inside: Match = field(default_factory=Match)
    outside: Match = field(default_factory=Match)
    protocol: int = 0


def pool(settings: Any) -> list[IPv4Address]:
    """The outside addresses of a struct gw_settings, in the order of its slots."""
    return [number_address(number) for number in settings.pool[0 : settings.pool_size]]


def _entries(table: Map) -> int:
    info = ffi.new("struct gw_map_info *")
    result = lib.gw_fd_map_info(table.fd, info)
    if result:
        raise KernelError(f"map {table.name}: info", -result, code="bpf.map")
    return int(info.max_entries)


def port_use(mappings: Map, settings: Any) -> list[PortUse]:
    """For every address of the pool and every protocol."""
    slots = _entries(mappings)
    uses = ffi.new("struct gw_port_use[]", slots // PORTS)
    result = lib.gw_count_ports(mappings.fd, slots, settings, monotonic() // NS, uses)
    if result:
        raise KernelError("map gw_mappings: counting", -result, code="bpf.map")
    return [
        PortUse(address, protocol, use.used, use.used_in_range, use.resting)
        for index, address in enumerate(pool(settings))
        for number, protocol in PROTOCOLS.items()
        for use in (uses[index * lib.GW_NAT_PROTOCOLS + number],)
    ]


def find_mappings(
    mappings: Map, settings: Any, wanted: MappingFilter, cursor: int, limit: int
) -> tuple[list[MappingInfo], int | None]:
    """At most `limit` mappings in use from slot `cursor` on, and where to go on, or None."""
    scan = ffi.new("struct gw_mapping_scan *")
    addresses = pool(settings)
    set_match(scan.inside, wanted.inside)
    set_match(scan.outside, wanted.outside)
    scan.pools = sum(1 << i for i, a in enumerate(addresses) if a in wanted.outside.network)
    scan.protocols = sum(
        1 << number for number, p in PROTOCOLS.items() if wanted.protocol in (0, p)
    )
    setattr(scan, "from", cursor)  # a keyword of Python
    scan.end, scan.limit = min(_entries(mappings), len(addresses) * lib.GW_SLOTS_PER_ADDRESS), limit
    hits = ffi.new("struct gw_mapping_hit[]", max(1, limit))
    result = lib.gw_scan_mappings(mappings.fd, scan, hits)
    if result:
        raise KernelError("map gw_mappings: scan", -result, code="bpf.map")
    found = [_mapping(hits[i], addresses) for i in range(scan.found)]
    return found, None if scan.next == lib.GW_NO_SLOT else int(scan.next)


def _mapping(hit: Any, addresses: list[IPv4Address]) -> MappingInfo:
    group, port = divmod(hit.slot, PORTS)
    index, number = divmod(group, lib.GW_NAT_PROTOCOLS)
    inside = endpoint(hit.mapping.inside_address, hit.mapping.inside_port)
    users = hit.mapping.users & 0x7FFFFFFF
    return MappingInfo(PROTOCOLS[number], inside, (addresses[index], port), users)


def host_use(hosts: Map, settings: Any) -> HostUse:
    use = ffi.new("struct gw_host_use *")
    result = lib.gw_count_hosts(hosts.fd, settings, use)
    if result:
        raise KernelError("map gw_hosts: counting", -result, code="bpf.map")
    return HostUse(use.hosts, use.at_limit)
