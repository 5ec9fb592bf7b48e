# SPDX-License-Identifier: GPL-2.0-or-later
"""VXLAN segments as the agent tells of them: who forwards for each, and if only the kernel, why."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..bpf.stations import STATIONS_MAX, SegmentCount, StationFilter
from ..errors import UsageError
from ..model import Config, Link, Segment, Sources, VxlanLink, Wanted
from ..segment_tables import OVERHEAD
from ..worker_client import WorkerStatus
from . import filters, worker_views
from .engine import Engine
from .forwarders import BOTH, KERNEL, WHOLLY, WORKER, XDP, OfWorker, floods, judge, of_worker
from .stations import Filter

NOT_CONFIGURED = "it is not in the vxlan section of the configuration"


@dataclass(frozen=True, slots=True)
class Shown:
    """One line of the listing: a segment, or a VXLAN device that is none (yet)."""

    name: str
    vni: int | None
    segment: Segment | None = None
    link: Link | None = None
    forwards: str = KERNEL
    reason: str | None = None
    flooded_by: str | None = None
    flooded_reason: str | None = None


def every(
    config: Config | None, wanted: Wanted, links: Sequence[Link], has: OfWorker | None = None
) -> list[Shown]:
    """Segments, VXLAN devices that are none, and ones that are missing; by name. `has`: what the
    worker says of its own."""
    by_index = {link.ifindex: link for link in links}
    found = [
        Shown(
            segment.name,
            segment.vni,
            segment,
            by_index.get(segment.ifindex),
            *judge(segment, wanted, has),
            *floods(segment, has),
        )
        for segment in wanted.segments
    ]
    taken = {segment.ifindex for segment in wanted.segments}
    entries = {entry.device for entry in config.vxlan} if config else set()
    for link in links:
        if link.vxlan and link.ifindex not in taken:
            vni = None if link.vxlan.external else link.vxlan.vni
            reason = _obstacle(link.name, wanted) if link.name in entries else NOT_CONFIGURED
            found.append(Shown(link.name, vni, link=link, reason=reason))
    for name in entries - {link.name for link in links}:
        found.append(Shown(name, None, reason="there is no such device at the moment"))
    return sorted(found, key=lambda shown: (shown.name, shown.vni or 0))


def _obstacle(name: str, wanted: Wanted) -> str:
    """What keeps a device from being a segment is a warning that begins with its name."""
    for warning in wanted.warnings:
        if warning.startswith(f"{name}: "):
            return warning.removeprefix(f"{name}: ")
        if warning.startswith(f"{name} "):
            return f"it {warning.removeprefix(f'{name} ')}"
    return "no data path has a part in it at the moment: gwctl status may say why"


def underlay_mtu(wanted: Wanted, links: Sequence[Link]) -> int | None:
    """The smallest of those ports by which VXLAN may leave; None: there is none."""
    ports = {device.ifindex for device in wanted.devices if device.underlay}
    return min((link.mtu for link in links if link.ifindex in ports), default=None)


def segments(engine: Engine, cursor: int | str, limit: int, given: Filter) -> dict[str, Any]:
    """UsageError when a device or VNI was asked for that is not there."""
    wanted = filters.segment_filter(given)
    if not isinstance(cursor, int):
        raise UsageError("cursor: must be one that an answer gave")
    has = of_worker(worker_views.current(engine))
    found = every(engine.config, engine.wanted, engine.links, has)
    if wanted is not None:
        found = [shown for shown in found if wanted in (shown.name, str(shown.vni))]
        if not found:
            raise UsageError(f"there is no VXLAN device or VNI {wanted[:40]}", code="filter")
    context = Context.of(engine)
    page = [entry(shown, context) for shown in found[cursor : cursor + limit]]
    following = cursor + limit if cursor + limit < len(found) else None
    return {"segments": page, "next": following}


@dataclass(frozen=True, slots=True)
class Context:
    """What all entries of one answer need, looked up once."""

    bridges: Mapping[int, str]
    counts: Mapping[tuple[int, int], SegmentCount]
    underlay_mtu: int | None

    @classmethod
    def of(cls, engine: Engine) -> "Context":
        known = engine.mirror.fdb
        counts = known.segments() if known else []
        return cls(
            {link.ifindex: link.name for link in engine.links if link.kind == "bridge"},
            {(count.ifindex, count.vni): count for count in counts},
            underlay_mtu(engine.wanted, engine.links),
        )


def entry(shown: Shown, context: Context) -> dict[str, Any]:
    """JSON-able, with stable key names; null for what is not known or does not apply."""
    segment, link = shown.segment, shown.link
    vxlan = link.vxlan if link else None
    family = segment.family if segment else vxlan.family if vxlan else 4
    mtu = segment.encapsulation.mtu if segment else link.mtu if link else None
    bridge = segment.bridge_name if segment else context.bridges.get(link.master if link else 0)
    return {
        "device": shown.name,
        "vni": shown.vni,
        "bridge": bridge,
        "vlan": (segment.vlan or None) if segment else None,
        "family": family,
        "local": _local(segment, vxlan),
        "port": segment.port if segment else vxlan.port if vxlan else None,
        "external": bool(vxlan and vxlan.external),
        "sources": _sources(segment) if segment else None,
        "fragment": segment.encapsulation.fragment if segment else None,
        "mtu": mtu,
        "outer_mtu": mtu + OVERHEAD[family] if mtu else None,
        "underlay_mtu": context.underlay_mtu if segment else None,
        **_counts(context.counts.get((segment.ifindex, segment.vni)) if segment else None),
        "forwards": shown.forwards,
        "reason": shown.reason,
        "flooded_by": shown.flooded_by,
        "flooded_reason": shown.flooded_reason,
    }


def _local(segment: Segment | None, vxlan: VxlanLink | None) -> list[str]:
    """Where it is taken; of a device that is no segment what it was given."""
    if segment:
        return [str(address) for address in segment.arrives]
    return [str(vxlan.local)] if vxlan and vxlan.local else []


def _sources(segment: Segment) -> str | list[str]:
    listed = [str(address) for address in segment.listed]
    return listed if segment.sources is Sources.LISTED else str(segment.sources.value)


def _counts(count: SegmentCount | None) -> dict[str, int | None]:
    """Of a device that is no segment nothing is mirrored."""
    return {
        "vteps": count.vteps if count else None,
        "floods": count.floods if count else None,
        "macs_local": count.local if count else None,
        "macs_remote": count.remote if count else None,
        "macs_kernel": count.kernel if count else None,
    }


def summary(engine: Engine, worker: WorkerStatus | None = None) -> dict[str, Any] | None:
    """For `status`; None: there is no VXLAN in the configuration."""
    if not (engine.config and engine.config.vxlan):
        return None
    found = every(engine.config, engine.wanted, engine.links, of_worker(worker))
    mine = [shown for shown in found if shown.segment]
    known = engine.mirror.fdb
    counts = known.segments() if known else []
    return {
        "segments": len(mine),
        "by_xdp": sum(shown.forwards in (XDP, BOTH) for shown in mine),
        "by_worker": sum(shown.forwards in (WORKER, BOTH) for shown in mine),
        "forwarded": sum(shown.forwards in WHOLLY for shown in mine),
        "stations": known.count(StationFilter()) if known else 0,
        "stations_limit": STATIONS_MAX,
        "vteps": sum(count.vteps for count in counts),
    }
