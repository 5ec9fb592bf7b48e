# SPDX-License-Identifier: GPL-2.0-or-later
"""A configuration applied to the devices, addresses and routes that are there.

Pure: the same two inputs always give the same result.
"""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

from . import portset, statics
from .errors import ConfigError, Problem
from .model import (
    FALLBACK_PORTS,
    IP_FORWARD,
    LOG_MAPPINGS,
    LOG_SESSIONS,
    PMTU,
    Address,
    Attachment,
    Config,
    FallbackTable,
    Link,
    Nat44,
    NatLog,
    NextHop,
    Observed,
    Offload,
    OneToOne,
    Settings,
    Sizes,
    Sysctl,
    Wanted,
)
from .roles import devices_of, roles_of

INTERFACE = "interface"
RESERVED_PORTS = "net.ipv4.ip_local_reserved_ports"
TCP_IP_HEADERS = 40
"""Bytes without options: an MSS is the MTU without them (RFC 6691)."""


def check_devices(config: Config, observed: Observed) -> None:
    """ConfigError naming the line of every device that does not exist or does not fit."""
    problems = []
    for port in config.ports:
        link = observed.link(port.device)
        key = f"ports.{port.name}.device"
        if link is None:
            message = f"there is no network device {port.device}"
            problems.append(Problem(config.path, port.line, key, message, "config.no-device"))
        elif port == config.outside_port and link.master:
            message = f"{port.device} is a port of a bridge: the outside port has to be its own"
            problems.append(Problem(config.path, port.line, key, message, "config.bridge-port"))
    if config.nat44:
        problems += _refused_statics(config, config.nat44, observed)
        lines = config.nat44.inside_lines or (config.nat44.line,) * len(config.nat44.inside)
        for device, line in zip(config.nat44.inside, lines, strict=True):
            if observed.link(device) is None:
                message = f"there is no network device {device}"
                problems.append(
                    Problem(config.path, line, "nat44.inside", message, "config.no-device")
                )
    if problems:
        raise ConfigError(sorted(problems, key=lambda problem: problem.line))


def _refused_statics(config: Config, nat: Nat44, observed: Observed) -> list[Problem]:
    outside = observed.link(config.port(nat.outside).device)
    pool = _pool(nat, outside, observed)
    own = tuple(entry.address.ip for entry in observed.addresses)
    return [
        Problem(
            config.path,
            doubt.line,
            f"nat44.static[{doubt.index}].{doubt.key}",
            doubt.message,
            "config.conflict",
        )
        for doubt in (*statics.sharing(nat.static, pool), *statics.inwards(nat.static, own))
    ]


def resolve(config: Config, observed: Observed) -> Wanted:
    """What should be there; a device that is missing is a warning and takes no part."""
    nat = config.nat44
    if nat is None:
        return Wanted(warnings=("nat44 is not configured: the kernel forwards everything",))
    roles = roles_of(config, nat, observed)
    warnings = list(roles.warnings)
    pool = _pool(nat, roles.outside, observed)
    if roles.outside and not pool:
        warnings.append(f"{roles.outside.name} has no IPv4 address: NAT waits for one")
    # Only the address that a device has shows it, and that may come at any time.
    shared = tuple(statics.sharing(nat.static, pool))
    warnings += [f"nat44.static, line {one.line}: left out: {one.message}" for one in shared]
    left_out = {one.index for one in shared}
    kept = tuple(entry for index, entry in enumerate(nat.static) if index not in left_out)
    nat = replace(nat, static=kept)
    inside = frozenset(link.ifindex for link in roles.inside)
    ports = tuple(sorted(roles.ports, key=lambda device: (not device.outside, device.name)))
    prefixes = _prefixes(observed, inside)
    own = tuple(entry.address.ip for entry in observed.addresses)
    mappings, doubts = statics.mappings(nat.static, pool, own)
    addresses = _outside_addresses(pool, nat, roles.outside, observed)
    warnings += doubts
    warnings += statics.strangers(nat.static, (*own, *pool), prefixes)
    warnings += [
        f"nat44.static, line {doubt.line}: {doubt.message}"
        for doubt in statics.inwards(nat.static, own)
    ]
    warnings += _inside_out(pool, nat, _addresses_of(roles.outside, observed), prefixes)
    warnings += _unanswered(addresses, roles.outside, observed)
    return Wanted(
        sizes=Sizes(nat.sessions, max(1, len(nat.addresses))),
        settings=_settings(nat, pool, roles.outside),
        devices=devices_of(roles, observed),
        prefixes=prefixes,
        addresses=addresses,
        statics=mappings,
        attachments=tuple(Attachment(port.ifindex, port.name, port.outside) for port in ports),
        offloads=_offloads(observed, frozenset(port.ifindex for port in ports)),
        sysctls=_sysctls(nat, observed),
        table=_table(config, nat, pool, _mss(nat, roles.outside)),
        managed=_next_hops(observed, roles.outside),
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


def _pool(nat: Nat44, outside: Link | None, observed: Observed) -> tuple[IPv4Address, ...]:
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


def _offloads(observed: Observed, ports: frozenset[int]) -> tuple[Offload, ...]:
    return tuple(
        Offload(offload.ifindex, offload.device, offload.feature, False)
        for offload in observed.offloads
        if offload.ifindex in ports
    )


def _sysctls(nat: Nat44, observed: Observed) -> tuple[Sysctl, ...]:
    base = {sysctl.name: sysctl.base for sysctl in observed.sysctls}
    # A connection of the gateway from a port that is forwarded would have its answers go inside.
    forwarded = statics.outside_ports(nat.static)
    reserved = portset.union(base.get(RESERVED_PORTS, ""), nat.ports, *forwarded)
    return (
        Sysctl(IP_FORWARD, "1", base.get(IP_FORWARD, "0")),
        Sysctl(RESERVED_PORTS, reserved, base.get(RESERVED_PORTS, "")),
    )
