# SPDX-License-Identifier: GPL-2.0-or-later
"""What goes into the BPF maps and what comes out of them, in Python's types."""

from dataclasses import dataclass
from ipaddress import IPv4Address

from _gw_native import lib

DEV_PORT: int = lib.GW_DEV_PORT
DEV_INSIDE: int = lib.GW_DEV_INSIDE
DEV_OUTSIDE: int = lib.GW_DEV_OUTSIDE
DEV_BRIDGE: int = lib.GW_DEV_BRIDGE
DEV_BRIDGED: int = lib.GW_DEV_BRIDGED
DEV_UNDERLAY: int = lib.GW_DEV_UNDERLAY
DEV_TUNNEL: int = lib.GW_DEV_TUNNEL
DEV_WORKER: int = lib.GW_DEV_WORKER
VXLAN_ON: int = lib.GW_VXLAN_ON
VXLAN_ANY_PATH: int = lib.GW_VXLAN_ANY_PATH


@dataclass(frozen=True, slots=True)
class MapSizes:
    """What the sizes of the maps follow from."""

    sessions: int
    pool: int = 1


@dataclass(frozen=True, slots=True)
class LoadReport:
    """Whether the sessions of an earlier load live on, and if not, why."""

    reused: bool
    reason: str


@dataclass(frozen=True, slots=True)
class NatSettings:
    """How NAT44 behaves; times in seconds, ports inclusive, `filtering` a GW_FILTER_* number.

    `mss` is in bytes, 0 for no clamping; `log` are flags GW_LOG_SESSIONS and GW_LOG_MAPPINGS.
    `vxlan` are flags VXLAN_*, and `vxlan_ports` at most VXLAN_PORTS_MAX UDP ports.
    """

    enabled: bool
    addresses: tuple[IPv4Address, ...]
    ports: tuple[int, int]
    filtering: int
    udp: int
    icmp: int
    tcp_transitory: int
    tcp_established: int
    port_rest: int
    host_sessions: int
    host_ports: int
    mss: int = 0
    log: int = 0
    vxlan: int = 0
    vxlan_ports: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class DeviceRecord:
    """What one device is for: DEV_* flags, the device that has its addresses, that one's MAC.

    `address` is that device's own, for ICMP errors to senders behind an inside port; `vlan` the
    one of untagged frames in a bridge that filters VLANs, otherwise 0.
    """

    ifindex: int
    flags: int
    l3_ifindex: int
    mac: bytes
    name: str = ""
    address: IPv4Address | None = None
    vlan: int = 0


@dataclass(frozen=True, slots=True)
class BackendRecord:
    """One of several inside endpoints that share an outside one, in proportion to `weight`."""

    address: IPv4Address
    port: int
    weight: int = 1


@dataclass(frozen=True, slots=True)
class StaticRecord:
    """Outside endpoints that always lead inside; protocol and both ports 0: 1:1.

    `ports` consecutive outside ports lead to as many inside ones. With `backends` (at most
    GW_BACKENDS_MAX) these stand for `inside` and `inside_port`. An identity mapping has the same
    on both sides; with `host` it is of an address of the gateway, whose kernel gets the packets.
    """

    protocol: int
    outside: IPv4Address
    outside_port: int
    inside: IPv4Address
    inside_port: int
    ports: int = 1
    backends: tuple[BackendRecord, ...] = ()
    host: bool = False


@dataclass(slots=True)
class SessionInfo:
    """One session as people talk about it; ports are ICMP identifiers for ICMP.

    Not frozen: there are a hundred thousand, and that takes several times as long to make.
    """

    index: int
    protocol: int
    state: str
    origin: str
    inside: tuple[IPv4Address, int]
    outside: tuple[IPv4Address, int]
    remote: tuple[IPv4Address, int]
    packets_out: int
    packets_in: int
    bytes_out: int
    bytes_in: int
    age: float
    expires_in: float
