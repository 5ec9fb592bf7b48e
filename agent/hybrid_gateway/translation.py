# SPDX-License-Identifier: GPL-2.0-or-later
"""NAT44 of a configuration applied to the addresses and routes that are there. Pure."""

from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network

from . import statics
from .model import (
    FALLBACK_PORTS,
    LOG_MAPPINGS,
    LOG_SESSIONS,
    PMTU,
    Address,
    Config,
    FallbackTable,
    Link,
    Nat44,
    NatLog,
    NextHop,
    Observed,
    OneToOne,
    Settings,
    StaticMapping,
)

INTERFACE = "interface"
TCP_IP_HEADERS = 40
"""Bytes without options: an MSS is the MTU without them (RFC 6691)."""


@dataclass(frozen=True, slots=True)
class Translation:
    """What NAT44 comes to at the moment."""

    nat: Nat44
    """Without the static mappings that are left out."""
    settings: Settings
    prefixes: tuple[IPv4Network, ...]
    addresses: tuple[IPv4Address, ...]
    statics: tuple[StaticMapping, ...]
    table: FallbackTable
    managed: frozenset[NextHop]
    warnings: tuple[str, ...]


def translation(
    config: Config, nat: Nat44, outside: Link | None, inside: tuple[Link, ...], observed: Observed
) -> Translation:
    warnings = []
    pool = pool_of(nat, outside, observed)
    if outside and not pool:
        warnings.append(f"{outside.name} has no IPv4 address: NAT waits for one")
    # Only the address that a device has shows it, and that may come at any time.
    shared = tuple(statics.sharing(nat.static, pool))
    warnings += [f"nat44.static, line {one.line}: left out: {one.message}" for one in shared]
    left_out = {one.index for one in shared}
    kept = tuple(entry for index, entry in enumerate(nat.static) if index not in left_out)
    nat = replace(nat, static=kept)
    prefixes = _prefixes(observed, frozenset(link.ifindex for link in inside))
    own = tuple(entry.address.ip for entry in observed.addresses)
    mappings, doubts = statics.mappings(nat.static, pool, own)
    addresses = _outside_addresses(pool, nat, outside, observed)
    warnings += doubts
    warnings += statics.strangers(nat.static, (*own, *pool), prefixes)
    warnings += [
        f"nat44.static, line {doubt.line}: {doubt.message}"
        for doubt in statics.inwards(nat.static, own)
    ]
    warnings += _inside_out(pool, nat, _addresses_of(outside, observed), prefixes)
    warnings += _unanswered(addresses, outside, observed)
    return Translation(
        nat=nat,
        settings=_settings(nat, pool, outside),
        prefixes=prefixes,
        addresses=addresses,
        statics=mappings,
        table=_table(config, nat, pool, _mss(nat, outside)),
        managed=_next_hops(observed, outside),
        warnings=tuple(warnings),
    )


def _settings(nat: Nat44, pool: tuple[IPv4Address, ...], outside: Link | None) -> Settings:
    return Settings(
        bool(pool and outside),
        pool,
        nat.ports,
        nat.filtering,
        nat.timeouts,
        nat.per_host,
        _mss(nat, outside),
        _log_flags(nat.log),
    )


def _mss(nat: Nat44, outside: Link | None) -> int:
    if nat.mss_clamp == PMTU:
        return max(0, outside.mtu - TCP_IP_HEADERS) if outside else 0
    return nat.mss_clamp or 0


def _log_flags(log: NatLog) -> int:
    """A collector gets sessions whether or not they are in the journal."""
    sessions = LOG_SESSIONS if log.sessions or log.ipfix else 0
    return sessions | (LOG_MAPPINGS if log.mappings else 0)


def _table(config: Config, nat: Nat44, pool: tuple[IPv4Address, ...], mss: int) -> FallbackTable:
    return FallbackTable(
        nat.inside,
        config.port(nat.outside).device,
        () if INTERFACE in nat.addresses else pool,
        FALLBACK_PORTS,
        # An entry that moved to another line of the file is the same entry.
        tuple(replace(entry, line=0) for entry in nat.static),
        pool if nat.static else (),
        mss,
    )


def pool_of(nat: Nat44, outside: Link | None, observed: Observed) -> tuple[IPv4Address, ...]:
    """For "interface" the device's first address: the others stay the host's alone."""
    if INTERFACE not in nat.addresses:
        return tuple(a for a in nat.addresses if isinstance(a, IPv4Address))
    if outside is None:
        return ()
    candidates = [entry.address.ip for entry in _addresses_of(outside, observed)]
    return tuple(candidates[:1])


def _inside_out(
    pool: tuple[IPv4Address, ...],
    nat: Nat44,
    own: tuple[Address, ...],
    prefixes: tuple[IPv4Network, ...],
) -> list[str]:
    """Outside addresses of hosts inside; the ones of the outside device are `own`."""
    mine = {entry.address.ip for entry in own}
    mapped = (entry.outside for entry in nat.static if isinstance(entry, OneToOne))
    return [
        f"{address} is to be an outside address, and lies in {prefix}, which is inside"
        for address in sorted({*pool, *mapped} - mine)
        for prefix in prefixes
        if address in prefix
    ]


def _addresses_of(outside: Link | None, observed: Observed) -> tuple[Address, ...]:
    """The outside device's own that others can reach it by; the primary ones come first."""
    if outside is None:
        return ()
    mine = [
        entry
        for entry in observed.addresses
        if entry.ifindex == outside.ifindex and not entry.address.ip.is_link_local
    ]
    return tuple(sorted(mine, key=lambda entry: entry.secondary))


def _outside_addresses(
    pool: tuple[IPv4Address, ...], nat: Nat44, outside: Link | None, observed: Observed
) -> tuple[IPv4Address, ...]:
    """All that may be a source outside: the owner may translate to the device's others as well."""
    own = _addresses_of(outside, observed)
    named = statics.outside_addresses(nat.static)
    return tuple(sorted({*pool, *named, *(entry.address.ip for entry in own)}))


def _unanswered(
    addresses: tuple[IPv4Address, ...], outside: Link | None, observed: Observed
) -> list[str]:
    """Addresses that neighbours would ask for in vain; one that is routed here is no such."""
    if outside is None:
        return []
    own = {entry.address.ip for entry in observed.addresses}
    links = [entry.address.network for entry in _addresses_of(outside, observed)]
    return [
        f"{address} is in the network of {outside.name}, and this host does not answer ARP for it: "
        f"add it to {outside.name} (as {address}/32), or have the router send it here"
        for address in addresses
        if address not in own and any(address in network for network in links)
    ]


def _prefixes(observed: Observed, inside: frozenset[int]) -> tuple[IPv4Network, ...]:
    """What the kernel routes inwards, and addresses inside that no such route covers.

    A default route says nothing about who is inside.
    """
    found = {
        route.destination
        for route in observed.routes
        if route.ifindex in inside and route.destination.prefixlen
    }
    alone = {
        IPv4Network(address.address.ip)
        for address in observed.addresses
        if address.ifindex in inside and not any(address.address.ip in net for net in found)
    }
    return tuple(sorted(found | alone))


def _next_hops(observed: Observed, outside: Link | None) -> frozenset[NextHop]:
    if outside is None or not outside.up:
        return frozenset()
    return frozenset(
        NextHop(route.ifindex, route.gateway)
        for route in observed.routes
        if route.ifindex == outside.ifindex and route.gateway
    )
