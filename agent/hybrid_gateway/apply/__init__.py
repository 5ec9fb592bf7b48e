# SPDX-License-Identifier: GPL-2.0-or-later
"""Does the steps of a plan, in order, and undoes them in reverse when one fails.

What has to be put back one day is on disk before it is changed.
"""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..bpf import DataPlane, SavedSessions
from ..errors import GwError
from ..mirror import Mirror
from ..model import Device, Sizes, Step, StepKind, VniEntry, Written
from ..netlink import Netlink
from ..nft import Nft
from ..restore import RestoreFile
from ..worker_view import WorkerView
from .apart import APART, Failed
from .heard import HeardSteps
from .host import HostSteps
from .plane import PlaneSteps
from .record import Record
from .table import TableSteps
from .undo import Undo
from .vxlan import VxlanSteps
from .worker import WorkerSteps

log = logging.getLogger(__name__)


class Executor:
    """The one place that changes the system."""

    def __init__(
        self,
        dataplane: DataPlane,
        netlink: Netlink,
        nft: Nft,
        mirror: Mirror,
        restore: RestoreFile,
        worker: WorkerView,
        pins: Path,
    ) -> None:
        self._record = Record()
        self._plane = PlaneSteps(dataplane, pins, self._record)
        self._vxlan = VxlanSteps(dataplane, mirror, self._record)
        self._table = TableSteps(nft, mirror, self._record)
        self._host = HostSteps(netlink, restore)
        self._worker = WorkerSteps(worker)
        self._heard = HeardSteps(worker)
        self.failed: Step | None = None
        """The step that the last plan ended with."""
        self._actions: dict[StepKind, Callable[[Any], Undo]] = {
            StepKind.DETACH: self._plane.detach,
            StepKind.DETACH_TUNNEL: self._vxlan.detach,
            StepKind.FORGET: self._host.forget,
            StepKind.RESTORE_OFFLOAD: self._host.restore_offload,
            StepKind.RESTORE_SYSCTL: self._host.restore_sysctl,
            StepKind.REMOVE_TABLE: self._table.remove,
            StepKind.LOAD: self._load,
            StepKind.MIRROR: self._vxlan.mirror,
            StepKind.SYSCTL: self._host.set_sysctl,
            StepKind.TABLE: self._table.write,
            StepKind.OFFLOAD: self._host.switch_off,
            StepKind.SETTINGS: self._plane.settings,
            StepKind.ADDRESSES: self._plane.addresses,
            StepKind.STATICS: self._plane.statics,
            StepKind.PREFIXES: self._plane.prefixes,
            StepKind.VNIS: self._vxlan.vnis,
            StepKind.DEVICES: self._plane.devices,
            StepKind.ATTACH: self._plane.attach,
            StepKind.ATTACH_TUNNEL: self._vxlan.attach,
            StepKind.MANAGE: self._host.manage,
            StepKind.REMOVE_PORT: self._worker.remove,
            StepKind.GIVE_BACK: self._worker.give_back,
            StepKind.STOP_WORKER: self._worker.stop,
            StepKind.RELEASE_MEMORY: self._worker.release,
            StepKind.RESERVE_MEMORY: self._worker.reserve,
            StepKind.START_WORKER: self._worker.start,
            StepKind.TAKE: self._worker.take,
            StepKind.ADD_PORT: self._worker.add,
            StepKind.HEAR: self._heard.hear,
            StepKind.SEGMENTS: self._worker.segments,
            StepKind.STOP_HEARING: self._heard.stop,
        }

    @property
    def written(self) -> Written:
        """What was written last into places that cannot be read back."""
        return self._record.written

    @property
    def notes(self) -> tuple[str, ...]:
        """What the owner should know about the steps that were done last."""
        return (*self._record.notes, *self._host.notes, *self._worker.notes)

    def follow_senders(self) -> None:
        """The mirror knows other VTEPs than before: the nftables table lets them in."""
        self._table.follow()

    def stop_mirror(self) -> None:
        """XDP has no work: a later plan that has some begins to follow anew."""
        self._vxlan.stop_mirror()

    def withdraw(self, devices: tuple[Device, ...], vnis: tuple[VniEntry, ...]) -> None:
        """Puts smaller roles in force, without a plan: the next one sees what was written."""
        if devices != self.written.devices:
            self._plane.devices(devices)
        if vnis != self.written.vnis:
            self._vxlan.vnis(vnis)

    def _load(self, sizes: Sizes) -> Undo:
        undo = self._plane.load(sizes)

        def back() -> None:
            undo()
            self._vxlan.mirror_again()

        return back

    def keep_sessions(self, saved: SavedSessions | None) -> None:
        """From now on saved sessions are restored from there; None: there are none."""
        self._plane.saved = saved
        self._plane.restoring = self._plane.restoring and saved is not None

    @property
    def restoring(self) -> bool:
        """Whether saved sessions still wait for an outside address."""
        return self._plane.restoring

    def run(self, steps: Sequence[Step], *, apart: bool = False) -> tuple[Failed, ...]:
        """All of them or none; raises the error of the step that failed, which it names.

        `apart`: what concerns the worker or one port of it alone does not keep the rest from being
        done. What failed of that is answered, and undone.
        """
        self._record.notes.clear()
        self._host.notes.clear()
        self._worker.begin()
        done: list[tuple[Step, Undo]] = []
        failed: list[Failed] = []
        doing, self.failed = "", None
        unexpected = self._host.expect(steps)
        try:
            for step in steps:
                if any(one.forbids(step) for one in failed):
                    continue
                doing, self.failed = f"{step.kind.value} {step.subject}", step
                try:
                    done.append((step, self._actions[step.kind](step.value)))
                except GwError as error:
                    if not apart or step.kind not in APART:
                        raise
                    failed.append(Failed(step, error))
                    self._unwind([one for one in done if failed[-1].undoes(one[0])])
                    done = [one for one in done if not failed[-1].undoes(one[0])]
            doing, self.failed = "putting the new programs in force", None
            self._plane.finish()
            self._worker.finish()
        except BaseException as error:  # whatever it was, half a plan must not stay
            self._unwind(done)
            unexpected()
            if isinstance(error, GwError):
                error.message = f"{doing}: {error.message}"
            raise
        finally:
            self._host.flush()
        return tuple(failed)

    def reset(self) -> None:
        """Nothing of what was written is there any more."""
        self._record.written = Written()

    def _unwind(self, done: list[tuple[Step, Undo]]) -> None:
        for step, undo in reversed(done):
            try:
                undo()
            except GwError as error:
                log.error("undoing %s %s: %s", step.kind.value, step.subject, error)
