# SPDX-License-Identifier: GPL-2.0-or-later
"""Which device does what, of those that are there. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address

from .model import BRIDGE_FORWARDING, Config, Device, Link, Observed, Plane, Segment
from .segments import untagged

SLOTS = 1024
"""GW_DEVICES_MAX of gw_abi.h."""


@dataclass(frozen=True, slots=True)
class Roles:
    """Which device does what; missing ones are in `warnings`."""

    outside: Link | None
    inside: tuple[Link, ...]
    ports: tuple[Device, ...]
    warnings: tuple[str, ...]
    taps: tuple[Device, ...] = ()
    """Ports of the worker, as the kernel has them: XDP has no part in them."""


def roles_of(config: Config, observed: Observed, segments: Sequence[Segment] = ()) -> Roles:
    warnings = []
    inside = []
    for name in config.nat44.inside if config.nat44 else ():
        link = observed.link(name)
        if link:
            inside.append(link)
        else:
            warnings.append(f"inside device {name} does not exist at the moment")
    tunnels = {entry.device for entry in config.vxlan}
    part = _Part(
        config.nat44.outside if config.nat44 else "",
        {link.ifindex: link for link in inside},
        {link.ifindex: link for link in observed.links if link.kind == "bridge"},
        frozenset(segment.bridge for segment in segments),
        bool(config.vxlan),
        frozenset(link.master for link in observed.links if link.name in tunnels),
    )
    outside = None
    ports = []
    given_back = {one.tap for one in observed.worker.taken}
    for port in config.ports_of(Plane.XDP):
        link = observed.link(port.device)
        if link is None:
            warnings.append(f"port {port.name}: device {port.device} does not exist at the moment")
            continue
        if link.name in given_back:
            # What bears its name is a TAP, until the worker has let go of the device.
            warnings.append(f"port {port.name}: the worker has {port.device}")
            continue
        if port.name == part.outside:
            outside = link
            if link.master:
                warnings.append(f"port {port.name}: {link.name} is a port of a bridge")
        device = part.of(port.name, link)
        if device:
            ports.append(device)
        if device is None or not (device.inside or device.outside or part.uses(device)):
            warnings.append(f"port {port.name}: {part.idle(link)}: it takes no part")
    taps = tuple(_taps(observed, part)) if config.vxlan else ()
    warnings += _idle(config, observed, frozenset(port.ifindex for port in ports))
    warnings += _unbridged(ports, part, observed, _masters_of_worker(config, observed))
    return Roles(outside, tuple(inside), tuple(ports), tuple(warnings), taps)


def _taps(observed: Observed, part: "_Part") -> Iterator[Device]:
    """Those that are ports of their own, or of bridges with segments."""
    for one in observed.worker.taken:
        link = observed.link(one.tap)
        if link is None:
            continue
        underlay = not link.master
        device = Device(link.ifindex, link.name, link.ifindex, link.mac, worker=True)
        if underlay:
            yield replace(device, underlay=True)
        elif link.master in part.stretched:
            bridge = part.bridges[link.master]
            vlan = _vlan(link, bridge)
            yield replace(device, l3_ifindex=bridge.ifindex, mac=bridge.mac, vlan=vlan)


@dataclass(frozen=True, slots=True)
class _Part:
    """What the part of a port hangs on."""

    outside: str
    """The name of the outside port, empty: there is no NAT."""
    inside: Mapping[int, Link]
    bridges: Mapping[int, Link]
    stretched: frozenset[int]
    """Bridges with a VXLAN segment."""
    vxlan: bool
    """Whether there may be segments at all."""
    hopeful: frozenset[int]
    """Bridges with a VXLAN device of the configuration: it may become one, if it is none."""

    def of(self, name: str, link: Link) -> Device | None:
        """None: no part at all.

        With VXLAN, ports keep our program while their bridge or its VXLAN device is away: taking
        it off resets the link of many NICs.
        """
        bridge = self.bridges.get(link.master)
        underlay = self.vxlan and not link.master
        own = Device(link.ifindex, link.name, link.ifindex, link.mac, True, underlay=underlay)
        if name == self.outside:
            return replace(own, outside=True)
        if link.ifindex in self.inside:
            return replace(own, inside=True)
        if bridge is None:
            return own if self.vxlan else None
        within = bridge.ifindex in self.inside
        stretched = bridge.ifindex in self.stretched
        if not within and bridge.ifindex not in self.hopeful:
            return own if self.vxlan else None
        vlan = _vlan(link, bridge)
        return replace(
            own,
            l3_ifindex=bridge.ifindex,
            mac=bridge.mac,
            # In another VLAN, what goes to the bridge's MAC address is not for the bridge device.
            inside=within and vlan == _own_vlan(bridge),
            bridged=stretched and not restriction(link, bridge),
            vlan=vlan,
        )

    def uses(self, device: Device) -> bool:
        """For VXLAN, now or as soon as there is any."""
        return device.underlay or device.l3_ifindex in self.hopeful

    def idle(self, link: Link) -> str:
        if not self.vxlan:
            return f"{link.name} is neither outside nor inside, nor a port of an inside bridge"
        if not self.outside:
            return f"{link.name} is a port of a device without a VXLAN segment"
        return (
            f"{link.name} is neither outside nor inside, and a port of a device "
            "that is not inside either and has no VXLAN segment"
        )


def restriction(link: Link, bridge: Link) -> str:
    """Why XDP may not bridge by a port, which the kernel goes on with; empty: it may."""
    port = link.port
    if port is None:
        return "is not a port of a bridge"
    if port.isolated:
        return "is isolated"
    if port.locked:
        return "is locked"
    if port.vlan_tunnel:
        return "maps VLANs to tunnels"
    if bridge.bridge and bridge.bridge.vlan_filtering and not untagged(port):
        return "has tagged VLANs only"
    if port.state != BRIDGE_FORWARDING:
        return "does not forward at the moment"
    return ""


def _masters_of_worker(config: Config, observed: Observed) -> frozenset[int]:
    """Bridges with a port of the worker's, 0 for its ports that are in none; whether it has them at
    the moment or not."""
    names = (port.device or port.iface or port.name for port in config.ports_of(Plane.DPDK))
    return frozenset(link.master for name in names if (link := observed.link(name)))


def _unbridged(
    ports: Sequence[Device], part: _Part, observed: Observed, of_worker: frozenset[int]
) -> list[str]:
    """Bridges whose stations no data path can reach, or XDP by some of their ports only."""
    names = {link.ifindex: link for link in observed.links}
    found = []
    for bridge in sorted(part.stretched):
        mine = [device for device in ports if device.l3_ifindex == bridge]
        if not mine and bridge not in of_worker:
            found.append(f"no port of {names[bridge].name} is among `ports`: XDP bridges to none")
        for device in mine:
            link = names[device.ifindex]
            why = restriction(link, names[bridge])
            if why and link.running:
                found.append(f"{device.name} {why}: the kernel bridges by it, and XDP does not")
    if part.stretched and 0 not in of_worker and not any(device.underlay for device in ports):
        found.append("every port is a port of a bridge: VXLAN does not arrive by any of them")
    return found


def _idle(config: Config, observed: Observed, ports: frozenset[int]) -> list[str]:
    """What is configured well and moves nothing, as no frame can come or go there."""
    found = []
    for port in config.ports_of(Plane.XDP):
        link = observed.link(port.device)
        if link and link.ifindex in ports and not link.running:
            state = "has no carrier" if link.up else "is down"
            found.append(f"port {port.name}: {link.name} {state}")
    for name in config.nat44.inside if config.nat44 else ():
        link = observed.link(name)
        if link and link.ifindex not in ports and not link.up:
            found.append(f"inside device {name} is down")
    return found


def _vlan(link: Link, bridge: Link) -> int:
    """Of untagged frames of a bridge port, 0: the bridge does not tell VLANs apart."""
    if link.port is None or not (bridge.bridge and bridge.bridge.vlan_filtering):
        return 0
    member = untagged(link.port)
    return member.vlan if member else 0


def _own_vlan(bridge: Link) -> int:
    """The VLAN that the host itself is in without a tag."""
    if bridge.bridge is None or not bridge.bridge.vlan_filtering:
        return 0
    return next((member.vlan for member in bridge.bridge.vlans if member.pvid), 0)


def devices_of(
    roles: Roles, observed: Observed, segments: Sequence[Segment] = ()
) -> tuple[tuple[Device, ...], tuple[str, ...]]:
    """Records of the ports, and of inside devices, bridges and VXLAN devices; and warnings.

    XDP knows a device by its number modulo SLOTS. A bridge or a VXLAN device without a place of
    its own is left out, and what XDP would do at it the kernel does.
    """
    links = {link.ifindex: link for link in observed.links}
    inside = tuple(_of_host(link, inside=True) for link in roles.inside)
    found = {device.ifindex: device for device in (*inside, *roles.ports, *roles.taps)}
    taken = {ifindex % SLOTS for ifindex in found}
    warnings = []
    for device in (*_bridges(segments, links), *_tunnels(segments, links)):
        if device.ifindex in found:
            continue
        if device.ifindex % SLOTS in taken:
            warnings.append(
                f"{device.name} has number {device.ifindex}, whose place is taken: "
                "some of its frames are the kernel's"
            )
            continue
        taken.add(device.ifindex % SLOTS)
        found[device.ifindex] = device
    first: dict[int, IPv4Address] = {}
    for entry in observed.addresses:
        if not entry.secondary:
            first.setdefault(entry.ifindex, entry.address.ip)
    devices = (replace(one, address=first.get(one.l3_ifindex)) for one in found.values())
    return tuple(sorted(devices, key=lambda device: device.ifindex)), tuple(warnings)


def _of_host(link: Link, *, inside: bool) -> Device:
    """A device that has addresses and is no port of ours."""
    return Device(
        link.ifindex,
        link.name,
        link.ifindex,
        link.mac,
        inside=inside,
        bridge=link.kind == "bridge",
        vlan=_own_vlan(link),
    )


def _bridges(segments: Iterable[Segment], links: Mapping[int, Link]) -> list[Device]:
    bridges = dict.fromkeys(segment.bridge for segment in segments)
    return [_of_host(links[bridge], inside=False) for bridge in bridges]


def _tunnels(segments: Iterable[Segment], links: Mapping[int, Link]) -> list[Device]:
    return [
        Device(
            segment.ifindex,
            segment.name,
            segment.bridge,
            links[segment.bridge].mac,
            tunnel=True,
            vlan=0 if segment.external else segment.vlan,
        )
        for segment in segments
    ]
