# SPDX-License-Identifier: GPL-2.0-or-later
"""What is there and what should be there: for observe, plan and apply."""

from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Interface

from .address import IPAddress, IPNetwork
from .link import Link
from .vxlan import MirrorPort, Segment, SourceFilter, Stations, VniEntry, VtepRoute
from .wanted import (
    DEFAULT_PORTS,
    FALLBACK_PORTS,
    Backend,
    Filtering,
    PerHost,
    PortRange,
    Static,
    Timeouts,
)
from .worker import ObservedWorker, WantedWorker


@dataclass(frozen=True, slots=True)
class Address:
    """One IPv4 address of a device."""

    ifindex: int
    address: IPv4Interface
    secondary: bool = False


@dataclass(frozen=True, slots=True)
class Address6:
    """One IPv6 address of a device that it answers to."""

    ifindex: int
    address: IPv6Interface
    temporary: bool = False
    """Deprecated soon, or already: no VTEP's address for long."""


@dataclass(frozen=True, slots=True)
class Route:
    """One unicast IPv4 route and one of its next hops; gateway None: on the link itself."""

    destination: IPv4Network
    ifindex: int
    gateway: IPv4Address | None = None


@dataclass(frozen=True, slots=True)
class NextHop:
    """A neighbour that XDP sends to and the kernel would forget."""

    ifindex: int
    address: IPAddress

    def __lt__(self, other: "NextHop") -> bool:
        """IPv4 before IPv6, for Python does not compare the two."""
        return self._key < other._key

    @property
    def _key(self) -> tuple[int, int, int]:
        return self.ifindex, self.address.version, int(self.address)


IP_FORWARD = "net.ipv4.ip_forward"
"""The one whose place in a plan matters."""
LO_FORWARDING = "net.ipv4.conf.lo.forwarding"
LO_FORWARDING6 = "net.ipv6.conf.lo.forwarding"
"""Without these two the FIB has no answer for packets of the host's own: XDP asks it for lo."""


@dataclass(frozen=True, slots=True, order=True)
class Sysctl:
    """A kernel setting: what it is, and what it would be without us."""

    name: str
    value: str
    base: str = ""


@dataclass(frozen=True, slots=True, order=True)
class Offload:
    """A feature of a device, by ethtool's name."""

    ifindex: int
    device: str
    feature: str
    on: bool = False


@dataclass(frozen=True, slots=True)
class Sizes:
    """What the sizes of the BPF maps follow from."""

    sessions: int
    pool: int


LOG_SESSIONS, LOG_MAPPINGS = 1, 2
"""Flags of `Settings.log`, enum gw_log_what of gw_abi.h."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How NAT44 behaves, with the outside addresses that it has at the moment; and VXLAN."""

    enabled: bool
    """Of NAT44 alone."""
    addresses: tuple[IPv4Address, ...] = ()
    ports: PortRange = DEFAULT_PORTS
    filtering: Filtering = Filtering.ADDRESS_DEPENDENT
    timeouts: Timeouts = field(default_factory=Timeouts)
    per_host: PerHost = field(default_factory=PerHost)
    mss: int = 0
    """The largest segment (bytes) that a SYN may announce, 0: whatever it says."""
    log: int = 0
    vxlan_ports: tuple[int, ...] = ()
    """UDP ports at which VXLAN is XDP's; empty: VXLAN and bridging are the kernel's."""
    any_path: bool = False
    """The way to a VTEP may hang on UDP ports: XDP asks the FIB for each frame."""


VXLAN_PORTS_MAX = 4
"""As many as gw_settings.vxlan_ports has room for."""


@dataclass(frozen=True, slots=True)
class Device:
    """What one device is for, and whose MAC address its frames have to carry."""

    ifindex: int
    name: str
    l3_ifindex: int
    mac: bytes
    port: bool = False
    inside: bool = False
    outside: bool = False
    bridge: bool = False
    address: IPv4Address | None = None
    """The first one of the device `l3_ifindex`, to answer senders behind this one from."""
    bridged: bool = False
    """A port of the bridge `l3_ifindex` between whose stations XDP forwards."""
    underlay: bool = False
    """A port of its own, at which VXLAN may arrive."""
    tunnel: bool = False
    """A VXLAN device that is a port of the bridge `l3_ifindex`."""
    vlan: int = 0
    """Of a bridge port: that of untagged frames, where the bridge filters VLANs."""
    worker: bool = False
    """A TAP of the DPDK worker's: what comes by it came off a wire."""


@dataclass(frozen=True, slots=True)
class StaticMapping:
    """Outside endpoints that lead inside; protocol and ports 0: the whole address.

    `ports` consecutive ones lead to as many inside. An identity mapping has the same on both
    sides; with `host` it is of an address of the gateway itself.
    """

    protocol: int
    outside: IPv4Address
    outside_port: int
    inside: IPv4Address
    inside_port: int
    ports: int = 1
    backends: tuple[Backend, ...] = ()
    """If there are any, they count: `inside` and `inside_port` are the first one's."""
    host: bool = False


