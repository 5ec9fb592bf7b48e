# SPDX-License-Identifier: GPL-2.0-or-later
"""The one gate to the C library: -errno and its sentence become typed errors, structures values.

CFFI releases the interpreter's lock for the time of every call. Handles stay in here.
"""

import dataclasses
import errno
import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from ipaddress import IPv4Address, IPv6Address
from typing import Any, TypeVar, get_type_hints

from _gw_worker import ffi, lib

from ..errors import (
    AlreadyStartedError,
    BadCoreError,
    BadDeviceError,
    BadSegmentError,
    DeviceBusyError,
    MirrorTimeoutError,
    NoHugepagesError,
    NoRoomError,
    NoSuchDeviceError,
    NoSuchPortError,
    NotSupportedError,
    UsageError,
    WorkerError,
)
from ..model import Polling
from ..worker_values import (
    GraphNode,
    LcoreStatus,
    MemoryStatus,
    MirrorStatus,
    Place,
    PortStatus,
    SegmentStatus,
    Way,
    WayKind,
    WorkerOptions,
    WorkerPort,
    WorkerSegment,
)
from .gate_vxlan import mac_bytes, place, segment_options

T = TypeVar("T")
Meanings = Mapping[int, type[WorkerError]]

START: Meanings = {
    errno.EALREADY: AlreadyStartedError,
    errno.EINVAL: BadCoreError,
    errno.ENOMEM: NoHugepagesError,
}
ADD: Meanings = {
    errno.EBUSY: DeviceBusyError,
    errno.EEXIST: DeviceBusyError,
    errno.EINVAL: BadDeviceError,
    errno.ENODEV: NoSuchDeviceError,
    errno.ENOENT: NoSuchDeviceError,
    errno.ENOTSUP: NotSupportedError,
}
WAIT: Meanings = {errno.ETIME: MirrorTimeoutError}
SEGMENTS: Meanings = {errno.EINVAL: BadSegmentError, errno.ENOSPC: NoRoomError}

POLLING = {
    lib.GW_POLLING_ADAPTIVE: Polling.ADAPTIVE,
    lib.GW_POLLING_BUSY: Polling.BUSY,
    lib.GW_POLLING_INTERRUPT: Polling.INTERRUPT,
}
WAY_KINDS = {
    lib.GW_WAY_PUNT: WayKind.PUNT,
    lib.GW_WAY_DROP: WayKind.DROP,
    lib.GW_WAY_PORT: WayKind.PORT,
    lib.GW_WAY_BRIDGE: WayKind.BRIDGE,
}
NODES_MAX = 64
SEGMENTS_MAX = 1024
"""More than there can be."""


