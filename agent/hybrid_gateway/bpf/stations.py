# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel's bridge and VXLAN FDBs in XDP's tables: a mirror in C, for there may be 100 000.

What the kernel says comes by a netlink socket of the mirror's own, and goes to the maps without
passing through Python. What is here configures it, has it read, and lists what it knows.
"""

import socket
import time
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from _gw_native import ffi, lib

from .. import abi
from ..errors import KernelError, UsageError
from ..model import Df, Encapsulation, IPAddress, MirrorPort, Segment, Sources
from ..model import Stations as Wanted
from .station_records import (
    ANY_VNI,
    STATES,
    WHY,
    Events,
    Round,
    SegmentCount,
    StationFilter,
    StationInfo,
    VtepInfo,
)

BUDGET = 4096
"""Messages that one read takes: some milliseconds, so that everything else has its turn."""
SLICE = 8192
"""Entries that one call of a round looks at."""
STATIONS_MAX: int = lib.GW_FDB_MAX
"""That XDP has room for."""
CURSOR_END = 1 << 32

__all__ = [
    "STATES",
    "Events",
    "FdbMirror",
    "Round",
    "SegmentCount",
    "StationFilter",
    "StationInfo",
    "VtepInfo",
]


def _address(family: int, value: Any) -> IPAddress | None:
    packed = bytes(value.bytes)
    if family == 4:
        return IPv4Address(packed[:4])
    return IPv6Address(packed) if family == 6 else None


def vtep_address(address: IPAddress) -> Any:
    """As struct gw_vtep_address has it, for an initializer."""
    return {"bytes": list(address.packed.ljust(16, b"\0"))}


def _check(what: str, result: int) -> int:
    if result < 0:
        raise KernelError(f"mirroring the FDB: {what}", result, code="bpf.mirror")
    return result


class FdbMirror:
    """Lives in the namespace that it was made in; not thread-safe."""

    def __init__(self, fdb: int, tunnels: int, vteps: int, floods: int) -> None:
        """Descriptors of the maps, which may be closed afterwards."""
        error = ffi.new("int *")
        self._mirror = lib.gw_mirror_open(fdb, tunnels, vteps, floods, error)
        if self._mirror == ffi.NULL:
            raise KernelError("mirroring the FDB", error[0], code="bpf.mirror")
        self._events = ffi.new("struct gw_mirror_events *")
        self._round = ffi.new("struct gw_mirror_round *")
        self._segments = 0
        self.fileno: int = lib.gw_mirror_fd(self._mirror)
        """Readable while there is something to read."""

    def close(self) -> None:
        """What is in the maps stays there."""
        if self._mirror != ffi.NULL:
            lib.gw_mirror_close(self._mirror)
            self._mirror = ffi.NULL

    def configure(self, wanted: Wanted) -> None:
        """Mirrors these ports and segments from now on, and begins with a dump.

        What is none of them any more is out of the maps on return; `read` does the rest.
        """
        sources = [source for segment in wanted.segments for source in _listed(segment)]
        ports = ffi.new("struct gw_mirror_port[]", [_port(port) for port in wanted.ports])
        segments = ffi.new("struct gw_mirror_segment[]", len(wanted.segments))
        first = 0
        for into, segment in zip(segments, wanted.segments, strict=True):
            _fill(into, segment, first)
            first += into.sources
        addresses = ffi.new("struct gw_vtep_address[]", [vtep_address(s) for s in sources])
        _check(
            "configuring",
            lib.gw_mirror_configure(
                self._mirror, ports, len(ports), segments, len(segments), addresses, len(sources)
            ),
        )
        self._segments = len(segments)

    def watch(self, ifindexes: Iterable[int]) -> None:
        """Devices whose neighbours count in `Events.forgotten`."""
        devices = ffi.new("__u32[]", sorted(ifindexes))
        _check("watching", lib.gw_mirror_watch(self._mirror, devices, len(devices)))

    def read(self, budget: int = BUDGET) -> Events:
        """Reads about that many messages of those that wait, and goes on with a dump."""
        _check("reading", lib.gw_mirror_read(self._mirror, budget, self._events))
        found = self._events
        return Events(
            messages=found.messages,
            changes=found.changes,
            lost=found.lost,
            dumps=found.dumps,
            forgotten=found.forgotten,
            more=bool(found.more),
            syncing=bool(found.syncing),
            stations=found.stations,
            refused=found.refused,
            failed=found.failed,
            error=found.error,
            serial=found.serial,
        )

    def settle(self, seconds: float) -> Events:
        """Reads until a running dump is over, but not much longer than that."""
        end = time.monotonic() + seconds
        events = self.read()
        while events.syncing and time.monotonic() < end:
            events = self.read()
        return events

    def resync(self) -> None:
        """Starts a dump: what the kernel says it has counts, whatever came by before."""
        _check("dumping", lib.gw_mirror_resync(self._mirror))

    def refresh(self, since: float) -> Round | None:
        """A part of a walk through the stations; None: call again for the rest.

        The kernel is told of those that XDP heard, and that neighbours are in use which XDP's NAT
        sent to after `since` (CLOCK_MONOTONIC, s).
        """
        at = self._round
        at.now, at.since, at.limit = int(_now()), max(0, int(since)), SLICE
        if _check("refreshing", lib.gw_mirror_refresh(self._mirror, at)):
            return None
        done = Round(at.used, at.refreshed, at.probed)
        ffi.memmove(at, bytes(ffi.sizeof(at[0])), ffi.sizeof(at[0]))
        return done

    # ---- what is known ----------------------------------------------------------------

    def stations(
        self, wanted: StationFilter, cursor: int, limit: int
    ) -> tuple[list[StationInfo], int | None]:
        """At most `limit` that match, from `cursor` (0 first) on, and the next cursor or None.

        Stations that come and go meanwhile may be left out. UsageError for what is no cursor.
        """
        if not 0 <= cursor < CURSOR_END:
            raise UsageError("cursor: must be one that an answer gave")
        rows = ffi.new("struct gw_mirror_row[]", limit)
        at = ffi.new("__u32 *", cursor)
        found = _check("listing", lib.gw_mirror_list(self._mirror, _match(wanted), at, rows, limit))
        now = _now()
        return [_station(rows[i], now) for i in range(found)], at[0] or None

    def count(self, wanted: StationFilter) -> int:
        at = ffi.new("__u32 *")
        match = _match(wanted)
        return _check("counting", lib.gw_mirror_list(self._mirror, match, at, ffi.NULL, 0))

    def segments(self) -> list[SegmentCount]:
        """As they were configured."""
        counts = ffi.new("struct gw_mirror_count[]", self._segments)
        found = _check("counting", lib.gw_mirror_counts(self._mirror, counts, self._segments))
        return [
            SegmentCount(
                ifindex=count.ifindex,
                vni=count.vni,
                local=count.local,
                remote=count.remote,
                kernel=count.kernel,
                vteps=count.vteps,
                floods=count.floods,
                serial=count.serial,
            )
            for count in counts[0:found]
        ]

    def vteps(self, segment: Segment) -> list[VtepInfo]:
        """Of one segment, in order; those that may not send too."""
        room = 64
        while True:
            found = ffi.new("struct gw_mirror_vtep[]", room)
            count = lib.gw_mirror_vteps(self._mirror, segment.ifindex, segment.vni, found, room)
            if _check("listing VTEPs", count) <= room:
                break
            room = count
        infos = [_vtep(vtep, segment.family) for vtep in found[0:count]]
        return sorted(infos, key=lambda info: info.address.packed)

    def allowed(self, segment: Segment) -> list[IPAddress]:
        """Who may send to the segment; with Sources.ANY, who is known besides."""
        return [vtep.address for vtep in self.vteps(segment) if vtep.allowed]


def _now() -> float:
    return time.clock_gettime(time.CLOCK_MONOTONIC)


def _port(port: MirrorPort) -> dict[str, int]:
    flags = port.xdp * lib.GW_MIRROR_XDP | port.tunnel * lib.GW_MIRROR_TUNNEL
    flags |= port.filtering * lib.GW_MIRROR_VLANS
    return {"ifindex": port.ifindex, "bridge": port.bridge, "flags": flags, "ageing": port.ageing}


def _listed(segment: Segment) -> Sequence[IPAddress]:
    return segment.listed if segment.sources is Sources.LISTED else ()


def _fill(into: Any, segment: Segment, first_source: int) -> None:
    listed = segment.sources is Sources.LISTED
    into.ifindex, into.bridge, into.vni = segment.ifindex, segment.bridge, segment.vni
    into.link, into.ageing = segment.link, segment.ageing
    into.first_source, into.sources = first_source, len(_listed(segment))
    into.vlan, into.port = segment.vlan, socket.htons(segment.port)
    into.family = segment.family
    into.flags = segment.external * lib.GW_MIRROR_EXTERNAL | listed * lib.GW_MIRROR_LISTED
    if segment.local is not None:
        _fill_outer(into.outer, segment, segment.local, segment.encapsulation)


def _fill_outer(into: Any, segment: Segment, local: IPAddress, how: Encapsulation) -> None:
    into.ifindex, into.vni = segment.ifindex, segment.vni
    into.flags = (
        (segment.family == 6) * lib.GW_TUNNEL_IPV6
        | (how.df is Df.SET) * lib.GW_TUNNEL_DF
        | (how.df is Df.INHERIT) * lib.GW_TUNNEL_DF_INHERIT
        | how.tos_inherit * lib.GW_TUNNEL_TOS_INHERIT
        | how.ttl_inherit * lib.GW_TUNNEL_TTL_INHERIT
        | how.checksum * lib.GW_TUNNEL_CHECKSUM
        | how.fragment * lib.GW_TUNNEL_FRAGMENT
    )
    into.local = vtep_address(local)
    into.label = socket.htonl(how.label)
    into.port = socket.htons(segment.port)
    into.port_low, into.port_high = how.ports.low, how.ports.high
    into.mtu, into.ttl, into.tos = how.mtu, how.ttl, how.tos


def _match(wanted: StationFilter) -> Any:
    states = {name: number for number, name in STATES.items()}
    match = abi.new(
        "gw_mirror_match",
        bridge=wanted.bridge,
        port=wanted.port,
        vni=wanted.vni,
        vlan=wanted.vlan,
        state=states.get(wanted.state, 0),
        mac_bytes=len(wanted.mac),
        mac=list(wanted.mac),
    )
    if wanted.vtep is not None:
        match.family, match.vtep = wanted.vtep.version, vtep_address(wanted.vtep)
    return match


def _station(row: Any, now: float) -> StationInfo:
    shown = min(row.neighbours, lib.GW_MIRROR_ADDRESSES)
    addresses = (_address(found.family, found) for found in row.addresses[0:shown])
    return StationInfo(
        bridge=row.bridge,
        vlan=row.vlan,
        mac=bytes(row.mac),
        port=row.port,
        vni=row.vni if row.vni != ANY_VNI else None,
        vtep=_address(row.family, row.vtep),
        state=STATES[row.state],
        seen=max(0.0, now - row.seen) if row.seen else None,
        used=max(0.0, now - row.used) if row.used else None,
        xdp=bool(row.xdp),
        addresses=tuple(address for address in addresses if address is not None),
        more_addresses=row.neighbours - shown,
    )


def _vtep(vtep: Any, family: int) -> VtepInfo:
    address = _address(family, vtep.address)
    assert address is not None
    return VtepInfo(
        address=address,
        macs=vtep.macs,
        why=tuple(name for bit, name in WHY.items() if vtep.why & bit),
        xdp=bool(vtep.tunnel),
        allowed=bool(vtep.allowed),
    )
