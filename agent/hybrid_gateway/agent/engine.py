# SPDX-License-Identifier: GPL-2.0-or-later
"""What the agent does, without a clock or a socket: check, plan, apply, follow, detach."""

import contextlib
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from .. import bypass
from ..apply import Executor
from ..apply.apart import Failed
from ..bpf import DataPlane, SavedSessions
from ..config import load
from ..errors import DeviceError, GwError
from ..events import RouteEvent
from ..instance import Instance
from ..mirror import Mirror
from ..model import (
    Config,
    Link,
    NatLog,
    Observed,
    ObservedWorker,
    Step,
    StepKind,
    Wanted,
    WorkerState,
)
from ..natlog import SessionLog
from ..netlink import Netlink
from ..nft import Nft
from ..observe import Observer, Part
from ..plan import Planner
from ..resolve import check_devices, resolve
from ..restore import RestoreFile
from ..vtep_routes import VtepIndex
from ..worker_view import ATTEMPTS, NOBODY, Caller, WorkerView
from . import links, routes

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A configuration that may be applied, and how."""

    config: Config
    observed: Observed
    wanted: Wanted
    steps: tuple[Step, ...]


def _persists(config: Config | None) -> bool:
    return bool(config and config.nat44 and config.nat44.persist)


class Engine:
    """Everything blocks, and takes milliseconds, or seconds where devices and the worker's process
    change; only `apply` may load programs."""

    def __init__(self, instance: Instance, config_path: Path, objects: Path) -> None:
        self.instance = instance
        self.config_path = config_path
        self.config: Config | None = None
        """The one in force; None before the first apply and after detach."""
        self.wanted = Wanted()
        self.links: tuple[Link, ...] = ()
        """As they were at the last look, which every change of a link brings about."""
        self._vteps = VtepIndex(())
        self.state = "starting"
        self.since = time.time()
        self.error: GwError | None = None
        self._served = False
        """Whether the worker has ports."""
        self.notes: tuple[str, ...] = ()
        self.bypassed: tuple[str, ...] = ()
        self.unsaved = ""
        """Why the sessions could not be saved the last time."""
        self.saved = SavedSessions(instance.sessions_file)
        self.netlink = Netlink()
        self.dataplane = DataPlane(instance.name, objects)
        self.mirror = Mirror(self.dataplane, self.netlink)
        self.session_log = SessionLog(self.dataplane)
        self.worker = WorkerView(instance.worker_socket, instance.taken_file, instance.verdict_file)
        self._restore = RestoreFile(instance.state_file)
        nft = Nft()
        self._observer = Observer(
            self.dataplane, self.netlink, nft, self.mirror, self._restore, self.worker
        )
        self._executor = Executor(
            self.dataplane,
            self.netlink,
            nft,
            self.mirror,
            self._restore,
            self.worker,
            instance.pin_dir,
        )

    def close(self) -> None:
        """Lets go; what is in the kernel stays there."""
        self.session_log.stop()
        self.mirror.close()
        self.dataplane.close()
        self.netlink.close()

    # ---- what is asked for ------------------------------------------------------------

    def prepare(self, path: str | Path | None, caller: Caller = NOBODY) -> Prepared:
        """Reads, checks and plans; changes nothing."""
        config = load(Path(path) if path else self.config_path)
        observed = self._observer.observe(config, self._executor.written, asked=caller.attempts)
        check_devices(config, observed)
        if caller.starting:
            observed = replace(observed, worker=ObservedWorker())
        else:
            self.worker.check(config, observed.worker, self._restore.accepted, caller)
        self.dataplane.verify()
        wanted = resolve(config, observed)
        self._observer.refuse_bypass(config, observed.links)
        self._observer.foreign_programs(wanted)
        return Prepared(config, observed, wanted, Planner(wanted, observed).steps())

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
                f"{reasons}; all else is detached, and gw-handback tries that again",
                code="device.away",
            )
        return steps

    def _run(
        self, steps: tuple[Step, ...], config: Config | None, *, apart: bool = False
    ) -> tuple[Failed, ...]:
        for step in steps:
            log.info("%s %s: %s", step.kind.value, step.subject, step.text)
        self._executor.keep_sessions(self.saved if _persists(config) else None)
        try:
            return self._executor.run(steps, apart=apart)
        finally:
            self.session_log.renew()

    def _drop_saved(self, config: Config) -> None:
        """Whoever wants no sessions on disk finds none there."""
        if _persists(config):
            return
        try:
            self.saved.remove()
        except OSError as error:
            log.warning("sessions are still on disk: %s", error)

    def snapshot(self) -> Callable[[], None] | None:
        """What saves the sessions, in any thread; None: there are none to be saved.

        As long as those of the last boot wait for an outside address, they stay what is saved.
        """
        if not _persists(self.config) or not self.wanted.sizes or self._executor.restoring:
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

    # ---- what happens by itself -------------------------------------------------------

    def reconcile(self, parts: Part) -> None:
        """Follows what changed on the host; an error is kept for `status`, not raised."""
        if self.config is None:
            # Detached: nothing can be wrong with what is not there, whatever went wrong since.
            self.error = None
            self._change_state("detached")
            return
        try:
            observed = self._observer.observe(self.config, self._executor.written, parts)
            wanted = resolve(self.config, observed)
            steps = Planner(wanted, observed).steps()
            for warning in set(wanted.warnings) - set(self.wanted.warnings):
                log.warning("%s", warning)
            self.wanted = wanted
            self._seen(observed)
            failed: tuple[Failed, ...] = ()
            if steps:
                self._observer.forget()
                self._warn_of_lost(steps)
                failed = self._run(steps, self.config, apart=True)
                # What a start waited for, an outside address perhaps, is told as well.
                self.notes = tuple(dict.fromkeys((*self.notes, *self._executor.notes)))
            if parts & (Part.TABLE | Part.TC):
                self.look_for_bypass()
            self.error = None
            without = self._leave_out(failed)
            self.worker.settled()
            if any(step.kind in (StepKind.DEVICES, StepKind.LOAD) for step in steps):
                self._follow()
            self._follow_mirror(steps)
            if without:
                self.reconcile(Part.ALL)
                return
        except GwError as error:
            if str(error) != str(self.error):
                log.error("%s", error)
            if self.worker.failed(self._executor.failed, error.message):
                # Better without it than with devices that nobody serves.
                self.worker.put_down()
                self.reconcile(Part.ALL)
                return
            self.error = error
        self._set_state()

    def _leave_out(self, failed: tuple[Failed, ...]) -> bool:
        """True: the next plan goes without what failed of the worker."""
        for one in failed:
            log.error("%s %s: %s", one.step.kind.value, one.step.subject, one.error)
            self.worker.failed(one.step, one.error.message)
        if failed:
            self.worker.put_down()
        return bool(failed)

    def _seen(self, observed: Observed) -> None:
        self.links, self._vteps = observed.links, VtepIndex(observed.vteps)
        worker = self.wanted.worker
        serving = observed.worker.state is WorkerState.RUNNING
        self._served = bool(worker and worker.ports and serving)
        self.mirror.watch(hop.ifindex for hop in self.wanted.managed)

    def _warn_of_lost(self, steps: tuple[Step, ...]) -> None:
        for step in steps:
            before = (*self._executor.written.attachments, *self._executor.written.tunnels)
            if step.kind in (StepKind.ATTACH, StepKind.ATTACH_TUNNEL) and step.value in before:
                log.warning("%s: somebody removed our programs: putting them back", step.subject)

    def withdraw(self, messages: Iterable[links.Message]) -> None:
        """What the kernel says of devices, addresses and VNIs: where they are not what they were,
        bridging and tunnels stop."""
        written, segments = self._executor.written, self.wanted.segments
        left = links.withdrawn(tuple(messages), self.links, written, segments)
        if left:
            self._executor.withdraw(*left)

    def follow_senders(self) -> None:
        """The mirror knows other VTEPs than before."""
        if self.config and self.wanted.segments:
            self._executor.follow_senders()

    def _follow_mirror(self, steps: tuple[Step, ...]) -> None:
        """The VTEPs that it knows now, the look before these steps had not seen."""
        if self.wanted.segments and any(step.kind is StepKind.MIRROR for step in steps):
            self.follow_senders()
            self.reconcile(Part.VTEPS)

    def refill(self) -> None:
        """Events were lost: the mirrored FDB may be wrong."""
        if self.config and self.wanted.sizes:
            try:
                self.mirror.refill()
            except GwError as error:
                log.error("mirroring the FDB: %s", error)
                self.error = error

    def devices(self) -> frozenset[int]:
        """Everything that takes part."""
        return frozenset(device.ifindex for device in self.wanted.devices)

    def concerned_by(self, route: RouteEvent, added: bool) -> bool:
        """Whether a route changes the way to a VTEP, who is inside, or what the next hops are."""
        return self._vteps.concerned_by(route) or routes.concern(route, added, self.wanted)

    def look_for_bypass(self) -> None:
        """Rules that the owner made since: too late to refuse, not too late to say."""
        if self.config is None:
            return
        found = self._observer.bypassed(self.config, self.netlink.links())
        self.bypassed = tuple(bypass.refused(found, self.config))

    def fail(self, error: Exception) -> None:
        """Something that nobody foresaw: kept for `status`, until a look at everything succeeds."""
        if not isinstance(error, GwError):
            message = f"unexpected {type(error).__name__}: {error}; the agent's log has more"
            if message != str(self.error):
                log.error("unexpected", exc_info=error)
            error = GwError(message, code="internal")
        elif str(error) != str(self.error):
            log.error("%s", error)
        self.error = error
        self._observer.forget()
        self._set_state()

    def _follow(self) -> None:
        nat = self.config.nat44 if self.config else None
        if not self.wanted.sizes:
            self.mirror.stop()
        self.session_log.follow(nat.log if nat and self.wanted.sizes else NatLog())

    def _set_state(self) -> None:
        if self.error:
            self._change_state("failed")
            return
        attached = self._executor.written.attachments
        translating = (
            self.wanted.settings.enabled
            and any(port.outside for port in attached)
            and any(not port.outside for port in attached)
        )
        bridging = bool(self.wanted.segments and attached)
        forwarding = translating or bridging or self._served
        self._change_state("forwarding" if forwarding else "kernel")

    def _change_state(self, state: str) -> None:
        if state != self.state:
            self.state, self.since = state, time.time()
            log.info("%s", state)

    def attached(self) -> dict[int, str]:
        with contextlib.suppress(GwError):
            return self.dataplane.attached()
        return {}
