# SPDX-License-Identifier: GPL-2.0-or-later
"""The steps of the DPDK worker: its process, its memory and its ports."""

from collections.abc import Iterator

from ..model import (
    ObservedWorker,
    Port,
    PortSetup,
    RunningPort,
    Step,
    StepKind,
    TakenPort,
    WantedWorker,
    WorkerSetup,
    WorkerState,
)

MB = 1 << 20


class WorkerPlanner:
    """Compares the two; a worker that may be back in a moment is waited for, with no steps."""

    def __init__(
        self,
        wanted: WantedWorker | None,
        observed: ObservedWorker,
        unheard: frozenset[int] = frozenset(),
    ) -> None:
        """`unheard`: bridges that get a TAP by this plan, which the worker has to open."""
        self._wanted = wanted
        self._observed = observed
        self._unheard = unheard
        self._waits = observed.state is WorkerState.STARTING
        setup = wanted.setup if wanted else None
        started = observed.state is WorkerState.RUNNING and observed.setup is not None
        self._stops = started and observed.setup != setup
        self._starts = setup is not None and (self._stops or not started)
        ports = {port.name: port for port in wanted.ports} if wanted else {}
        self._kept = {
            one.name
            for one in observed.taken
            if one.name in ports and one.serves(ports[one.name].port)
        }
        taken = {one.name: one for one in observed.taken}
        self._running = {
            port.name
            for port in observed.ports
            if port.name in self._kept
            and not self._stops
            and _same(port, ports[port.name], taken[port.name])
        }

    def removals(self) -> Iterator[Step]:
        """What its ports were comes back before anything else may want the devices."""
        observed = self._observed
        if self._waits:
            return
        if observed.state is WorkerState.RUNNING:
            for port in observed.ports:
                if port.name not in self._running:
                    text = "the worker lets go of it"
                    yield Step(StepKind.REMOVE_PORT, port.name, text, port)
        for one in observed.taken:
            if one.name not in self._kept:
                yield Step(StepKind.GIVE_BACK, one.name, _giving_back(one), one)
        if self._stops:
            again = "; it starts anew" if self._starts else ""
            yield Step(StepKind.STOP_WORKER, "worker", f"end the process{again}", observed.setup)
        if observed.reserved and (self._wanted is None or self._resized()):
            text = f"give {observed.reserved // MB} MB of hugepages back"
            yield Step(StepKind.RELEASE_MEMORY, "hugepages", text, observed.reserved)

    def additions(self) -> Iterator[Step]:
        """The worker says what it cannot have before a device is taken from the kernel."""
        wanted = self._wanted
        if wanted is None or self._waits:
            return
        if self._starts:
            text = f"see to {wanted.setup.memory // MB} MB of hugepages"
            yield Step(StepKind.RESERVE_MEMORY, "hugepages", text, wanted.setup.memory)
            yield Step(StepKind.START_WORKER, "worker", _described(wanted.setup), wanted.setup)
        for port in wanted.ports:
            if port.name not in self._kept:
                yield Step(StepKind.TAKE, port.name, _taking(port.port), port)
        for port in wanted.ports:
            if port.name not in self._running:
                text = f"the worker serves it, polling: {port.polling.value}"
                yield Step(StepKind.ADD_PORT, port.name, text, port)
        given = () if self._starts else self._observed.segments
        if wanted.segments != given or self._unheard:
            names = dict.fromkeys(segment.name for segment in wanted.segments)
            text = f"VXLAN of {', '.join(names) or 'no device'} is the worker's, too"
            yield Step(StepKind.SEGMENTS, "segments", text, wanted.segments)

    def _resized(self) -> bool:
        before, wanted = self._observed.setup, self._wanted
        return bool(self._stops and before and wanted and before.memory != wanted.setup.memory)


def _same(running: RunningPort, wanted: PortSetup, taken: TakenPort) -> bool:
    return (running.tap, running.device, running.polling) == (
        taken.tap,
        taken.device,
        wanted.polling,
    )


def _described(setup: WorkerSetup) -> str:
    cores = ", ".join(map(str, setup.cores))
    what = "core" if len(setup.cores) == 1 else "cores"
    limits = (("IPv4", setup.routes.ipv4), ("IPv6", setup.routes.ipv6))
    room = "".join(f", room for {limit} {family} routes" for family, limit in limits if limit)
    if setup.tunnels:
        room += f", and for {setup.tunnels} VTEPs"
    return f"start the data path on {what} {cores}, in {setup.memory // MB} MB{room}"


def _giving_back(one: TakenPort) -> str:
    if one.virtual:
        return f"remove the TAP {one.tap}"
    return f"give {one.tap} back to the kernel, with its addresses and routes"


def _taking(port: Port) -> str:
    if port.device or port.pci:
        return f"take {port.device or port.pci} from the kernel, which gets a TAP in its place"
    if port.iface:
        return f"the kernel gets a TAP in the place of {port.iface}"
    return f"make the TAP {port.name} for {port.vdev}"
