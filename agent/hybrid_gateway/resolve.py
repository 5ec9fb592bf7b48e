# SPDX-License-Identifier: GPL-2.0-or-later
"""A configuration applied to the devices, addresses and routes that are there.

Pure: the same two inputs always give the same result.
"""

from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network

from . import portset
from .errors import ConfigError, Problem
from .model import (
    FALLBACK_PORTS,
    IP_FORWARD,
    Attachment,
    Config,
    Device,
    FallbackTable,
    Link,
    Nat44,
    NextHop,
    Observed,
    Offload,
    OneToOne,
    Settings,
    Sizes,
    Static,
    StaticMapping,
    Sysctl,
    Wanted,
)

INTERFACE = "interface"
RESERVED_PORTS = "net.ipv4.ip_local_reserved_ports"


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
        lines = config.nat44.inside_lines or (config.nat44.line,) * len(config.nat44.inside)
        for device, line in zip(config.nat44.inside, lines, strict=True):
            if observed.link(device) is None:
                message = f"there is no network device {device}"
                problems.append(
                    Problem(config.path, line, "nat44.inside", message, "config.no-device")
                )
    if problems:
        raise ConfigError(problems)


@dataclass(frozen=True, slots=True)
class _Roles:
    """Which device does what; missing ones are in `warnings`."""

    outside: Link | None
    inside: tuple[Link, ...]
    ports: tuple[Device, ...]
    warnings: tuple[str, ...]


def resolve(config: Config, observed: Observed) -> Wanted:
    """What should be there; a device that is missing is a warning and takes no part."""
    nat = config.nat44
    if nat is None:
        return Wanted(warnings=("nat44 is not configured: the kernel forwards everything",))
    roles = _roles(config, nat, observed)
    warnings = list(roles.warnings)
    pool = _pool(nat, roles.outside, observed)
    if roles.outside and not pool:
        warnings.append(f"{roles.outside.name} has no IPv4 address: NAT waits for one")
    inside = frozenset(link.ifindex for link in roles.inside)
    ports = tuple(sorted(roles.ports, key=lambda device: (not device.outside, device.name)))
    outside_device = config.port(nat.outside).device
    return Wanted(
        sizes=Sizes(nat.sessions, max(1, len(nat.addresses))),
        settings=Settings(
            bool(pool and roles.outside),
            pool,
            nat.ports,
            nat.filtering,
            nat.timeouts,
            nat.per_host,
        ),
        devices=_devices(roles),
        prefixes=_prefixes(observed, inside),
        addresses=_outside_addresses(pool, nat.static),
        statics=_statics(nat.static, pool),
        attachments=tuple(Attachment(port.ifindex, port.name, port.outside) for port in ports),
        offloads=_offloads(observed, frozenset(port.ifindex for port in ports)),
        sysctls=_sysctls(nat, observed),
        table=FallbackTable(
            nat.inside,
            outside_device,
            () if INTERFACE in nat.addresses else pool,
            FALLBACK_PORTS,
            # An entry that moved to another line of the file is the same entry.
            tuple(replace(entry, line=0) for entry in nat.static),
        ),
        managed=_next_hops(observed, roles.outside),
        warnings=tuple(warnings),
    )


def _roles(config: Config, nat: Nat44, observed: Observed) -> _Roles:
    warnings = []
    inside = []
    for name in nat.inside:
        link = observed.link(name)
        if link:
            inside.append(link)
        else:
            warnings.append(f"inside device {name} does not exist at the moment")
    by_index = {link.ifindex: link for link in inside}
    outside = None
    ports = []
    for port in config.ports:
        link = observed.link(port.device)
        if link is None:
            warnings.append(f"port {port.name}: device {port.device} does not exist at the moment")
        elif port.name == nat.outside:
            outside = link
            if link.master:
                warnings.append(f"port {port.name}: {link.name} is a port of a bridge")
            ports.append(Device(link.ifindex, link.name, link.ifindex, link.mac, True, False, True))
        elif link.ifindex in by_index:
            ports.append(Device(link.ifindex, link.name, link.ifindex, link.mac, True, True))
        elif link.master in by_index and by_index[link.master].kind == "bridge":
            bridge = by_index[link.master]
            ports.append(Device(link.ifindex, link.name, bridge.ifindex, bridge.mac, True, True))
        else:
            warnings.append(
                f"port {port.name}: {link.name} is neither outside nor inside, "
                "nor a port of an inside bridge: it takes no part"
            )
    warnings += _idle(config, observed, frozenset(port.ifindex for port in ports))
    return _Roles(outside, tuple(inside), tuple(ports), tuple(warnings))


def _idle(config: Config, observed: Observed, ports: frozenset[int]) -> list[str]:
    """What is configured well and moves nothing, as no frame can come or go there."""
    found = []
    for port in config.ports:
        link = observed.link(port.device)
        if link and link.ifindex in ports and not link.running:
            state = "has no carrier" if link.up else "is down"
            found.append(f"port {port.name}: {link.name} {state}")
    for name in config.nat44.inside if config.nat44 else ():
        link = observed.link(name)
        if link and link.ifindex not in ports and not link.up:
            found.append(f"inside device {name} is down")
    return found


def _devices(roles: _Roles) -> tuple[Device, ...]:
    """Records of the ports, and of the inside devices that are not ports themselves."""
    known = {port.ifindex for port in roles.ports}
    layer3 = tuple(
        Device(
            link.ifindex,
            link.name,
            link.ifindex,
            link.mac,
            inside=True,
            bridge=link.kind == "bridge",
        )
        for link in roles.inside
        if link.ifindex not in known
    )
    return tuple(sorted(roles.ports + layer3, key=lambda device: device.ifindex))


def _pool(nat: Nat44, outside: Link | None, observed: Observed) -> tuple[IPv4Address, ...]:
    """For "interface" the device's first address: the others stay the host's alone."""
    if INTERFACE not in nat.addresses:
        return tuple(a for a in nat.addresses if isinstance(a, IPv4Address))
    if outside is None:
        return ()
    candidates = [
        entry.address.ip
        for entry in observed.addresses
        if entry.ifindex == outside.ifindex
        and not entry.secondary
        and not entry.address.ip.is_link_local
    ]
    return tuple(candidates[:1])


def _outside_addresses(
    pool: tuple[IPv4Address, ...], static: tuple[Static, ...]
) -> tuple[IPv4Address, ...]:
    found = set(pool)
    for entry in static:
        if isinstance(entry, OneToOne):
            found.add(entry.outside)
        elif entry.outside_address:
            found.add(entry.outside_address)
    return tuple(sorted(found))


def _statics(
    static: tuple[Static, ...], pool: tuple[IPv4Address, ...]
) -> tuple[StaticMapping, ...]:
    """A forward without an address holds for every address of the pool."""
    found = []
    for entry in static:
        if isinstance(entry, OneToOne):
            found.append(StaticMapping(0, entry.outside, 0, entry.inside, 0))
            continue
        for address in (entry.outside_address,) if entry.outside_address else pool:
            found.append(
                StaticMapping(
                    entry.protocol.number,
                    address,
                    entry.outside_port,
                    entry.inside_address,
                    entry.inside_port,
                )
            )
    return tuple(found)


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
    reserved = portset.union(base.get(RESERVED_PORTS, ""), nat.ports)
    return (
        Sysctl(IP_FORWARD, "1", base.get(IP_FORWARD, "0")),
        Sysctl(RESERVED_PORTS, reserved, base.get(RESERVED_PORTS, "")),
    )