class Worker:
    """The running data path, one in the life of a process. Any thread may call."""

    def __init__(self, options: WorkerOptions) -> None:
        """EAL's main thread is the one that is here.

        NoHugepagesError, BadCoreError, AlreadyStartedError, or WorkerError.
        """
        given = ffi.new("struct gw_worker_options *", _options(options))
        handle = ffi.new("struct gw_worker **")
        _checked(lib.gw_worker_start(given, handle), "start", START)
        self._worker = handle[0]
        self._cores = len(options.cores)
        self._ports: dict[str, Any] = {}
        # A port that is read must not go meanwhile.
        self._lock = threading.Lock()

    def stop(self) -> None:
        """Ports, lcores, mirror, EAL. Whoever calls makes sure that nobody else does."""
        worker, self._worker, self._ports = self._worker, ffi.NULL, {}
        _checked(lib.gw_worker_stop(worker), "stop")

    def add_port(self, port: WorkerPort) -> PortStatus:
        """Another thread's calls are served meanwhile, as far as the library can."""
        if port.name in self._ports:
            raise DeviceBusyError(f"port {port.name}: the worker has it already")
        if port.lcore is not None and not 0 <= port.lcore < self._cores:
            raise UsageError(f"port {port.name}: lcore {port.lcore} of {self._cores}")
        given = ffi.new("struct gw_port_options *", _port_options(port))
        handle = ffi.new("struct gw_worker_port **")
        _checked(lib.gw_port_add(self._worker, given, handle), f"port {port.name}", ADD)
        with self._lock:
            self._ports[port.name] = handle[0]
            return self._read_port(port.name)

    def remove_port(self, name: str) -> None:
        with self._lock:
            port = self._ports.pop(name, None)
            if port is None:
                raise NoSuchPortError(f"the worker has no port {name}")
            _checked(lib.gw_port_remove(self._worker, port), f"port {name}")

    def ports(self) -> dict[str, PortStatus]:
        with self._lock:
            return {name: self._read_port(name) for name in self._ports}

    def _read_port(self, name: str) -> PortStatus:
        status = ffi.new("struct gw_port_status *")
        _checked(lib.gw_port_read(self._worker, self._ports[name], status), f"port {name}")
        return _value(PortStatus, status)

    def counters(self) -> dict[str, dict[str, int]]:
        """By port and by name, those that are 0 too."""
        names = counter_names()
        values = ffi.new("uint64_t[]", len(names))
        answer = {}
        with self._lock:
            for name, port in self._ports.items():
                result = lib.gw_port_counters(self._worker, port, values)
                _checked(result, f"counters of port {name}")
                answer[name] = dict(zip(names, values, strict=True))
        return answer

    def graph(self) -> tuple[GraphNode, ...]:
        nodes = ffi.new("struct gw_node_figures[]", NODES_MAX)
        count = _checked(lib.gw_graph_read(self._worker, nodes, NODES_MAX), "graph")
        names = [_text(node.name) for node in nodes[0:count]]
        return tuple(
            GraphNode(
                name=name,
                calls=node.calls,
                packets=node.packets,
                cycles=node.cycles,
                next=tuple(names[edge] for edge in node.edges[0 : node.edge_count]),
            )
            for name, node in zip(names, nodes[0:count], strict=True)
        )

    def memory(self) -> MemoryStatus:
        status = ffi.new("struct gw_memory_status *")
        _checked(lib.gw_memory_read(self._worker, status), "memory")
        return _value(MemoryStatus, status)

    def mirror(self) -> MirrorStatus:
        status = ffi.new("struct gw_mirror_status *")
        _checked(lib.gw_mirror_read(self._worker, status), "mirror")
        return _value(MirrorStatus, status)

    def explain(self, addresses: Iterable[IPv4Address | IPv6Address], flow: int) -> tuple[Way, ...]:
        """Where a packet to each would go; `flow` chooses among several next hops."""
        found = ffi.new("struct gw_way *")
        ways = []
        for address in addresses:
            packed = address.packed
            result = lib.gw_mirror_explain(self._worker, packed, len(packed), flow, found)
            _checked(result, str(address))
            ways.append(_way(found))
        return tuple(ways)

    def locate(self, bridge: int, macs: Iterable[str]) -> tuple[Place, ...]:
        """Where each station of the bridge (an ifindex) is. NoSuchDeviceError: it is not ours."""
        found = ffi.new("struct gw_place *")
        places = []
        for mac in macs:
            result = lib.gw_mirror_locate(self._worker, bridge, mac_bytes(mac), found)
            _checked(result, f"bridge {bridge}", {errno.ENODEV: NoSuchDeviceError})
            places.append(place(found))
        return tuple(places)

    def set_segments(self, segments: Sequence[WorkerSegment]) -> None:
        """All VXLAN segments. BadSegmentError, NoRoomError: those before stay."""
        addresses: list[bytes] = []
        options = [segment_options(segment, addresses) for segment in segments]
        given = ffi.new("struct gw_segment_options[]", options)
        listed = ffi.new("struct gw_worker_address[]", [{"bytes": one} for one in addresses])
        result = lib.gw_segments_set(self._worker, given, len(options), listed, len(addresses))
        _checked(result, "VXLAN segments", SEGMENTS)

    def segments(self) -> tuple[SegmentStatus, ...]:
        """In the order that they were given in."""
        found = ffi.new("struct gw_segment_status[]", SEGMENTS_MAX)
        count = _checked(lib.gw_segments_read(self._worker, found, SEGMENTS_MAX), "segments")
        return tuple(_value(SegmentStatus, one) for one in found[0:count])

    def lcores(self) -> tuple[LcoreStatus, ...]:
        status = ffi.new("struct gw_lcore_status *")
        answer = []
        for index in range(self._cores):
            _checked(lib.gw_lcore_read(self._worker, index, status), f"lcore {index}")
            answer.append(_value(LcoreStatus, status))
        return tuple(answer)

    def wait_for_mirror(self, milliseconds: int) -> None:
        """MirrorTimeoutError when the tables are still behind after so long."""
        _checked(lib.gw_mirror_wait(self._worker, milliseconds), "mirror", WAIT)


