# SPDX-License-Identifier: GPL-2.0-or-later
"""Which device does what, of those that are there. Pure."""

from dataclasses import dataclass, replace
from ipaddress import IPv4Address

from .model import Config, Device, Link, Nat44, Observed


@dataclass(frozen=True, slots=True)
class Roles:
    """Which device does what; missing ones are in `warnings`."""

    outside: Link | None
    inside: tuple[Link, ...]
    ports: tuple[Device, ...]
    warnings: tuple[str, ...]


def roles_of(config: Config, nat: Nat44, observed: Observed) -> Roles:
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
    return Roles(outside, tuple(inside), tuple(ports), tuple(warnings))


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


def devices_of(roles: Roles, observed: Observed) -> tuple[Device, ...]:
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
    first: dict[int, IPv4Address] = {}
    for entry in observed.addresses:
        if not entry.secondary:
            first.setdefault(entry.ifindex, entry.address.ip)
    return tuple(
        replace(device, address=first.get(device.l3_ifindex))
        for device in sorted(roles.ports + layer3, key=lambda device: device.ifindex)
    )
