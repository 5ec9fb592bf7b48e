# SPDX-License-Identifier: GPL-2.0-or-later
"""What the DPDK worker should be, by the configuration and what is there. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from .errors import Problem
from .model import (
    IP_FORWARD,
    Config,
    Link,
    Observed,
    ObservedWorker,
    Plane,
    Polling,
    Port,
    PortSetup,
    Segment,
    TakenPort,
    WantedWorker,
    WorkerSetup,
    WorkerState,
    heard_name,
)

NOT_RUNNING = {
    WorkerState.ABSENT: "the worker does not run",
    WorkerState.GIVEN_BACK: "the worker was given up",
}


FRAMES_BY_DEFAULT = 16384
FRAMES_OF_CORE = 1152
"""In its cache, and on their way."""
FRAMES_OF_PIECES = 1536
"""Likewise: pieces of outer packets that wait for others, where there is VXLAN."""
FRAMES_OF_KERNEL = 128
RING, XDP_RING = 512, 2048
"""Of a device: one to receive, and one for each core to send; AF_XDP has one of each."""
KERNEL_RINGS = 1536
"""Of each port, to the kernel and from it."""
TUNNELS, STATIONS = 8192, 65536
"""Room for VXLAN: 64 VNIs with 64 VTEPs each and as many again, and their stations."""
SEGMENTS_MAX = 255
"""That the worker has room for."""


def core_problems(config: Config, observed: ObservedWorker) -> list[Problem]:
    """CPUs that the worker cannot have."""
    worker = config.worker
    if worker is None or not observed.online:
        return []
    there = ", ".join(map(str, observed.online))
    return [
        Problem(
            config.path,
            worker.line,
            "worker.cores",
            f"CPU {core} is not online; {there} {'are' if len(observed.online) > 1 else 'is'}",
            "config.no-core",
        )
        for core in worker.cores
        if core not in observed.online
    ]


def worker_of(
    config: Config,
    observed: ObservedWorker,
    segments: Sequence[Segment] = (),
    links: Sequence[Link] = (),
) -> WantedWorker | None:
    """None as well when the kernel is to have all of its devices for now: see `warnings_of`."""
    worker = config.worker
    if worker is None or observed.state in NOT_RUNNING:
        return None
    ports = config.ports_of(Plane.DPDK)
    left_out = observed.missing | {name for name, _ in observed.shunned}
    before = observed.setup
    own = tuple(
        _setup(port, port.polling or worker.polling) for port in ports if port.name not in left_out
    )
    return WantedWorker(
        WorkerSetup(
            worker.cores or observed.online[-1:] or (0,),
            worker.hugepages,
            worker.routes,
            # Whoever has it keeps it: to lose it is no reason to start anew.
            pci=any(_on_pci(port) for port in ports) or bool(before and before.pci),
            physical=any(port.name in observed.physical for port in ports)
            or bool(before and before.physical),
            frames=max(
                _frames(ports, len(worker.cores) or 1, vxlan=bool(config.vxlan)),
                before.frames if before else 0,
            ),
            tunnels=max(bool(config.vxlan) * TUNNELS, before.tunnels if before else 0),
            stations=max(bool(config.vxlan) * STATIONS, before.stations if before else 0),
        ),
        own,
        observed.segments or ()
        if observed.segments_refused
        else _given(segments, observed, _bridged(own, observed.taken, links)),
    )


def _bridged(
    ports: Sequence[PortSetup], taken: Sequence[TakenPort], links: Sequence[Link]
) -> frozenset[int]:
    """Bridges of which one of these is a port, itself or the TAP in its place."""
    names = {one.port.device or one.port.iface or one.name for one in ports}
    names |= {one.tap for one in taken if any(port.name == one.name for port in ports)}
    return frozenset(link.master for link in links if link.name in names)


def _given(
    segments: Sequence[Segment], observed: ObservedWorker, bridges: frozenset[int]
) -> tuple[Segment, ...]:
    """What the worker is given: with a TAP, where it has a port beside the segment."""
    refused = {name for name, _ in observed.unheard}
    heard = {bridge: heard_name(bridge) for bridge in bridges}
    return tuple(
        replace(segment, heard=name)
        if (name := heard.get(segment.bridge, "")) and name not in refused
        else segment
        for segment in segments
        if not beyond(segment)
    )[:SEGMENTS_MAX]


def beyond(segment: Segment) -> str:
    """What the worker does not do, and leaves to the kernel; empty: it does all of it."""
    if segment.external:
        return "of a single VXLAN device"
    return "in a VLAN of its bridge" if segment.vlan else ""


def _frames(ports: Sequence[Port], cores: int, *, vxlan: bool) -> int:
    """All that the ports may hold at once, as the worker counts it; 0 when its default will do."""
    rings = sum(
        2 * XDP_RING if (port.vdev or "").startswith("net_af_xdp") else (1 + cores) * RING
        for port in ports
    )
    of_core = FRAMES_OF_CORE + vxlan * FRAMES_OF_PIECES
    needed = cores * of_core + FRAMES_OF_KERNEL + rings + len(ports) * KERNEL_RINGS
    return needed if needed > FRAMES_BY_DEFAULT else 0


def _on_pci(port: Port) -> bool:
    return bool(port.device or port.pci)


def _setup(port: Port, polling: Polling) -> PortSetup:
    # Without its line: a port that has moved in the file is the same port.
    return PortSetup(
        port.name, Port(port.name, port.device, port.plane, 0, port.pci, port.vdev), polling
    )


def warnings_of(
    config: Config, observed: Observed, segments: Sequence[Segment] = ()
) -> Iterator[str]:
    """What the owner should know: who has the ports, and what is not there."""
    worker = observed.worker
    ports = config.ports_of(Plane.DPDK)
    if not ports:
        return
    names = ", ".join(port.name for port in ports)
    because = f": {worker.reason}" if worker.reason else ""
    if worker.state in NOT_RUNNING:
        yield f"{NOT_RUNNING[worker.state]}{because}; the kernel has its ports ({names})"
        return
    if worker.state is WorkerState.STARTING:
        yield f"the worker is waited for{because}; nothing moves on its ports ({names})"
        return
    for port in ports:
        if port.name in worker.missing:
            yield f"port {port.name}: {port.where} does not exist at the moment"
    for name, reason in worker.shunned:
        yield f"port {name}: the kernel has it: {reason}"
    forward = next((s.value for s in observed.sysctls if s.name == IP_FORWARD), "1")
    # A gateway that only bridges need not forward.
    if forward == "0" and not (config.nat44 or config.vxlan):
        yield f"{IP_FORWARD} is 0: the worker forwards no IPv4"
    yield from _warnings_of_vxlan(config, worker, segments)


def _warnings_of_vxlan(
    config: Config, worker: ObservedWorker, segments: Sequence[Segment]
) -> Iterator[str]:
    """What of VXLAN is not the worker's, though it has ports."""
    if worker.segments_refused:
        yield f"the worker does no VXLAN: {worker.segments_refused}"
        return
    for tap, reason in worker.unheard:
        yield f"{tap}: {reason}; what is for groups in its bridge is the kernel's to flood"
    left = {segment.name: why for segment in segments if (why := beyond(segment))}
    if not config.ports_of(Plane.XDP):
        for name, why in left.items():
            yield f"{name}: a segment {why} is the kernel's: the worker does not know such"
    if (count := sum(not beyond(segment) for segment in segments)) > SEGMENTS_MAX:
        yield f"{count} VXLAN segments: the worker has room for {SEGMENTS_MAX}"
