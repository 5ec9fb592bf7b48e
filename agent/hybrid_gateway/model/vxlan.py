# SPDX-License-Identifier: GPL-2.0-or-later
"""VXLAN segments: for resolve, the mirror of the FDBs, and whoever writes tables from them."""

from dataclasses import dataclass, field
from enum import Enum

from .address import IPAddress
from .link import VXLAN_SOURCE_PORTS
from .wanted import PortRange, Sources

VNI_OTHER = 0x1000000
"""In a `VniEntry`, whatever VNI has no entry: GW_VNI_OTHER of gw_abi.h."""


class Df(Enum):
    """The don't-fragment bit of an outer IPv4 packet."""

    UNSET = 0
    SET = 1
    INHERIT = 2


@dataclass(frozen=True, slots=True)
class Encapsulation:
    """What the outer headers of a segment have in common."""

    ttl: int = 64
    ttl_inherit: bool = False
    tos: int = 0
    tos_inherit: bool = False
    """DSCP of the inner packet; ECN always follows RFC 6040."""
    df: Df = Df.UNSET
    label: int = 0
    """IPv6 flow label, host order."""
    checksum: bool = True
    """A real UDP checksum; without, zero."""
    fragment: bool = True
    """What does not fit the underlay is cut."""
    ports: PortRange = VXLAN_SOURCE_PORTS
    """UDP source ports."""
    mtu: int = 1500
    """Of the VXLAN device: the largest inner packet (bytes, without its Ethernet header)."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One VNI of one VXLAN device in one bridge, and in one VLAN if the bridge filters them."""

    ifindex: int
    """Of the VXLAN device."""
    name: str
    vni: int
    bridge: int
    """ifindex."""
    bridge_name: str
    port: int
    """UDP destination, host order, both ways."""
    family: int
    """4 or 6: of the local address and of every VTEP."""
    vlan: int = 0
    local: IPAddress | None = None
    """The outer source address; None: it depends on the VTEP, and sending is the kernel's."""
    arrives: tuple[IPAddress, ...] = ()
    """Addresses of this host at which it is taken: `local`, or all of the family."""
    learns: bool = False
    """The device or its bridge port learns from what arrives."""
    sources: Sources = Sources.LEARNED
    listed: tuple[IPAddress, ...] = ()
    """With Sources.LISTED: of this family, in order."""
    group: IPAddress | None = None
    """Multicast: the kernel's default destination, and no VTEP."""
    external: bool = False
    """Of a single VXLAN device: its FDB entries name their VNI."""
    encapsulation: Encapsulation = field(default_factory=Encapsulation)
    link: int = 0
    """ifindex of the device that the outer packets are bound to, 0: none."""
    ageing: int = 300
    """Seconds, of what the VXLAN device learned; 0: it stays."""
    heard: str = ""
    """Of one that the worker is given: the TAP by which the bridge hears what it floods; empty:
    what is for groups is the kernel's to flood."""


@dataclass(frozen=True, slots=True)
class VniEntry:
    """What arrives at one of our addresses and one UDP port with one VNI: struct gw_vni."""

    vni: int
    """Or VNI_OTHER."""
    port: int
    """UDP, host order."""
    address: IPAddress
    ifindex: int = 0
    bridge: int = 0
    vlan: int = 0
    kernel: bool = False
    """Of a device that XDP has no part in."""
    learns: bool = False
    any_source: bool = False


@dataclass(frozen=True, slots=True)
class SourceFilter:
    """VXLAN that nftables drops after reassembly, unless its sender is in a set.

    The set is the mirror's: it has the VTEPs of the segment (ifindex, vni).
    """

    ifindex: int
    vni: int
    port: int
    family: int


@dataclass(frozen=True, slots=True)
class VtepRoute:
    """The kernel's way to one VTEP."""

    vtep: IPAddress
    ifindex: int = 0
    """0: there is no way."""
    gateway: IPAddress | None = None
    """None: it is on the link."""
    source: IPAddress | None = None
    """The address that the kernel would send from, if it were asked to choose."""


@dataclass(frozen=True, slots=True)
class MirrorPort:
    """One port of a mirrored bridge."""

    ifindex: int
    bridge: int
    name: str = ""
    xdp: bool = False
    """It carries our XDP program, so that frames can be redirected to it."""
    bridged: bool = False
    """XDP bridges to and from it."""
    tunnel: bool = False
    """It is the VXLAN device of a segment."""
    ageing: int = 300
    """Seconds, of stations that the bridge learned; 0: they stay."""
    filtering: bool = False
    """The bridge filters VLANs: a station is in one, otherwise in none."""


@dataclass(frozen=True, slots=True)
class Stations:
    """Whose stations XDP has to know."""

    ports: tuple[MirrorPort, ...] = ()
    segments: tuple[Segment, ...] = ()
    plain: frozenset[int] = frozenset()
    """Inside devices without a bridge: NAT uses their neighbours."""
