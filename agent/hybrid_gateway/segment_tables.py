# SPDX-License-Identifier: GPL-2.0-or-later
"""What follows from VXLAN segments: VNIs, filters, next hops, where frames are cut. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Address

from .model import (
    Device,
    Df,
    IPAddress,
    Link,
    MirrorPort,
    NextHop,
    Observed,
    Offload,
    OneToOne,
    PortForward,
    Protocol,
    Segment,
    SourceFilter,
    Sources,
    Static,
    VniEntry,
)
from .statics import Doubt

OVERHEAD = {4: 50, 6: 70}
"""Bytes that VXLAN adds to an inner packet, by family: inner Ethernet, VXLAN, UDP and IP."""
MERGING = frozenset({"rx-gro"})
WHOLE = frozenset(
    {
        "tx-checksum-ip-generic",
        "tx-generic-segmentation",
        "tx-tcp-segmentation",
        "tx-tcp6-segmentation",
        "tx-udp-segmentation",
    }
)
"""Features by which the host's own frames would come to a VXLAN device unfinished."""
WHEN_CUT = MERGING | WHOLE


def vnis(segments: Sequence[Segment], observed: Observed) -> tuple[VniEntry, ...]:
    """What may arrive at each address and UDP port that has a segment at all.

    The kernel takes a VNI at every address of the family, wherever the device's own one is. So
    what a segment does not have there is the kernel's to take, and nftables' to judge.
    """
    places = {(address, one.port) for one in segments for address in one.arrives}
    ours = {(one.ifindex, one.vni): one for one in segments}
    found = {}
    for address, port in sorted(places, key=_place):
        for link in observed.links:
            if not takes(link, address, port):
                continue
            for vni in sorted(_all_vnis(link, segments)):
                segment = ours.get((link.ifindex, vni))
                if segment and address in segment.arrives:
                    found[address, port, vni] = _entry(segment, address)
                else:
                    kernel = VniEntry(vni, port, address, link.ifindex, kernel=True)
                    found.setdefault((address, port, vni), kernel)
    return tuple(found.values())


def _place(place: tuple[IPAddress, int]) -> tuple[int, int, int]:
    address, port = place
    return address.version, int(address), port


def takes(link: Link, address: IPAddress, port: int) -> bool:
    """Whether a VXLAN device is open for what arrives there."""
    vxlan = link.vxlan
    if vxlan is None or not link.up or vxlan.port != port:
        return False
    return vxlan.external or vxlan.family == address.version


def _all_vnis(link: Link, segments: Sequence[Segment]) -> set[int]:
    """All that a device takes; of a single one without vnifilter, those that are known."""
    vxlan = link.vxlan
    assert vxlan
    if not vxlan.external:
        return {vxlan.vni}
    if vxlan.vnifilter:
        return {vni.vni for vni in vxlan.vnis}
    mapped = {vlan.tunnel for vlan in link.port.vlans if vlan.tunnel} if link.port else set()
    return mapped | {one.vni for one in segments if one.ifindex == link.ifindex}


def _entry(segment: Segment, address: IPAddress) -> VniEntry:
    return VniEntry(
        segment.vni,
        segment.port,
        address,
        segment.ifindex,
        segment.bridge,
        segment.vlan,
        learns=segment.learns,
        any_source=segment.sources is Sources.ANY,
    )


def filters(segments: Iterable[Segment]) -> tuple[SourceFilter, ...]:
    """A single VXLAN device is open for both families, whichever its VTEPs have."""
    found = {
        SourceFilter(one.ifindex, one.vni, one.port, family)
        for one in segments
        if one.sources is not Sources.ANY
        for family in ((4, 6) if one.external else (one.family,))
    }
    return tuple(sorted(found, key=lambda one: (one.family, one.port, one.vni)))


def udp_ports(segments: Iterable[Segment]) -> tuple[int, ...]:
    return tuple(sorted({one.port for one in segments}))


# ---- bridges ----------------------------------------------------------------------------


