# SPDX-License-Identifier: GPL-2.0-or-later
"""Which data path forwards for a VXLAN segment, and if none does all of it, why not. Pure."""

from collections.abc import Mapping

from ..model import Segment, Wanted
from ..resolve_worker import beyond
from ..worker_client import WorkerStatus
from ..worker_values import SegmentStatus

XDP, WORKER, BOTH, PARTLY, KERNEL = "xdp", "worker", "both", "partly", "kernel"
WHOLLY = frozenset({XDP, WORKER, BOTH})
Judgement = tuple[str, str | None]
OfWorker = Mapping[tuple[int, int], SegmentStatus]
"""By ifindex and VNI."""


def of_worker(status: WorkerStatus | None) -> OfWorker:
    """What the worker says of its segments."""
    segments = status.segments if status else ()
    return {(segment.ifindex, segment.vni): segment for segment in segments}


def judge(segment: Segment, wanted: Wanted, has: OfWorker | None = None) -> Judgement:
    """Who forwards for a segment, and what keeps the others, or all, from it."""
    taps = any(device.worker for device in wanted.devices)
    by_xdp = _by_xdp(segment, wanted)
    if not taps:
        return by_xdp
    by_worker = _by_worker(segment, wanted, has or {})
    if not any(device.port for device in wanted.devices):
        return by_worker
    whole = [one for one in (by_xdp, by_worker) if one[0] in WHOLLY]
    if len(whole) == 2:
        return BOTH, None
    if whole:
        return whole[0]
    # Whoever does a part of it knows better what is missing.
    return by_worker if by_worker[0] == PARTLY else by_xdp


def _by_xdp(segment: Segment, wanted: Wanted) -> Judgement:
    ports = [device for device in wanted.devices if device.port]
    if not any(device.underlay for device in ports):
        return KERNEL, "every port of the configuration is a bridge's: there is no underlay"
    if not any(d.bridged and d.l3_ifindex == segment.bridge for d in ports):
        return PARTLY, f"XDP bridges by no port of {segment.bridge_name}"
    return _addressed(segment) or (XDP, None)


def _by_worker(segment: Segment, wanted: Wanted, has: OfWorker) -> Judgement:
    ports = [device for device in wanted.devices if device.worker]
    if why := beyond(segment):
        return KERNEL, f"a segment {why} is not the worker's"
    if not any(device.underlay for device in ports):
        return KERNEL, "every port of the worker is a bridge's: there is no underlay"
    found = has.get((segment.ifindex, segment.vni))
    if found is None:
        return KERNEL, "the worker does not have it at the moment"
    if found.problem:
        return (PARTLY if found.active else KERNEL), found.problem
    if not any(device.l3_ifindex == segment.bridge for device in ports):
        return KERNEL, f"no port of {segment.bridge_name} is the worker's"
    if not found.active:
        return KERNEL, "the worker has not found its devices"
    return _addressed(segment) or (WORKER, None)


def _addressed(segment: Segment) -> Judgement | None:
    if not segment.arrives:
        where = segment.local or f"IPv{segment.family}"
        return PARTLY, f"this host has no address {where}: nothing arrives"
    if segment.local is None:
        return PARTLY, "it has no local address: sending is the kernel's"
    return None


def floods(segment: Segment, has: OfWorker | None = None) -> Judgement:
    """Who floods what is for everybody, for groups and for unknown stations; and what keeps the
    worker from it, if it forwards there."""
    found = (has or {}).get((segment.ifindex, segment.vni))
    if found is None or found.problem or not found.active:
        return KERNEL, None
    if found.floods_here:
        return WORKER, None
    return KERNEL, found.flood_problem or f"there is no TAP by which {segment.bridge_name} hears"
