# SPDX-License-Identifier: GPL-2.0-or-later
"""VXLAN segments: the configured devices as the kernel has them, and what keeps XDP from one. Pure.

A device that XDP cannot work for stays the kernel's, with all that it does.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from .model import (
    BRIDGE_FORWARDING,
    VXLAN_PORTS_MAX,
    BridgePort,
    Config,
    Df,
    Encapsulation,
    IPAddress,
    Link,
    Observed,
    PortVlan,
    Segment,
    Sources,
    Vxlan,
    VxlanLink,
)

STRANGE = frozenset({"rsc", "gbp", "gpe", "remcsum-tx", "remcsum-rx"})
"""Extensions that XDP would have to do as well: they change headers, or where frames go. The
others are about ARP and about stations that nobody knows, and both are the kernel's anyway."""
HOPS = 64
"""Linux's default TTL and hop limit."""
TOS_INHERIT = 1


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why XDP cannot work for one entry of `vxlan`; `key` is of the entry, empty for all of it."""

    index: int
    key: str
    message: str
    code: str = "config.conflict"


@dataclass(frozen=True, slots=True)
class Found:
    """The segments that there are at the moment, and what keeps others from being some."""

    segments: tuple[Segment, ...] = ()
    obstacles: tuple[Obstacle, ...] = ()
    """What is wrong with the configuration, or with how the devices were made."""
    doubts: tuple[str, ...] = ()
    """What may pass by itself: a device that is down, an address that is yet to come."""

    @property
    def warnings(self) -> tuple[str, ...]:
        return (*(obstacle.message for obstacle in self.obstacles), *self.doubts)


def segments_of(config: Config, observed: Observed) -> Found:
    """In the order of the file; of a single VXLAN device, by VNI."""
    links = {link.ifindex: link for link in observed.links}
    names = {link.name: link for link in observed.links}
    found: list[Segment] = []
    obstacles: list[Obstacle] = []
    doubts: list[str] = []
    ports: set[int] = set()
    for index, entry in enumerate(config.vxlan):
        link = names.get(entry.device)
        obstacle = _obstacle(index, entry, link, links)
        if obstacle is None and link and link.vxlan:
            if link.vxlan.port not in ports and len(ports) == VXLAN_PORTS_MAX:
                obstacle = Obstacle(index, "device", _too_many(entry, link.vxlan.port, ports))
            else:
                ports.add(link.vxlan.port)
        if obstacle:
            obstacles.append(obstacle)
            continue
        assert link
        bridge = links[link.master]
        if reason := _asleep(link, bridge):
            doubts.append(reason)
            continue
        made = _segments(entry, link, bridge, observed)
        doubts += _doubts(made)
        found += made
    return Found(tuple(found), tuple(obstacles), tuple(doubts))


def _too_many(entry: Vxlan, port: int, ports: set[int]) -> str:
    listed = ", ".join(map(str, sorted(ports)))
    return f"{entry.device} has UDP port {port}, and XDP takes VXLAN at four: {listed}"


# ---- what keeps XDP from a device -------------------------------------------------------


def _obstacle(
    index: int, entry: Vxlan, link: Link | None, links: Mapping[int, Link]
) -> Obstacle | None:
    name = entry.device
    if link is None:
        message = f"there is no network device {name}"
        return Obstacle(index, "device", message, "config.no-device")
    if link.vxlan is None:
        return Obstacle(index, "device", f"{name} is no VXLAN device")
    bridge = links.get(link.master)
    if bridge is None or bridge.kind != "bridge" or link.port is None:
        return Obstacle(index, "device", f"{name} is not a port of a bridge")
    if strange := [one for one in link.vxlan.extensions if one in STRANGE]:
        message = f"{name} was made with {', '.join(strange)}, which XDP does not know"
        return Obstacle(index, "device", message)
    if link.vxlan.external:
        return _obstacle_of_single(index, entry, link, bridge)
    if entry.vni not in (None, link.vxlan.vni):
        return Obstacle(index, "vni", f"{name} has VNI {link.vxlan.vni}, not {entry.vni}")
    if bridge.bridge and bridge.bridge.vlan_filtering and not untagged(link.port):
        message = (
            f"{name} is in no VLAN of {bridge.name} without a tag: "
            f"bridge vlan add dev {name} vid VLAN pvid untagged"
        )
        return Obstacle(index, "device", message)
    return _obstacle_of_sources(index, entry, link.vxlan, (link.vxlan.group,))


def _obstacle_of_single(index: int, entry: Vxlan, link: Link, bridge: Link) -> Obstacle | None:
    """Of a single VXLAN device, whose VNIs follow from VLANs of the bridge."""
    assert link.vxlan
    assert link.port
    name = entry.device
    if not (bridge.bridge and bridge.bridge.vlan_filtering and link.port.vlan_tunnel):
        message = (
            f"{name} is a single VXLAN device: {bridge.name} has to filter VLANs, and {name} to "
            f"map them to VNIs (bridge link set dev {name} vlan_tunnel on)"
        )
        return Obstacle(index, "device", message)
    mapped = [vlan.tunnel for vlan in link.port.vlans if vlan.tunnel]
    if entry.vni is not None and entry.vni not in mapped:
        return Obstacle(index, "vni", f"{name} has no VLAN for VNI {entry.vni}")
    if not mapped:
        message = (
            f"{name} has no VLAN with a VNI: bridge vlan add dev {name} vid VLAN tunnel_info id VNI"
        )
        return Obstacle(index, "device", message)
    vnis = _vnis(entry, link.vxlan, link.port)
    if not vnis:
        what = f"VNI {entry.vni}" if entry.vni else "any VNI that has a VLAN"
        message = f"{name} does not take {what}: bridge vni add dev {name} vni VNI"
        return Obstacle(index, "vni" if entry.vni else "device", message)
    groups = [vni.group for vni in link.vxlan.vnis if vni.vni in vnis]
    return _obstacle_of_sources(index, entry, link.vxlan, (link.vxlan.group, *groups))


def _obstacle_of_sources(
    index: int, entry: Vxlan, vxlan: VxlanLink, groups: tuple[IPAddress | None, ...]
) -> Obstacle | None:
    name = entry.device
    multicast = next((group for group in groups if group and group.is_multicast), None)
    if multicast and entry.sources is Sources.LEARNED:
        message = (
            f"{name} floods to the multicast group {multicast}, so that nobody knows beforehand "
            "who may send: list their addresses, or say any"
        )
        return Obstacle(index, "sources", message)
    for number, address in enumerate(entry.listed):
        if address.version != vxlan.family:
            message = f"{address} is IPv{address.version}, and {name} has IPv{vxlan.family}"
            return Obstacle(index, f"sources[{number}]", message, "config.address")
    return None


def _asleep(link: Link, bridge: Link) -> str:
    """Why nothing can come or go by a device that is made well; empty: it can."""
    for one in (link, bridge):
        if not one.up:
            return f"{link.name}: {one.name} is down"
    if link.port and link.port.state != BRIDGE_FORWARDING:
        return f"{link.name}: {bridge.name} does not forward by it at the moment"
    return ""


def _doubts(made: list[Segment]) -> Iterator[str]:
    """Of the segments of one device, which have all of this in common."""
    for segment in made[:1]:
        if not segment.arrives:
            where = segment.local or f"IPv{segment.family}"
            yield f"{segment.name}: this host has no address {where}: nothing arrives by it"
        elif segment.local is None:
            yield (
                f"{segment.name} has no local address, and the ways to its VTEPs give none: "
                "sending is the kernel's"
            )


# ---- segments ---------------------------------------------------------------------------


def untagged(port: BridgePort) -> PortVlan | None:
    """The VLAN of untagged frames, if the port sends it without a tag as well."""
    return next((vlan for vlan in port.vlans if vlan.pvid and vlan.untagged), None)


def _vnis(entry: Vxlan, vxlan: VxlanLink, port: BridgePort) -> dict[int, int]:
    """VNI to VLAN, of those that the entry is about and the device takes."""
    if not vxlan.external:
        vlan = untagged(port)
        return {vxlan.vni: vlan.vlan if vlan else 0}
    taken = {vni.vni for vni in vxlan.vnis} if vxlan.vnifilter else None
    return {
        vlan.tunnel: vlan.vlan
        for vlan in sorted(port.vlans, key=lambda vlan: vlan.tunnel)
        if vlan.tunnel
        and entry.vni in (None, vlan.tunnel)
        and (taken is None or vlan.tunnel in taken)
    }


def _segments(entry: Vxlan, link: Link, bridge: Link, observed: Observed) -> list[Segment]:
    vxlan, port = link.vxlan, link.port
    assert vxlan
    assert port
    own = own_addresses(observed, vxlan.family)
    groups = {vni.vni: vni.group for vni in vxlan.vnis}
    common = Segment(
        ifindex=link.ifindex,
        name=link.name,
        vni=0,
        bridge=bridge.ifindex,
        bridge_name=bridge.name,
        port=vxlan.port,
        family=vxlan.family,
        local=_local(vxlan, observed),
        arrives=tuple(address for address in own if vxlan.local in (None, address)),
        learns=vxlan.learning or port.learning,
        sources=entry.sources,
        listed=entry.listed,
        external=vxlan.external,
        encapsulation=_encapsulation(vxlan, link.mtu, entry.fragment),
        link=vxlan.link,
        ageing=vxlan.ageing,
    )
    filters = bool(bridge.bridge and bridge.bridge.vlan_filtering)
    return [
        replace(
            common,
            vni=vni,
            vlan=vlan if filters else 0,
            group=_multicast(groups.get(vni) or vxlan.group),
        )
        for vni, vlan in _vnis(entry, vxlan, port).items()
    ]


def _multicast(group: IPAddress | None) -> IPAddress | None:
    return group if group and group.is_multicast else None


def own_addresses(observed: Observed, family: int) -> tuple[IPAddress, ...]:
    """Addresses of this host at which VXLAN can arrive, in order."""
    found: set[IPAddress]
    if family == 4:
        found = {entry.address.ip for entry in observed.addresses}
    else:
        found = {entry.address.ip for entry in observed.addresses6}
    return tuple(sorted(one for one in found if not one.is_loopback and not one.is_link_local))


def _local(vxlan: VxlanLink, observed: Observed) -> IPAddress | None:
    """What the kernel would send from, as far as that is the same for all VTEPs."""
    if vxlan.local is not None and not vxlan.link:
        return vxlan.local
    routes = [
        route
        for route in observed.vteps
        if route.vtep.version == vxlan.family and route.ifindex and not route.vtep.is_multicast
    ]
    if vxlan.link and any(route.ifindex != vxlan.link for route in routes):
        return None  # the kernel sends by that device, whatever the routes say
    if vxlan.local is not None:
        return vxlan.local
    sources = {route.source for route in routes}
    return sources.pop() if len(sources) == 1 else None


def _encapsulation(vxlan: VxlanLink, mtu: int, fragment: bool) -> Encapsulation:
    return Encapsulation(
        ttl=vxlan.ttl or HOPS,
        ttl_inherit=vxlan.ttl_inherit,
        tos=0 if vxlan.tos == TOS_INHERIT else vxlan.tos,
        tos_inherit=vxlan.tos == TOS_INHERIT,
        df=Df(vxlan.df) if vxlan.df in (1, 2) else Df.UNSET,
        label=vxlan.label,
        checksum=vxlan.checksum if vxlan.family == 4 else not vxlan.zero_checksum6_tx,
        fragment=fragment,
        ports=vxlan.ports,
        mtu=mtu,
    )
