# SPDX-License-Identifier: GPL-2.0-or-later
"""What the owner wants: one configuration file as data, made by `config.load`."""

from dataclasses import dataclass, field
from enum import Enum
from ipaddress import IPv4Address
from typing import Literal

from .address import IPAddress
from .evpn import Evpn
from .port import Plane, Port, Worker

CONFIG_VERSION = 1
BYPASS_ALL = "*"
"""In `Config.bypass`: the owner accepts that every firewall chain and qdisc is passed."""


class Filtering(Enum):
    """Who outside may answer on a mapping (RFC 4787 section 5)."""

    ENDPOINT_INDEPENDENT = "endpoint-independent"
    ADDRESS_DEPENDENT = "address-dependent"
    ADDRESS_AND_PORT_DEPENDENT = "address-and-port-dependent"


class Protocol(Enum):
    """Protocols that a port forward can name; `number` is the one in the IP header."""

    TCP = "tcp"
    UDP = "udp"

    @property
    def number(self) -> int:
        return {Protocol.TCP: 6, Protocol.UDP: 17}[self]


@dataclass(frozen=True, slots=True)
class PortRange:
    """Transport ports, both ends included."""

    low: int
    high: int

    def __str__(self) -> str:
        return f"{self.low}-{self.high}"

    def __len__(self) -> int:
        return self.high - self.low + 1

    def __contains__(self, port: int) -> bool:
        return self.low <= port <= self.high

    def shared(self, other: "PortRange") -> int:
        """How many ports are in both."""
        return max(0, min(self.high, other.high) - max(self.low, other.low) + 1)

    def overlaps(self, other: "PortRange") -> bool:
        return self.low <= other.high and other.low <= self.high


DEFAULT_PORTS = PortRange(20000, 49999)
DEFAULT_SESSIONS = 65536
FALLBACK_PORTS = PortRange(10000, 19999)
"""Outside ports of the flows that the kernel translates; ours must stay clear of them."""
LOCAL_PORTS = PortRange(32768, 60999)
"""Linux's default for net.ipv4.ip_local_port_range: the host's own connections."""
LOCAL_PORTS_LEFT = 1000
"""At least so many of those stay with the host; without any, not even ping works."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds without traffic until a session ends; `port_rest` starts after that."""

    udp: int = 300
    icmp: int = 60
    tcp_transitory: int = 240
    tcp_established: int = 7440
    port_rest: int = 120


@dataclass(frozen=True, slots=True)
class PerHost:
    """What one inside host may take of the shared tables."""

    sessions: int = 8192
    ports: int = 2048


@dataclass(frozen=True, slots=True)
class Backend:
    """One of several inside endpoints that share an outside one, in proportion to `weight`."""

    address: IPv4Address
    port: int
    weight: int = 1


@dataclass(frozen=True, slots=True)
class PortForward:
    """Outside endpoints that lead inside: one, or `ports` consecutive ones to as many inside."""

    protocol: Protocol
    outside_address: IPv4Address | None
    """None: whichever address the outside port has."""
    outside_port: int
    inside_address: IPv4Address
    inside_port: int
    line: int = 0
    ports: int = 1
    backends: tuple[Backend, ...] = ()
    """If there are any, they count: `inside_address` and `inside_port` are the first one's."""

    @property
    def outside_ports(self) -> PortRange:
        return PortRange(self.outside_port, self.outside_port + self.ports - 1)

    @property
    def inside_ports(self) -> PortRange:
        return PortRange(self.inside_port, self.inside_port + self.ports - 1)


@dataclass(frozen=True, slots=True)
class OneToOne:
    """An outside address that belongs to one inside host, all ports and protocols."""

    outside: IPv4Address
    inside: IPv4Address
    line: int = 0


@dataclass(frozen=True, slots=True)
class Identity:
    """An endpoint that is not translated: an inside host's, or one of the gateway itself."""

    protocol: Protocol
    address: IPv4Address
    port: int
    line: int = 0


Static = PortForward | OneToOne | Identity

PMTU: Literal["pmtu"] = "pmtu"
"""As `Nat44.mss_clamp`: what fits the outside device."""
MssClamp = int | Literal["pmtu"] | None


@dataclass(frozen=True, slots=True)
class NatLog:
    """What is written about sessions and mappings (RFC 6888 REQ-12)."""

    sessions: bool = False
    mappings: bool = False
    destinations: bool = False
    """Where sessions lead to is private: only when asked for."""
    ipfix: tuple[IPv4Address, int] | None = None
    """The collector that sessions are exported to."""


@dataclass(frozen=True, slots=True)
class Nat44:
    """NAT of inside devices to the addresses of one outside port."""

    inside: tuple[str, ...]
    """Kernel device names, in the order of the file."""
    outside: str
    """The name of a port, not of a device."""
    addresses: tuple[str | IPv4Address, ...] = ("interface",)
    """Either the word "interface", alone, or the pool."""
    sessions: int = DEFAULT_SESSIONS
    filtering: Filtering = Filtering.ADDRESS_DEPENDENT
    ports: PortRange = DEFAULT_PORTS
    timeouts: Timeouts = Timeouts()
    static: tuple[Static, ...] = ()
    per_host: PerHost = PerHost()
    mss_clamp: MssClamp = None
    """The largest segment (bytes) that a SYN may announce, None: whatever it says."""
    log: NatLog = NatLog()
    persist: bool = False
    """Whether sessions survive a reboot."""
    line: int = 0
    inside_lines: tuple[int, ...] = ()
    """The line of each entry of `inside`, for messages about devices."""


class Sources(Enum):
    """Whose VXLAN is let in."""

    LEARNED = "learned"
    """Whoever the device itself would send to: destinations in its FDB and its flood set."""
    LISTED = "listed"
    """Exactly the addresses that the owner gave."""
    ANY = "any"


@dataclass(frozen=True, slots=True)
class Vxlan:
    """A VXLAN device of the kernel's that XDP works for."""

    device: str
    vni: int | None = None
    """None: the device's own one, or all that a single VXLAN device has."""
    sources: Sources = Sources.LEARNED
    listed: tuple[IPAddress, ...] = ()
    """With Sources.LISTED."""
    fragment: bool = True
    """Outer packets that do not fit the underlay are cut, which RFC 7348 does not provide for."""
    line: int = 0


@dataclass(frozen=True, slots=True)
class Notice:
    """Legal, but perhaps not meant; shown by `check`, refuses nothing."""

    where: str
    message: str


@dataclass(frozen=True, slots=True)
class Config:
    """One configuration file, complete: every default is filled in."""

    version: int
    path: str
    ports: tuple[Port, ...] = ()
    nat44: Nat44 | None = None
    vxlan: tuple[Vxlan, ...] = ()
    evpn: Evpn | None = None
    worker: Worker | None = None
    """None: no port is the worker's, and it is not configured either."""
    bypass: tuple[str, ...] = ()
    """Names of chains and qdiscs that XDP may go past; BYPASS_ALL for all."""
    warnings: tuple[Notice, ...] = field(default=(), compare=False)

    def port(self, name: str) -> Port:
        """The port of that name; KeyError when there is none."""
        for port in self.ports:
            if port.name == name:
                return port
        raise KeyError(name)

    def ports_of(self, plane: Plane) -> tuple[Port, ...]:
        return tuple(port for port in self.ports if port.plane is plane)

    @property
    def outside_port(self) -> Port | None:
        return self.port(self.nat44.outside) if self.nat44 else None