@dataclass(frozen=True, slots=True)
class FallbackTable:
    """The same intent for the kernel: what the nftables table has to do."""

    inside: tuple[str, ...] = ()
    """Empty: there is nothing to translate."""
    outside: str = ""
    pool: tuple[IPv4Address, ...] = ()
    """Empty: whatever address the outside device has."""
    ports: PortRange = FALLBACK_PORTS
    static: tuple[Static, ...] = ()
    hairpin: tuple[IPv4Address, ...] = ()
    """Outside addresses by which inside hosts reach what is forwarded; without `static` none."""
    mss: int = 0
    sources: tuple[SourceFilter, ...] = ()
    """VXLAN whose senders are judged once more after reassembly."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """One port that carries our programs."""

    ifindex: int
    name: str
    outside: bool = False


@dataclass(frozen=True, slots=True)
class Wanted:
    """A configuration applied to the devices that are there; sizes None: XDP has no work."""

    sizes: Sizes | None = None
    settings: Settings = field(default_factory=lambda: Settings(enabled=False))
    devices: tuple[Device, ...] = ()
    prefixes: tuple[IPv4Network, ...] = ()
    addresses: tuple[IPv4Address, ...] = ()
    statics: tuple[StaticMapping, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    offloads: tuple[Offload, ...] = ()
    sysctls: tuple[Sysctl, ...] = ()
    table: FallbackTable | None = None
    managed: frozenset[NextHop] = frozenset()
    segments: tuple[Segment, ...] = ()
    vnis: tuple[VniEntry, ...] = ()
    tunnels: tuple[Attachment, ...] = ()
    """VXLAN devices, which carry the TC program that cuts and no XDP."""
    mirrored: tuple[MirrorPort, ...] = ()
    """Every port of every bridge whose stations XDP has to know."""
    worker: WantedWorker | None = None
    """None: no port is to be the worker's, or none can be at the moment."""
    warnings: tuple[str, ...] = ()

    @property
    def stations(self) -> Stations:
        plain = frozenset(
            device.ifindex
            for device in self.devices
            if device.inside and not device.bridge and device.l3_ifindex == device.ifindex
        )
        return Stations(self.mirrored, self.segments, plain)


@dataclass(frozen=True, slots=True)
class Written:
    """What this process wrote last into places that only it writes; None: nothing yet."""

    sizes: Sizes | None = None
    settings: Settings | None = None
    devices: tuple[Device, ...] | None = None
    prefixes: tuple[IPv4Network, ...] | None = None
    addresses: tuple[IPv4Address, ...] | None = None
    statics: tuple[StaticMapping, ...] | None = None
    attachments: tuple[Attachment, ...] = ()
    table: FallbackTable | None = None
    fingerprint: str = ""
    """Of the nftables table as the kernel listed it just after it was written."""
    vnis: tuple[VniEntry, ...] | None = None
    tunnels: tuple[Attachment, ...] = ()
    stations: Stations | None = None


@dataclass(frozen=True, slots=True)
class Observed:
    """The system as it was read, once."""

    links: tuple[Link, ...] = ()
    addresses: tuple[Address, ...] = ()
    routes: tuple[Route, ...] = ()
    """By inside devices and by the outside device."""
    addresses6: tuple[Address6, ...] = ()
    vteps: tuple[VtepRoute, ...] = ()
    """The ways to the VTEPs that the mirror knew at the time."""
    any_path: bool = False
    """Routes may hang on UDP ports: by rules, or among several next hops."""
    present: frozenset[tuple[int, IPNetwork]] = frozenset()
    """Table and prefix, of those that EVPN is to advertise and that have a route."""
    attached: tuple[tuple[int, str], ...] = ()
    """(ifindex, mode) of the ports that carry our XDP program."""
    handover: frozenset[int] = frozenset()
    """The ones among them with our current program at TC ingress."""
    guard: frozenset[int] = frozenset()
    """And at TC egress."""
    tunnels: frozenset[int] = frozenset()
    """VXLAN devices with our current program at TC egress."""
    tunnels_left: frozenset[int] = frozenset()
    """VXLAN devices that an agent of this instance put it on, whether or not it is current."""
    offloads: tuple[Offload, ...] = ()
    """Features that would hide something from XDP, of the devices concerned."""
    offloads_changed: tuple[Offload, ...] = ()
    """What we turned off, as it was before."""
    sysctls: tuple[Sysctl, ...] = ()
    sysctls_changed: tuple[str, ...] = ()
    """Names of the settings that we changed."""
    table: str = ""
    """Fingerprint of the nftables table, empty: there is none."""
    managed: frozenset[NextHop] = frozenset()
    """Neighbours that are managed, by whomever."""
    managed_changed: frozenset[NextHop] = frozenset()
    """The ones among them, or gone since, that we made so."""
    worker: ObservedWorker = field(default_factory=ObservedWorker)
    heard: frozenset[int] = frozenset()
    """Bridges that hear by a TAP, which is up and has its program."""
    heard_left: frozenset[int] = frozenset()
    """Bridges for which there is such a TAP in whatever state, be they gone."""
    written: Written = Written()

    def link(self, name: str) -> Link | None:
        return next((link for link in self.links if link.name == name), None)
