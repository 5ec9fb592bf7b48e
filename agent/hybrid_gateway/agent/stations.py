# SPDX-License-Identifier: GPL-2.0-or-later
"""Stations of the bridges and VTEPs as the agent tells of them: a page at a time, stable keys."""

import errno
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..bpf.stations import FdbMirror, StationFilter, StationInfo
from ..errors import KernelError, UsageError
from ..model import Link, Segment
from . import filters, worker_views
from .engine import Engine
from .forwarders import KERNEL, WORKER, XDP, of_worker
from .listing import address_text

Filter = Mapping[str, Any]


def fdb(engine: Engine, cursor: int | str, limit: int, given: Filter) -> dict[str, Any]:
    wanted = _wanted(engine, given)
    if not isinstance(cursor, int):
        raise UsageError("cursor: must be one that an answer gave")
    known = engine.mirror.fdb
    if known is None:
        return {"fdb": [], "next": None}
    found, following = known.stations(wanted, cursor, limit)
    names = {link.ifindex: link.name for link in engine.links}
    planes = _Planes.of(engine)
    return {"fdb": [_station(info, names, planes) for info in found], "next": following}


@dataclass(frozen=True, slots=True)
class _Planes:
    """Who sends to a station."""

    taps: frozenset[int]
    """Bridge ports of the worker's."""
    segments: frozenset[tuple[int, int]]
    """Device and VNI of those that the worker forwards for."""
    xdp: bool
    """XDP has a port at all; without, what is in its tables nobody asks."""

    @classmethod
    def of(cls, engine: Engine) -> "_Planes":
        devices = engine.wanted.devices
        taps = frozenset(d.ifindex for d in devices if d.worker and not d.underlay)
        xdp = any(device.port for device in devices)
        if not taps:
            return cls(taps, frozenset(), xdp)
        has = of_worker(worker_views.current(engine))
        active = frozenset(key for key, one in has.items() if one.active and not one.problem)
        return cls(taps, active, xdp)

    def plane(self, info: StationInfo) -> str:
        """ "xdp", "worker" or "kernel"; where both could, XDP, whose table it is."""
        if info.xdp and self.xdp:
            return XDP
        if info.port in self.taps or (info.vtep and (info.port, info.vni) in self.segments):
            return WORKER
        return KERNEL


def fdb_count(engine: Engine, given: Filter) -> dict[str, Any]:
    wanted, known = _wanted(engine, given), engine.mirror.fdb
    return {"count": known.count(wanted) if known else 0}


def _wanted(engine: Engine, given: Filter) -> StationFilter:
    """UsageError for a device that there is not: the answer "none" would hide a slip of the pen."""
    asked = filters.fdb_filter(given)
    by_name = {link.name: link for link in engine.links}
    for key in ("bridge", "port"):
        if key in asked:
            asked[key] = _device(by_name, key, asked[key]).ifindex
    return StationFilter(**asked)


def _device(links: Mapping[str, Link], key: str, name: str) -> Link:
    link = links.get(name)
    if link is None:
        raise UsageError(f"{key}: there is no network device {name[:40]}", code="filter")
    if key == "bridge" and link.kind != "bridge":
        raise UsageError(f"{key}: {name} is not a bridge", code="filter")
    return link


def _station(info: StationInfo, names: Mapping[int, str], planes: _Planes) -> dict[str, Any]:
    """Built by hand, like a session. Times in seconds ago; null: never, or not applicable."""
    return {
        "bridge": _name(names, info.bridge),
        "vlan": info.vlan or None,
        "mac": info.mac.hex(":"),
        "port": _name(names, info.port),
        "vtep": address_text(info.vtep) if info.vtep else None,
        "vni": info.vni,
        "state": info.state,
        "seen": None if info.seen is None else round(info.seen, 1),
        "used": None if info.used is None else round(info.used, 1),
        "xdp": info.xdp,
        "plane": planes.plane(info),
        "addresses": [address_text(address) for address in info.addresses],
        "more_addresses": info.more_addresses,
    }


def _name(names: Mapping[int, str], ifindex: int) -> str:
    """A device that came or went a moment ago has its number only."""
    return names.get(ifindex) or f"#{ifindex}"


def vteps(engine: Engine, cursor: int | str, limit: int, given: Filter) -> dict[str, Any]:
    """Of all segments, or of those of one device or VNI."""
    wanted = filters.segment_filter(given)
    if not isinstance(cursor, int):
        raise UsageError("cursor: must be one that an answer gave")
    known = engine.mirror.fdb
    found: list[dict[str, Any]] = []
    for segment in engine.wanted.segments if known else ():
        if known and wanted in (None, segment.name, str(segment.vni)):
            found += _vteps(known, segment)
    following = cursor + limit if cursor + limit < len(found) else None
    return {"vteps": found[cursor : cursor + limit], "next": following}


def _vteps(known: FdbMirror, segment: Segment) -> list[dict[str, Any]]:
    try:
        found = known.vteps(segment)
    except KernelError as error:
        if error.errno != errno.ENOENT:
            raise
        return []  # what is wanted could not be put in force
    return [
        {
            "device": segment.name,
            "vni": segment.vni,
            "address": str(info.address),
            "macs": info.macs,
            "why": list(info.why),
            "allowed": info.allowed,
            "xdp": info.xdp,
        }
        for info in found
    ]
