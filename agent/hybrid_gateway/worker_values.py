# SPDX-License-Identifier: GPL-2.0-or-later
"""What the agent and the DPDK worker tell each other: values, and how they read from JSON.

The fields of the C library's structures under their own names, with booleans, enums and None where
C has numbers for them.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from .errors import UsageError
from .model import Polling

T = TypeVar("T")

ENDED = "ended"
"""The notification that a worker sends as its last line when it ends in good order, asked or not:
ports, memory and cores are free by then."""


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """What the whole process runs with, from `start` to its end; 0 stands for the default."""

    cores: tuple[int, ...]
    """The CPU of each data lcore."""
    memory_mb: int = 256
    """Of hugepages, at most."""
    mbufs: int = 0
    routes4: int = 0
    routes6: int = 0
    tbl8_6: int = 0
    """Groups of the last levels of the IPv6 table; by default a guess from routes6."""
    neighbours: int = 0
    """Of each family."""
    stations: int = 0
    tunnels: int = 0
    """VTEPs of all VXLAN segments together; 0: no VXLAN."""
    no_huge: bool = False
    """Plain memory instead of hugepages, for tests."""
    no_pci: bool = False
    iova_pa: bool = False
    """Devices are given physical addresses: uio_pci_generic, virtio behind a virtual IOMMU."""


@dataclass(frozen=True, slots=True)
class WorkerPort:
    """A port to be added."""

    name: str
    """In the configuration; unique among the worker's ports."""
    tap: str
    """An existing persistent TAP."""
    device: str
    """A PCI address, or a vdev string as EAL has it."""
    polling: Polling = Polling.ADAPTIVE
    lcore: int | None = None
    """Index into the worker's cores; None: the one with fewest ports."""
    rx_descriptors: int = 0
    tx_descriptors: int = 0


@dataclass(frozen=True, slots=True)
class WorkerSegment:
    """One VNI of one VXLAN device of the kernel in a bridge."""

    ifindex: int
    """Of the VXLAN device."""
    bridge: int
    """ifindex."""
    vni: int
    family: int
    """4 or 6: of `local` and of every VTEP."""
    port: int
    """UDP destination."""
    first_port: int
    last_port: int
    """UDP source ports."""
    mtu: int
    """Of the VXLAN device."""
    ttl: int
    tos: int = 0
    label: int = 0
    """IPv6 flow label."""
    link: int = 0
    """ifindex of the device that outer packets are bound to; 0: none."""
    local: str = ""
    """Empty: the source depends on the VTEP, and sending is the kernel's."""
    heard: str = ""
    """The TAP by which its bridge hears what the worker floods; empty: what is for groups is the
    kernel's to flood."""
    arrivals: tuple[str, ...] = ()
    """Addresses of ours at which it is taken."""
    sources: tuple[str, ...] = ()
    """With `listed`: who may send."""
    listed: bool = False
    any_source: bool = False
    fragment: bool = False
    learns: bool = False
    checksum: bool = False
    ttl_inherit: bool = False
    tos_inherit: bool = False
    df: bool = False
    df_inherit: bool = False


@dataclass(frozen=True, slots=True)
class SegmentStatus:
    """A segment as it is now."""

    ifindex: int
    vni: int
    vteps: int
    """That may send."""
    floods: int
    """VTEPs that get what is flooded."""
    stations: int
    """Behind VTEPs."""
    active: bool
    """The device is up, in its bridge, and a port of the worker's is in there, too."""
    problem: str
    """Empty, or why it is the kernel's."""
    floods_here: bool = False
    """What is for everybody or for a group is flooded by the worker."""
    flood_problem: str = ""
    """Empty, or why the kernel floods in spite of `WorkerSegment.heard`."""


@dataclass(frozen=True, slots=True)
class PortStatus:
    """A port as it is now; `problem` is empty or says what is wrong with it."""

    name: str
    tap: str
    driver: str
    """Of DPDK: net_af_packet, net_e1000_igb."""
    device: str
    problem: str
    mac: str
    mtu: int
    ifindex: int
    """Of the TAP."""
    speed: int
    """Mb/s; 0: not known."""
    link_up: bool
    admin_up: bool
    polling: Polling
    rx_interrupts: bool
    """Whether the driver has them."""
    sleeping: bool
    """Whether its lcore sleeps at the moment."""
    lcore: int
    """CPU."""
    rx_packets: int
    rx_bytes: int
    rx_missed: int
    rx_errors: int
    rx_no_buffer: int
    tx_packets: int
    tx_bytes: int
    tx_errors: int
    to_kernel: int
    from_kernel: int
    """Frames that went over the TAP."""


@dataclass(frozen=True, slots=True)
class MemoryStatus:
    hugepages_bytes: int
    heap_bytes: int
    heap_free_bytes: int
    mbufs: int
    mbufs_free: int
    minimum_bytes: int
    """What the options and ports need at least."""


