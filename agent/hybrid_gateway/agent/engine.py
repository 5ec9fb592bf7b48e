# SPDX-License-Identifier: GPL-2.0-or-later
"""What the agent does when asked, without a clock or a socket: check, plan, apply, detach."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from .. import bypass
from ..config import load
from ..errors import DeviceError
from ..evpn.wanted import EvpnWanted
from ..model import Config, Observed, ObservedWorker, Step, StepKind, Wanted, WorkerState
from ..observe import Part
from ..plan import Planner
from ..resolve import check_devices, resolve
from ..resolve_evpn import evpn_of
from ..worker_link import ATTEMPTS
from ..worker_view import NOBODY, Caller, NoWorkerError
from .reconciler import Reconciler, persists

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A configuration that may be applied, and how."""

    config: Config
    observed: Observed
    wanted: Wanted
    steps: tuple[Step, ...]
    notes: tuple[str, ...] = ()
    """What these steps would have to wait for."""
    evpn: EvpnWanted | None = None
    told: tuple[Step, ...] = ()
    """What becomes of EVPN once the steps are done; none of it can fail."""


class Engine(Reconciler):
    """Everything blocks, and takes milliseconds, or seconds where devices and the worker's process
    change; only `apply` may load programs."""

    def prepare(self, path: str | Path | None, caller: Caller = NOBODY) -> Prepared:
        """Reads, checks and plans; changes nothing."""
        config = load(Path(path) if path else self.config_path)
        observed = self._observer.observe(config, self._executor.written, asked=caller.attempts)
        check_devices(config, observed)
        notes: tuple[str, ...] = ()
        if caller.starting:
            observed = replace(observed, worker=ObservedWorker())
        else:
            try:
                self.worker.check(config, observed.worker, self._restore.accepted, caller)
            except NoWorkerError as error:
                if not caller.planning:
                    raise
                notes = (f"{error.message}; gwctl apply waits for one",)
                there = replace(observed.worker, state=WorkerState.RUNNING)
                observed = replace(observed, worker=there)
        self.dataplane.verify()
        wanted = resolve(config, observed)
        self._observer.refuse_bypass(config, observed.links)
        self._observer.foreign_programs(wanted)
        steps, evpn = Planner(wanted, observed).steps(), evpn_of(config, wanted.segments, observed)
        told = self.evpn.steps(evpn)
        return Prepared(config, observed, wanted, steps, notes, evpn, told)

    def apply(self, path: str | Path | None, caller: Caller = NOBODY) -> Prepared:
        """Does what `prepare` planned; on an error everything is as it was before."""
        prepared = self.prepare(path, caller)
        try:
            self._run(prepared.steps, prepared.config)
        finally:
            self._observer.forget()
        self._drop_saved(prepared.config)
        if path:
            self.config_path = Path(path)
        self.config, self.wanted, self.error = prepared.config, prepared.wanted, None
        if not caller.starting:
            self.worker.forgive()
            self._restore.accept(self.worker.accepted_by(prepared.config))
        self._seen(prepared.observed)
        self.evpn.follow(prepared.evpn, shared=prepared.config.evpn is not None)
        self.notes = tuple(self._executor.notes)
        self.look_for_bypass()
        self._follow()
        self._set_state()
        self._follow_mirror(prepared.steps)
        if any(step.kind is StepKind.GIVE_BACK for step in prepared.steps):
            # What XDP was to have of it could not be planned before it was there again.
            self.reconcile(Part.ALL)
        return prepared

    def start(self) -> None:
        """Applies the configuration, or goes on where an earlier agent of this instance left off.

        Its programs forward whether or not an agent follows them. So what a running agent
        only tells of (a missing device, a firewall that appeared later) is no reason to
        refuse then, and an error is kept for `status` and tried again.
        """
        if not self.dataplane.attached() and not self.worker.taken():
            config = self.apply(None, Caller(starting=True)).config
            if config.worker:
                # XDP forwards by now, whatever becomes of this.
                self.worker.shun_refused(config, self._restore.accepted)
                self.reconcile(Part.ALL)
            return
        config = load(self.config_path)
        self.dataplane.verify()
        self._refuse_to_abandon(config)
        self.worker.shun_refused(config, self._restore.accepted)
        self.config = config
        self.reconcile(Part.ALL)
        self._drop_saved(config)
        self.notes = tuple(self._executor.notes)
        for name in self.bypassed:
            log.warning("%s goes past %s", bypass.passers(config), name)

    def _refuse_to_abandon(self, config: Config) -> None:
        """ConfigError for a name that is wrong: the port that it meant is here, and forwards."""
        observed = self._observer.observe(config, self._executor.written)
        named = {port.device for port in config.ports if port.device}
        attached = self.dataplane.attached()
        if any(link.ifindex in attached and link.name not in named for link in observed.links):
            check_devices(config, observed)

    def detach(self) -> tuple[Step, ...]:
        """Takes away everything that was ever put anywhere, and forgets the configuration."""
        told = self.evpn.steps(None)
        self.evpn.stop(remove=True)
        self.worker.rouse()
        observed = self._observer.observe(None, self._executor.written, asked=ATTEMPTS)
        steps = Planner(Wanted(), observed).steps()
        try:
            self._run(steps, None)
            self.session_log.stop()
            self.dataplane.remove()
        finally:
            self._observer.forget()
        self._executor.reset()
        self.saved.forget()
        self._restore.remove()
        self.worker.forgive()
        away, self.worker.away = self.worker.away, {}
        self.mirror.stop()
        self.error = None
        self.config, self.wanted, self.notes, self.bypassed = None, Wanted(), (), ()
        self._change_state("detached")
        if away:
            reasons = "; ".join(f"port {name}: {one.reason}" for name, one in away.items())
            raise DeviceError(
                f"{reasons}; all else is detached, and gw-handback tries that again when no agent "
                "runs",
                code="device.away",
            )
        return (*told, *steps)

    # ---- sessions on disk -------------------------------------------------------------

    def _drop_saved(self, config: Config) -> None:
        """Whoever wants no sessions on disk finds none there."""
        if persists(config):
            return
        try:
            self.saved.remove()
        except OSError as error:
            log.warning("sessions are still on disk: %s", error)

    def snapshot(self) -> Callable[[], None] | None:
        """What saves the sessions, in any thread; None: there are none to be saved.

        As long as those of the last boot wait for an outside address, they stay what is saved.
        """
        if not persists(self.config) or not self.wanted.sizes or self._executor.restoring:
            return None
        if self._executor.written.sizes is None:
            return None
        since, reader = self.saved.writing(), self.dataplane.reader()

        def save() -> None:
            try:
                self.saved.write(reader.blocks(), since)
            finally:
                reader.close()

        return save