def mirrored(
    segments: Sequence[Segment], devices: Sequence[Device], links: Sequence[Link]
) -> tuple[MirrorPort, ...]:
    """Every port of a bridge that has a segment, or that NAT has inside, by ifindex."""
    known = {device.ifindex: device for device in devices}
    bridges = {one.bridge for one in segments}
    bridges |= {device.ifindex for device in devices if device.bridge and device.inside}
    tunnels = {one.ifindex for one in segments}
    ageing = {link.ifindex: link.bridge.ageing for link in links if link.bridge}
    filtering = {link.ifindex for link in links if link.bridge and link.bridge.vlan_filtering}
    return tuple(
        MirrorPort(
            ifindex=link.ifindex,
            bridge=link.master,
            name=link.name,
            xdp=link.ifindex in known and known[link.ifindex].port,
            bridged=link.ifindex in known and known[link.ifindex].bridged,
            tunnel=link.ifindex in tunnels,
            ageing=ageing.get(link.master, 300),
            filtering=link.master in filtering,
        )
        for link in sorted(links, key=lambda link: link.ifindex)
        if link.master in bridges
    )


# ---- the underlay -----------------------------------------------------------------------


def next_hops(observed: Observed, devices: Iterable[Device]) -> frozenset[NextHop]:
    """Toward every VTEP that XDP reaches by a port of its own; the worker sees to its own."""
    up = {link.ifindex for link in observed.links if link.up}
    underlay = {device.ifindex for device in devices if device.underlay and device.port} & up
    return frozenset(
        NextHop(route.ifindex, route.gateway or route.vtep)
        for route in observed.vteps
        if route.ifindex in underlay
    )


def _underlay_mtu(devices: Iterable[Device], links: Iterable[Link]) -> int:
    """The smallest of the ports by which VTEPs may be reached, 0: there is none."""
    underlay = {device.ifindex for device in devices if device.underlay}
    return min((link.mtu for link in links if link.ifindex in underlay), default=0)


def _fits(segment: Segment, underlay: int) -> bool:
    return segment.encapsulation.mtu + OVERHEAD[segment.family] <= underlay


def _is_cut(segment: Segment) -> bool:
    how = segment.encapsulation
    return how.fragment and (how.df is not Df.SET or segment.family == 6)


def unfit(
    segments: Iterable[Segment], devices: Iterable[Device], links: Iterable[Link]
) -> tuple[str, ...]:
    """Segments whose longest frames would not get through."""
    underlay = _underlay_mtu(devices, links)
    return tuple(
        dict.fromkeys(
            f"{one.name} has MTU {one.encapsulation.mtu}, and the underlay takes "
            f"{underlay - OVERHEAD[one.family]} of it uncut: longer frames get lost"
            for one in segments
            if underlay and not _is_cut(one) and not _fits(one, underlay)
        )
    )


def cut_bridges(
    segments: Iterable[Segment], devices: Iterable[Device], links: Iterable[Link]
) -> frozenset[int]:
    """Bridges with frames that may not fit the underlay: those come whole to where they are cut."""
    underlay = _underlay_mtu(devices, links)
    return frozenset(one.bridge for one in segments if _is_cut(one) and not _fits(one, underlay))


def offloads(
    bridges: frozenset[int], devices: Iterable[Device], observed: Observed
) -> tuple[Offload, ...]:
    """What has to be off for the bridges of `cut_bridges`."""
    access = {device.ifindex for device in devices if device.bridged}
    access = {link.ifindex for link in observed.links if link.master in bridges} & access
    return tuple(
        Offload(one.ifindex, one.device, one.feature, False)
        for one in observed.offloads
        if (one.ifindex in bridges and one.feature in WHOLE)
        or (one.ifindex in access and one.feature in MERGING)
    )


# ---- beside NAT44 -----------------------------------------------------------------------


def forwarded(
    static: Sequence[Static], pool: tuple[IPv4Address, ...], segments: Iterable[Segment]
) -> Iterator[Doubt]:
    """Static mappings that lead inside what is a VTEP's."""
    places: dict[tuple[IPAddress, int], str] = {}
    for one in segments:
        for address in one.arrives:
            places.setdefault((address, one.port), one.name)
    for index, entry in enumerate(static):
        for (address, port), name in places.items():
            if isinstance(entry, OneToOne):
                taken = entry.outside == address
            elif isinstance(entry, PortForward) and entry.protocol is Protocol.UDP:
                outside = pool if entry.outside_address is None else (entry.outside_address,)
                taken = port in entry.outside_ports and address in outside
            else:
                taken = False
            if taken:
                message = f"UDP port {port} of {address} is where VXLAN arrives for {name}"
                yield Doubt(index, entry.line, "outside", message)
                break