@dataclass(frozen=True, slots=True)
class MirrorStatus:
    """What of the kernel's tables is in the worker's."""

    routes4: int
    routes6: int
    routes4_max: int
    routes6_max: int
    nexthops: int
    nexthops_max: int
    groups: int
    neighbours4: int
    neighbours6: int
    neighbours_max: int
    stations: int
    stations_max: int
    interfaces: int
    resyncs: int
    """Dumps after events were lost."""
    events: int
    synchronised: bool
    punting4: bool
    punting6: bool
    """The whole family is forwarded by the kernel; `problem` says why."""
    problem: str
    tunnels: int = 0
    tunnels_max: int = 0
    """VTEPs, counted once for each segment."""
    bindings: int = 0
    """Of MAC to IP addresses, in bridges: put there by a control plane."""


class WayKind(Enum):
    PUNT = "punt"
    DROP = "drop"
    PORT = "port"
    BRIDGE = "bridge"


@dataclass(frozen=True, slots=True)
class Way:
    """Where the worker would send a packet to an address."""

    kind: WayKind
    reason: str
    """Of PUNT and DROP: the counter's name; else empty."""
    ifindex: int
    """Of the device that it leaves by; 0: none of the worker's."""
    mtu: int
    mac: str
    """Of PORT and BRIDGE: the next hop's; else empty."""
    source: str
    """Likewise: the device's."""


@dataclass(frozen=True, slots=True)
class Ways:
    ways: tuple[Way, ...]


class PlaceKind(Enum):
    UNKNOWN = "unknown"
    """Not in the table: flooded, by the kernel perhaps."""
    KERNEL = "kernel"
    LOCAL = "local"
    """The bridge itself."""
    PORT = "port"
    TUNNEL = "tunnel"


@dataclass(frozen=True, slots=True)
class Place:
    """Where the worker's tables have a station of a bridge."""

    kind: PlaceKind
    ifindex: int = 0
    """Of the port, or of the VXLAN device."""
    ages: bool = False
    vtep: str = ""
    """Of TUNNEL, as the fields below."""
    vni: int = 0
    udp_port: int = 0
    may_send: bool = False
    by_kernel: bool = False
    """Sending there is the kernel's."""


@dataclass(frozen=True, slots=True)
class Places:
    places: tuple[Place, ...]


@dataclass(frozen=True, slots=True)
class LcoreStatus:
    cpu: int
    ports: int
    walks: int
    empty_walks: int
    sleeps: int
    busy_cycles: int
    idle_cycles: int
    hz: int


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """Before `start` there are no options, ports, lcores, and None for memory and mirror."""

    pid: int
    started: bool
    options: WorkerOptions | None = None
    """Those that `start` was given."""
    memory: MemoryStatus | None = None
    mirror: MirrorStatus | None = None
    ports: Mapping[str, PortStatus] = dataclasses.field(default_factory=dict)
    """By name."""
    lcores: tuple[LcoreStatus, ...] = ()
    segments: tuple[SegmentStatus, ...] = ()
    """In the order that they were given in."""


@dataclass(frozen=True, slots=True)
class WorkerCounters:
    """Frames by the port that they came in by, then by what became of them."""

    ports: Mapping[str, Mapping[str, int]]


@dataclass(frozen=True, slots=True)
class GraphNode:
    """A node of the packet graph, summed over lcores."""

    name: str
    calls: int
    packets: int
    cycles: int
    next: tuple[str, ...] = ()
    """Names of the nodes that it hands packets to."""


@dataclass(frozen=True, slots=True)
class WorkerGraph:
    nodes: tuple[GraphNode, ...]


def decoded(kind: type[T], data: object, where: str = "") -> T:
    """A dataclass of this module from what json.loads gave.

    UsageError names the field that is missing, not known, or of another type.
    """
    if not isinstance(data, dict):
        raise UsageError(f"{where or kind.__name__}: want an object")
    hints = get_type_hints(kind)
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    unknown = [name for name in data if name not in fields]
    missing = [
        name
        for name, field in fields.items()
        if name not in data
        and field.default is dataclasses.MISSING
        and field.default_factory is dataclasses.MISSING
    ]
    if unknown or missing:
        what = f"there is no {str(unknown[0])[:60]}" if unknown else f"{missing[0]} is missing"
        raise UsageError(f"{where or kind.__name__}: {what}")
    return kind(**{name: _value(hints[name], value, name) for name, value in data.items()})


def _value(hint: Any, value: object, where: str) -> Any:
    origin, inside = get_origin(hint), get_args(hint)
    if origin is UnionType:
        if value is None and NoneType in inside:
            return None
        return _value(next(one for one in inside if one is not NoneType), value, where)
    if origin is tuple and isinstance(value, list):
        return tuple(_value(inside[0], one, where) for one in value)
    if origin is Mapping and isinstance(value, dict):
        return {name: _value(inside[1], one, where) for name, one in value.items()}
    if dataclasses.is_dataclass(hint):
        return decoded(hint, value, where)  # type: ignore[arg-type]
    if isinstance(hint, type) and issubclass(hint, Enum):
        try:
            return hint(value)
        except ValueError:
            words = ", ".join(str(one.value) for one in hint)
            raise UsageError(f"{where}: {value!r} is none of {words}") from None
    if type(value) is not hint:
        raise UsageError(f"{where}: must be of type {getattr(hint, '__name__', 'list')}")
    return value