def minimum_bytes(options: WorkerOptions, ports: int) -> int:
    """Hugepage memory that these options need at least, with so many ports."""
    given = ffi.new("struct gw_worker_options *", _options(options))
    return int(lib.gw_worker_minimum(given, ports))


@cache
def counter_names() -> tuple[str, ...]:
    return tuple(_text(lib.gw_counter_name(i)) for i in range(lib.gw_counter_count()))


def _checked(result: int, what: str, meanings: Meanings | None = None) -> int:
    """What a call returned; its error, of this thread, as an exception."""
    if result >= 0:
        return result
    sentence = _text(lib.gw_worker_error()) or f"{what}: {os.strerror(-result)}"
    raise (meanings or {}).get(-result, WorkerError)(sentence)


def _options(options: WorkerOptions) -> dict[str, Any]:
    if len(options.cores) > lib.GW_WORKER_LCORES:
        raise BadCoreError(f"{len(options.cores)} cores; {lib.GW_WORKER_LCORES} are possible")
    for core in options.cores:
        if not 0 <= core <= 0xFFFF:
            raise BadCoreError(f"core {core} does not exist")
    fields = {
        field.name: getattr(options, field.name)
        for field in dataclasses.fields(options)
        if type(getattr(options, field.name)) is int
    }
    for name, number in fields.items():
        if not 0 <= number <= 0xFFFFFFFF:
            raise UsageError(f"{name}: {number} is no count")
    flags = options.no_huge * lib.GW_WORKER_NO_HUGE
    flags |= options.no_pci * lib.GW_WORKER_NO_PCI
    flags |= options.iova_pa * lib.GW_WORKER_IOVA_PA
    return fields | {"cores": options.cores, "core_count": len(options.cores), "flags": flags}


def _port_options(port: WorkerPort) -> dict[str, Any]:
    polling = next(number for number, value in POLLING.items() if value is port.polling)
    for name, number in (("rx", port.rx_descriptors), ("tx", port.tx_descriptors)):
        if not 0 <= number <= 0xFFFF:
            raise UsageError(f"port {port.name}: {number} {name} descriptors")
    return {
        "name": _bytes(port.name, lib.GW_WORKER_NAME, "name"),
        "tap": _bytes(port.tap, lib.GW_WORKER_NAME, "TAP"),
        "device": _bytes(port.device, lib.GW_WORKER_TEXT, "device"),
        "polling": polling,
        "lcore": lib.GW_ANY_LCORE if port.lcore is None else port.lcore,
        "rx_descriptors": port.rx_descriptors,
        "tx_descriptors": port.tx_descriptors,
    }


def _bytes(text: str, size: int, what: str) -> bytes:
    """For a field of `size` bytes that ends with a zero."""
    coded = text.encode()
    if not coded or b"\0" in coded or len(coded) >= size:
        raise UsageError(f"{what} {text[:60]!r}: want 1 to {size - 1} bytes")
    return coded


def _text(chars: Any) -> str:
    return str(ffi.string(chars).decode(errors="replace"))


def _mac(address: Any) -> str:
    return ":".join(f"{byte:02x}" for byte in address)


def _way(found: Any) -> Way:
    kind = WAY_KINDS[found.kind]
    sent = kind in (WayKind.PORT, WayKind.BRIDGE)
    return Way(
        kind=kind,
        reason="" if sent else counter_names()[found.reason],
        ifindex=found.ifindex,
        mtu=found.mtu,
        mac=_mac(found.header[0:6]) if sent else "",
        source=_mac(found.header[6:12]) if sent else "",
    )


def _value(kind: type[T], status: Any) -> T:
    """A dataclass from the structure that has fields of the same names."""
    values: dict[str, Any] = {}
    for name, hint in get_type_hints(kind).items():
        field = getattr(status, name)
        if name == "mac":
            values[name] = _mac(field)
        elif hint is Polling:
            values[name] = POLLING[field]
        else:
            values[name] = _text(field) if hint is str else hint(field)
    return kind(**values)
