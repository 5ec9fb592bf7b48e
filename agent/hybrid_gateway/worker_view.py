# SPDX-License-Identifier: GPL-2.0-or-later
"""The DPDK worker as the agent sees it: its process, and what was taken from the kernel for it."""

import contextlib
import logging
import time
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
from .model import (
    Config,
    ObservedWorker,
    Plane,
    Port,
    TakenPort,
    WorkerState,
)
from .resolve_worker import core_problems
from .worker_client import WorkerClient, WorkerStatus, nobody
from .worker_facts import is_there, key_of, online, running_of, setup_of, taken_of
from .worker_process import Process
from .worker_trust import OWNER, Shunned, Trust

if TYPE_CHECKING:
    from .devices.handover import Handover
    from .devices.hugepages import Hugepages

log = logging.getLogger(__name__)

MUTE_SECONDS = 5.0
"""A worker that did not answer is not asked again for so long, but on request."""
ATTEMPTS = 4
"""On request; a machine that is busy with something else may take that long."""
RESTART_SECONDS = 3.0
"""A worker that died is waited for so long."""


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


class WorkerView(Trust):
    """Looks, and asks; what it changes is the worker's process alone, when told to end it."""

    def __init__(self, socket: Path, record: Path, verdict: Path) -> None:
        super().__init__(verdict)
        self._socket = socket
        self._record = record
        self._mute_until = 0.0
        self._last: WorkerStatus | None = None
        """What it said last, until it is gone."""
        self.followed = 0
        """The process whose end somebody is certain to see."""
        self.held: dict[int, WorkerClient] = {}
        """Connections to workers that were started while another one was followed, by process."""

    @cached_property
    def handover(self) -> "Handover":
        # Imported here, as below: only a gateway with a worker pays for them.
        from .devices.handover import Handover

        return Handover(self._record)

    @cached_property
    def hugepages(self) -> "Hugepages":
        from .devices.hugepages import Hugepages

        return Hugepages(self._record)

    def client(self) -> WorkerClient:
        """A connection of its own, for a few calls; a context manager."""
        return WorkerClient(self._socket)

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

    def status(self, *, attempts: int = 1) -> WorkerStatus:
        """WorkerTimeoutError at once from a worker that did not answer a moment ago."""
        if time.monotonic() < self._mute_until:
            raise WorkerTimeoutError("the worker runs and does not answer")
        for left in reversed(range(attempts)):
            try:
                with self.client() as client:
                    self._last = client.status()
                return self._last
            except WorkerAbsentError:
                self._last = None
                raise
            except WorkerTimeoutError:
                if not left:
                    self._mute_until = time.monotonic() + MUTE_SECONDS
                    raise
        raise AssertionError

    def look(self, config: Config | None, *, asked: int = 0) -> ObservedWorker:
        """The worker and its devices now; when `asked`, so often, whatever was thought of it
        before."""
        taken = tuple(one for one in self.taken() if asked or one.name not in self.away)
        if asked > 1:
            self._mute_until = 0.0
        state, reason, status = self.state(taken, asked=asked)
        ports = config.ports_of(Plane.DPDK) if config else ()
        missing = frozenset(port.name for port in ports if not is_there(port, taken))
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
        )

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

    # ---- its process ------------------------------------------------------------------

    def hold(self, client: WorkerClient) -> bool:
        """Keeps the connection to a worker that is being started: whoever follows it will see its
        end, however soon that comes. False: somebody follows it, and the connection may go."""
        pid = client.peer()
        return pid != self.followed and self.held.setdefault(pid, client) is client

    def watched(self) -> WorkerClient:
        """A connection on which nothing but the worker's end is to be expected: the first that was
        held, or a new one."""
        first = next(iter(self.held), None)
        return self.client() if first is None else self.held.pop(first)

    def wait(self, seconds: float, *, fresh: bool = False) -> None:
        """Until one listens, which with `fresh` has not been started; WorkerAbsentError if not."""
        end = time.monotonic() + seconds
        while True:
            try:
                with self.client() as client:
                    if not (client.status().started and fresh):
                        return
            except WorkerAbsentError:
                pass
            if time.monotonic() >= end:
                raise WorkerAbsentError(nobody(self._socket))
            time.sleep(0.02)

    def rouse(self) -> None:
        """One that runs and does not answer is killed."""
        self._mute_until = 0.0
        try:
            self.status(attempts=ATTEMPTS)
        except WorkerTimeoutError:
            self.end()
        except WorkerError:
            pass

    def put_down(self) -> None:
        """One that was given up, and may hold devices that the kernel is to have, ends."""
        self.rouse()
        if self.judgement and self.judgement.state is WorkerState.GIVEN_BACK:
            with contextlib.suppress(WorkerError):
                if self.status().started:
                    self.end()

    def end(self) -> None:
        """Has its process end and waits until it has; kills one that does not do so itself."""
        with self.client() as client:
            try:
                process = Process(client.peer())
            except WorkerAbsentError:
                return
            self.leaving.add(process.pid)
            try:
                client.stop()
            except WorkerAbsentError:
                pass
            except WorkerError as error:
                log.warning("%s: it is killed", error)
                process.kill()
            process.wait()


def _acceptance(port: Port) -> str:
    return f"{port.name}={port.where}"
