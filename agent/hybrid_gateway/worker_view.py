# SPDX-License-Identifier: GPL-2.0-or-later
"""The DPDK worker as the agent sees it: its process, and what was taken from the kernel for it."""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import (
    ConfigError,
    DeviceError,
    Problem,
    RefusedError,
    WorkerAbsentError,
    WorkerError,
    WorkerTimeoutError,
)
from .model import Config, ObservedWorker, Plane, Port, Segment, TakenPort, WorkerState
from .resolve_worker import core_problems
from .worker_client import WorkerStatus, nobody
from .worker_facts import is_there, key_of, online, running_of, setup_of, taken_of
from .worker_link import WorkerLink
from .worker_trust import OWNER, Shunned

if TYPE_CHECKING:
    from .devices.handover import Handover
    from .devices.hugepages import Hugepages


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks for a configuration, as far as it makes a difference to the worker."""

    force: bool = False
    """Ports may be taken that may be the owner's only way in."""
    sessions: tuple[IPv4Address | IPv6Address, ...] = ()
    """From where the caller is logged in."""
    attempts: int = 1
    """How often a worker that does not answer is asked."""
    starting: bool = False
    """The agent itself, which leaves the worker for later: XDP does not wait for it."""
    planning: bool = False
    """Nothing is going to be done, so that nobody has to be there to do it."""


NOBODY = Caller()


class NoWorkerError(WorkerAbsentError):
    """There is none to have the ports: before anything was changed."""


