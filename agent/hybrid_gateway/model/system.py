# SPDX-License-Identifier: GPL-2.0-or-later
"""What is there, what should be there, and the steps between: for observe, plan and apply."""

from dataclasses import dataclass, field
from enum import Enum
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

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


@dataclass(frozen=True, slots=True)
class Link:
    """One network device as the kernel has it."""

    ifindex: int
    name: str
    mac: bytes = bytes(6)
    master: int = 0
    """ifindex of the bridge that it is a port of, 0: none."""
    kind: str = ""
    """"bridge", "veth", "vxlan" and so on; empty for a plain NIC."""
    mtu: int = 1500
    up: bool = True
    """As the owner set it: "ip link set up"."""
    carrier: bool = True

    @property
    def running(self) -> bool:
        """Whether frames can come and go."""
        return self.up and self.carrier


@dataclass(frozen=True, slots=True)
class Address:
    """One IPv4 address of a device."""

    ifindex: int
    address: IPv4Interface
    secondary: bool = False


@dataclass(frozen=True, slots=True)
class Route:
    """One unicast IPv4 route and one of its next hops; gateway None: on the link itself."""

    destination: IPv4Network
    ifindex: int
    gateway: IPv4Address | None = None


@dataclass(frozen=True, slots=True, order=True)
class NextHop:
    """A neighbour that XDP sends to and the kernel would forget."""

    ifindex: int
    address: IPv4Address


IP_FORWARD = "net.ipv4.ip_forward"
"""The one whose place in a plan matters."""


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
    """How NAT44 behaves, with the outside addresses that it has at the moment."""

    enabled: bool
    addresses: tuple[IPv4Address, ...] = ()
    ports: PortRange = DEFAULT_PORTS
    filtering: Filtering = Filtering.ADDRESS_DEPENDENT
    timeouts: Timeouts = field(default_factory=Timeouts)
    per_host: PerHost = field(default_factory=PerHost)
    mss: int = 0
    """The largest segment (bytes) that a SYN may announce, 0: whatever it says."""
    log: int = 0


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

    inside: tuple[str, ...]
    outside: str
    pool: tuple[IPv4Address, ...] = ()
    """Empty: whatever address the outside device has."""
    ports: PortRange = FALLBACK_PORTS
    static: tuple[Static, ...] = ()
    hairpin: tuple[IPv4Address, ...] = ()
    """Outside addresses by which inside hosts reach what is forwarded; without `static` none."""
    mss: int = 0


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
    warnings: tuple[str, ...] = ()


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


@dataclass(frozen=True, slots=True)
class Observed:
    """The system as it was read, once."""

    links: tuple[Link, ...] = ()
    addresses: tuple[Address, ...] = ()
    routes: tuple[Route, ...] = ()
    """By inside devices and by the outside device."""
    attached: tuple[tuple[int, str], ...] = ()
    """(ifindex, mode) of the ports that carry our XDP program."""
    handover: frozenset[int] = frozenset()
    """The ones among them with our current program at TC ingress."""
    guard: frozenset[int] = frozenset()
    """And at TC egress."""
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
    written: Written = Written()

    def link(self, name: str) -> Link | None:
        return next((link for link in self.links if link.name == name), None)


class StepKind(Enum):
    """Everything that a plan can consist of, in the order of the work: see plan.py."""

    DETACH = "detach"
    FORGET = "forget"
    RESTORE_OFFLOAD = "restore-offload"
    RESTORE_SYSCTL = "restore-sysctl"
    REMOVE_TABLE = "remove-table"
    LOAD = "load"
    SYSCTL = "sysctl"
    TABLE = "table"
    OFFLOAD = "offload"
    SETTINGS = "settings"
    ADDRESSES = "addresses"
    STATICS = "statics"
    PREFIXES = "prefixes"
    DEVICES = "devices"
    ATTACH = "attach"
    MANAGE = "manage"


StepValue = (
    Sizes
    | Settings
    | Sysctl
    | FallbackTable
    | Offload
    | Attachment
    | NextHop
    | tuple[IPv4Address, ...]
    | tuple[StaticMapping, ...]
    | tuple[IPv4Network, ...]
    | tuple[Device, ...]
    | None
)


@dataclass(frozen=True, slots=True)
class Step:
    """One change: to what, and in words; `value` is what `apply` needs to do it."""

    kind: StepKind
    subject: str
    text: str
    value: StepValue = None
