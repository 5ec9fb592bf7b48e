# SPDX-License-Identifier: GPL-2.0-or-later
"""What the agent does by itself: it follows what happens on the host."""

import contextlib
import logging
from collections.abc import Iterable
from pathlib import Path

from .. import bypass
from ..apply import Executor
from ..apply.apart import Failed
from ..bpf import DataPlane, SavedSessions
from ..errors import GwError
from ..events import RouteEvent
from ..instance import Instance
from ..mirror import Mirror
from ..model import (
    Config,
    Link,
    NatLog,
    Observed,
    Step,
    StepKind,
    Wanted,
    WorkerState,
    heard_bridge,
)
from ..natlog import SessionLog
from ..netlink import Netlink
from ..nft import Nft
from ..observe import Observer, Part
from ..plan import Planner
from ..resolve import resolve
from ..resolve_evpn import evpn_of
from ..restore import RestoreFile
from ..vtep_routes import VtepIndex
from ..worker_view import WorkerView
from . import links, routes
from .condition import Condition
from .evpn import EvpnControl

log = logging.getLogger(__name__)


class Reconciler(Condition):
    """One configuration in force, or none, and everything that it takes to keep it so."""

    def __init__(self, instance: Instance, config_path: Path, objects: Path) -> None:
        super().__init__()
        self.instance = instance
        self.config_path = config_path
        self.config: Config | None = None
        """The one in force; None before the first apply and after detach."""
        self.wanted = Wanted()
        self.links: tuple[Link, ...] = ()
        """As they were at the last look, which every change of a link brings about."""
        self._vteps = VtepIndex(())
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
        self.evpn = EvpnControl(instance)
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
        self.evpn.stop()
        self.session_log.stop()
        self.mirror.close()
        self.dataplane.close()
        self._observer.close()
        self.netlink.close()

    # ---- following --------------------------------------------------------------------

    def reconcile(self, parts: Part) -> None:
        """Follows what changed on the host; an error is kept for `status`, not raised."""
        if self.config is None:
            # Detached: nothing can be wrong with what is not there, whatever went wrong since.
            self.error = None
            self._change_state("detached")
            return
        self._executor.failed = None
        try:
            again = self._look_and_act(self.config, parts)
        except GwError as error:
            # Better without the worker than with devices that nobody serves.
            again = self.worker.failed(self._executor.failed, error.message)
            if not again:
                self._keep(error)
        if again:
            self.worker.put_down()
            self.reconcile(Part.ALL)
        else:
            self._set_state()

    def _look_and_act(self, config: Config, parts: Part) -> bool:
        """True: another plan is to follow, without what failed of the worker in this one."""
        observed = self._observer.observe(config, self._executor.written, parts)
        wanted = resolve(config, observed)
        steps = Planner(wanted, observed).steps()
        for warning in set(wanted.warnings) - set(self.wanted.warnings):
            log.warning("%s", warning)
        self.wanted = wanted
        self._seen(observed)
        failed: tuple[Failed, ...] = ()
        if steps:
            self._observer.forget()
            self._warn_of_lost(steps)
            failed = self._run(steps, config, apart=True)
            # What a start waited for, an outside address perhaps, is told as well.
            self.notes = tuple(dict.fromkeys((*self.notes, *self._executor.notes)))
        if parts & (Part.TABLE | Part.TC):
            self.look_for_bypass()
        self.error = None
        asked = evpn_of(config, wanted.segments, observed)
        self.evpn.follow(asked, shared=config.evpn is not None)
        for one in failed:
            log.error("%s %s: %s", one.step.kind.value, one.step.subject, one.error)
            self.worker.failed(one.step, one.error.message)
        self.worker.settled()
        if any(step.kind in (StepKind.DEVICES, StepKind.LOAD) for step in steps):
            self._follow()
        self._follow_mirror(steps)
        return bool(failed)

    def _run(
        self, steps: tuple[Step, ...], config: Config | None, *, apart: bool = False
    ) -> tuple[Failed, ...]:
        for step in steps:
            log.info("%s %s: %s", step.kind.value, step.subject, step.text)
        self._executor.keep_sessions(self.saved if persists(config) else None)
        try:
            return self._executor.run(steps, apart=apart)
        finally:
            self.session_log.renew()

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

    def _follow(self) -> None:
        nat = self.config.nat44 if self.config else None
        if not self.wanted.sizes:
            self._executor.stop_mirror()
        self.session_log.follow(nat.log if nat and self.wanted.sizes else NatLog())

    def fail(self, error: Exception) -> None:
        """Something that nobody foresaw: kept for `status`, until a look at everything succeeds."""
        self._keep(error)
        self._observer.forget()
        self._set_state()

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

    def attached(self) -> dict[int, str]:
        with contextlib.suppress(GwError):
            return self.dataplane.attached()
        return {}

    # ---- parts of it ------------------------------------------------------------------

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
        """Everything that takes part, with the TAPs by which bridges hear."""
        heard = (link.ifindex for link in self.links if heard_bridge(link.name) is not None)
        return frozenset(device.ifindex for device in self.wanted.devices).union(heard)

    def concerned_by(self, route: RouteEvent, added: bool) -> bool:
        """Whether a route changes the way to a VTEP, who is inside, what the next hops are, or what
        EVPN advertises."""
        return (
            self._vteps.concerned_by(route)
            or routes.concern(route, added, self.wanted)
            or routes.is_advertised(route, self.config)
        )

    def look_for_bypass(self) -> None:
        """Rules that the owner made since: too late to refuse, not too late to say."""
        if self.config is None:
            return
        found = self._observer.bypassed(self.config, self.netlink.links())
        self.bypassed = tuple(bypass.refused(found, self.config))


def persists(config: Config | None) -> bool:
    """Whether sessions are to outlive the boot."""
    return bool(config and config.nat44 and config.nat44.persist)