class WorkerView(WorkerLink):
    """Looks, and asks; what it changes is the worker's process alone, when told to end it."""

    def __init__(self, socket: Path, record: Path, verdict: Path) -> None:
        super().__init__(socket, verdict)
        self._record = record
        self.given: tuple[int, tuple[Segment, ...]] | None = None
        """The worker's process and the VXLAN segments that it was given last, by this agent."""

    @cached_property
    def handover(self) -> "Handover":
        # Imported here, as below: only a gateway with a worker pays for them.
        from .devices.handover import Handover

        return Handover(self._record)

    @cached_property
    def hugepages(self) -> "Hugepages":
        from .devices.hugepages import Hugepages

        return Hugepages(self._record)

    # ---- looking ----------------------------------------------------------------------

    def taken(self) -> tuple[TakenPort, ...]:
        """By the record, sorted by name; what was taken by halves serves no port."""
        if not self._record.exists():
            return ()
        whole = self.handover.taken()
        return tuple(
            taken_of(whole[name]) if name in whole else TakenPort(name, name, "")
            for name in sorted(self.handover.recorded())
        )

    def look(self, config: Config | None, *, asked: int = 0) -> ObservedWorker:
        """The worker and its devices now; when `asked`, so often, whatever was thought of it
        before."""
        ports = config.ports_of(Plane.DPDK) if config else ()
        every = self.taken()
        # What somebody else has given back, or what serves a port again, is not away.
        left = {one.name for one in every if not any(one.serves(port) for port in ports)}
        self.away = {name: one for name, one in self.away.items() if name in left}
        taken = tuple(one for one in every if asked or one.name not in self.away)
        if asked > 1:
            self._mute_until = 0.0
        state, reason, status = self.state(taken, asked=asked)
        missing = frozenset(port.name for port in ports if not is_there(port, taken))
        refused = self.segments_refused
        return ObservedWorker(
            state=state,
            reason=reason,
            setup=setup_of(status) if status else None,
            ports=running_of(status) if status else (),
            taken=taken,
            reserved=self.hugepages.status().reserved if self._record.exists() else 0,
            online=online(),
            missing=missing,
            shunned=() if asked else tuple((n, one.reason) for n, one in self.shunned.items()),
            physical=frozenset(self._physical(port for port in ports if port.name not in missing)),
            segments=self._segments(status),
            segments_refused=refused.reason if refused and not asked else "",
            unheard=() if asked else tuple((n, one.reason) for n, one in self.unheard.items()),
        )

    def _segments(self, status: WorkerStatus | None) -> tuple[Segment, ...] | None:
        """Those that it has, as they were given."""
        if status is None or not status.segments:
            return ()
        return self.given[1] if self.given and self.given[0] == status.pid else None

    def state(
        self, taken: Sequence[TakenPort], *, asked: int = 0
    ) -> tuple[WorkerState, str, WorkerStatus | None]:
        """With the reason for one that is no good, and what a worker that runs says of itself."""
        judged = None if asked else self.judgement
        if judged and judged.state is WorkerState.GIVEN_BACK:
            return judged.state, judged.reason, None
        try:
            return WorkerState.RUNNING, "", self.status(attempts=asked or 1)
        except WorkerAbsentError:
            if judged:
                return judged.state, judged.reason, None
            if taken and not asked:
                return WorkerState.STARTING, "it is not there", None
            return WorkerState.ABSENT, "", None
        except WorkerTimeoutError as error:
            if asked:
                raise
            if self._last:  # most likely it is as it was, and slow
                return WorkerState.RUNNING, error.message, self._last
            return WorkerState.STARTING, error.message, None
        except WorkerError as error:
            if asked:
                raise
            return WorkerState.STARTING, error.message, None

    def _physical(self, ports: Iterable[Port]) -> Iterator[str]:
        for port in ports:
            # What is wrong with a device is for `check` to say.
            with contextlib.suppress(DeviceError):
                if self.handover.planned(port).iova_pa:
                    yield port.name

    # ---- what stands in the way -------------------------------------------------------

    def check(
        self, config: Config, observed: ObservedWorker, accepted: frozenset[str], caller: Caller
    ) -> None:
        """ConfigError for devices that the worker cannot have; RefusedError for one that it must
        not have; NoWorkerError."""
        if config.worker is None:
            return
        problems = core_problems(config, observed)
        if caller.force:
            accepted |= self.accepted_by(config)
        problems += self.problems(config, accepted, caller.sessions)
        if problems:
            raise ConfigError(problems)
        if observed.state is not WorkerState.RUNNING:
            raise NoWorkerError(nobody(self._socket))

    def problems(
        self,
        config: Config,
        accepted: frozenset[str],
        sessions: Sequence[IPv4Address | IPv6Address] = (),
    ) -> list[Problem]:
        """Of devices that cannot be had; RefusedError for one that may be the only way in, unless
        it is `accepted`."""
        found, owners = [], dict[str, str]()
        ports = config.ports_of(Plane.DPDK)
        for port in ports:
            key = f"ports.{port.name}.{key_of(port)}"
            force = _acceptance(port) in accepted
            try:
                self.handover.check(port, force=force, sessions=sessions, beside=ports)
                device = self.handover.planned(port).eal
            except RefusedError as error:
                error.where = f"{config.path}:{port.line}: {key}"
                raise
            except DeviceError as error:
                found.append(Problem(config.path, port.line, key, error.message, error.code))
                continue
            owner = owners.setdefault(device, port.name)
            if owner != port.name:
                message = f"{port.where} is port {owner} already: both are {device}"
                found.append(Problem(config.path, port.line, key, message, "config.conflict"))
        return found

    @staticmethod
    def accepted_by(config: Config) -> frozenset[str]:
        """What is remembered when a configuration was applied: that these devices may be taken."""
        return frozenset(_acceptance(port) for port in config.ports_of(Plane.DPDK))

    def shun_refused(self, config: Config, accepted: frozenset[str]) -> None:
        """Ports that may be the only way in: nobody is there to be asked."""
        ports = config.ports_of(Plane.DPDK)
        for port in ports:
            try:
                self.handover.check(port, force=_acceptance(port) in accepted, beside=ports)
            except RefusedError as error:
                self.shunned[port.name] = Shunned(error.message, OWNER)
            except DeviceError:
                pass  # what is wrong with it will be seen, and may pass


def _acceptance(port: Port) -> str:
    return f"{port.name}={port.where}"
