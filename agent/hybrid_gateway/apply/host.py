# SPDX-License-Identifier: GPL-2.0-or-later
"""Steps on the host: settings, offloads and next hops; noted on disk before they are done."""

import errno
import socket
from collections.abc import Sequence
from dataclasses import replace

from .. import forwarding, sysctl
from ..devices import Ethtool
from ..errors import GwError, KernelError
from ..model import IP_FORWARD, NextHop, Offload, Step, StepKind, Sysctl
from ..netlink import GONE, Netlink
from ..restore import RestoreFile, SysctlChange
from .undo import Undo, void


class HostSteps:
    """Each method does one step and returns how to undo it."""

    def __init__(self, netlink: Netlink, restore: RestoreFile) -> None:
        self._netlink = netlink
        self._restore = restore
        self._stale = False
        """Whether the file says more than there is to put back, which does no harm."""
        self.notes: list[str] = []

    def expect(self, steps: Sequence[Step]) -> Undo:
        """Notes in one go what these are about to change; the undoing is for those not done."""
        changes = self._restore.changes
        offloads = {
            replace(step.value, on=True)
            for step in steps
            if step.kind is StepKind.OFFLOAD and isinstance(step.value, Offload)
        } - changes.offloads
        hops = {
            step.value
            for step in steps
            if step.kind is StepKind.MANAGE and isinstance(step.value, NextHop)
        } - changes.managed
        if offloads or hops:
            changes.offloads |= offloads
            changes.managed |= hops
            self._restore.save()

        def undo() -> None:
            changes.offloads -= offloads
            changes.managed -= hops
            self._stale = True

        return undo

    def flush(self) -> None:
        """The file says what there is to put back, and nothing more."""
        if self._stale:
            self._restore.save()
        self._stale = False

    def set_sysctl(self, wanted: Sysctl) -> Undo:
        before, others = sysctl.read(wanted.name), _others(wanted)
        changes = self._restore.changes
        recorded, along = changes.sysctls.get(wanted.name), changes.forwarding
        changes.sysctls[wanted.name] = SysctlChange(wanted.base, wanted.value)
        if others and before != wanted.value:
            changes.forwarding = forwarding.consequences(wanted.value, others)
        self._restore.save()

        def forget() -> None:
            if recorded:
                changes.sysctls[wanted.name] = recorded
            else:
                changes.sysctls.pop(wanted.name, None)
            changes.forwarding = along
            self._restore.save()

        def undo() -> None:
            forwarding.write(wanted.name, before, others)
            forget()

        try:
            forwarding.write(wanted.name, wanted.value, {})
        except GwError:
            forget()
            raise
        return undo

    def restore_sysctl(self, changed: Sysctl) -> Undo:
        others = _others(changed)
        changes = self._restore.changes
        recorded, along = changes.sysctls.get(changed.name), changes.forwarding
        forwarding.write(changed.name, changed.base, forwarding.without_us(along) if others else {})
        changes.sysctls.pop(changed.name, None)
        if others:
            changes.forwarding = {}
        self._restore.save()

        def undo() -> None:
            if recorded:
                changes.sysctls[changed.name] = recorded
                changes.forwarding = along
                self._restore.save()
            forwarding.write(changed.name, changed.value, others)

        return undo

    def switch_off(self, offload: Offload) -> Undo:
        original = replace(offload, on=True)
        if original not in self._restore.changes.offloads:
            self._restore.changes.offloads.add(original)
            self._restore.save()
        try:
            self._switch(offload, False)
        except KernelError as error:
            # It cannot hide anything worse than a tag from XDP: forwarding without is better.
            self.notes.append(error.message)
        return lambda: void(self.restore_offload(original))

    def restore_offload(self, original: Offload) -> Undo:
        try:
            self._switch(original, original.on)
        except KernelError as error:
            # A bridge has features by its ports, and some of them may have left. The kernel knows
            # what it is wished to have; that it has not yet stands in the way of nothing else.
            if error.errno not in (*GONE, errno.EOPNOTSUPP):
                raise
        self._restore.changes.offloads.discard(original)
        self._stale = True
        return lambda: void(self.switch_off(replace(original, on=False)))

    @staticmethod
    def _switch(offload: Offload, on: bool) -> None:
        try:
            same = socket.if_nametoindex(offload.device) == offload.ifindex
        except OSError:
            same = False
        if not same:
            return  # the device is gone, and what bears its name now is another one
        with Ethtool() as tool:
            tool.switch(offload.device, offload.feature, on)

    def manage(self, hop: NextHop) -> Undo:
        if hop not in self._restore.changes.managed:
            self._restore.changes.managed.add(hop)
            self._restore.save()
        try:
            self._netlink.manage(hop)
        except KernelError as error:
            if error.errno not in GONE:
                self._restore.changes.managed.discard(hop)
                self._stale = True
                raise
        return lambda: void(self.forget(hop))

    def forget(self, hop: NextHop) -> Undo:
        self._netlink.unmanage(hop)
        self._restore.changes.managed.discard(hop)
        self._stale = True
        return lambda: void(self.manage(hop))


def _others(setting: Sysctl) -> dict[str, str]:
    """What the kernel will change along with it, as it is."""
    return forwarding.current() if setting.name == IP_FORWARD else {}
