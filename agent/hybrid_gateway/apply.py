# SPDX-License-Identifier: GPL-2.0-or-later
"""Does the steps of a plan, in order, and undoes them in reverse when one fails.

What has to be put back one day is on disk before it is changed.
"""

import logging
import socket
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from . import sysctl
from .bpf import (
    DEV_BRIDGE,
    DEV_INSIDE,
    DEV_OUTSIDE,
    DEV_PORT,
    DataPlane,
    DeviceRecord,
    MapSizes,
    NatSettings,
    StaticRecord,
)
from .devices import Ethtool
from .errors import GwError, KernelError
from .model import (
    Attachment,
    Device,
    FallbackTable,
    Filtering,
    NextHop,
    Offload,
    Settings,
    Sizes,
    StaticMapping,
    Step,
    StepKind,
    Sysctl,
    Written,
)
from .netlink import GONE, Netlink
from .nft import Nft
from .restore import RestoreFile, SysctlChange

log = logging.getLogger(__name__)

Undo = Callable[[], None]

FILTERING = {
    Filtering.ENDPOINT_INDEPENDENT: 0,
    Filtering.ADDRESS_DEPENDENT: 1,
    Filtering.ADDRESS_AND_PORT_DEPENDENT: 2,
}
"""enum gw_filtering of gw_abi.h."""


def nothing() -> None:
    """The undoing of what needs none."""


class Executor:
    """The one place that changes the system; `written` is what it wrote last."""

    def __init__(
        self, dataplane: DataPlane, netlink: Netlink, nft: Nft, restore: RestoreFile, pins: Path
    ) -> None:
        self._pins = pins
        self._dataplane = dataplane
        self._netlink = netlink
        self._nft = nft
        self._restore = restore
        self.written = Written()
        self.notes: list[str] = []
        """What the owner should know about the steps that were done."""
        self._actions: dict[StepKind, Callable[[Any], Undo]] = {
            StepKind.DETACH: self._detach,
            StepKind.FORGET: self._forget,
            StepKind.RESTORE_OFFLOAD: self._restore_offload,
            StepKind.RESTORE_SYSCTL: self._restore_sysctl,
            StepKind.REMOVE_TABLE: self._remove_table,
            StepKind.LOAD: self._load,
            StepKind.SYSCTL: self._set_sysctl,
            StepKind.TABLE: self._write_table,
            StepKind.OFFLOAD: self._switch_off,
            StepKind.SETTINGS: self._settings,
            StepKind.ADDRESSES: self._addresses,
            StepKind.STATICS: self._statics,
            StepKind.PREFIXES: self._prefixes,
            StepKind.DEVICES: self._devices,
            StepKind.ATTACH: self._attach,
            StepKind.MANAGE: self._manage,
        }

    def run(self, steps: Sequence[Step]) -> None:
        """All of them or none; raises the error of the step that failed, which it names."""
        self.notes = []
        done: list[tuple[Step, Undo]] = []
        for step in steps:
            try:
                done.append((step, self._actions[step.kind](step.value)))
            except BaseException as error:  # whatever it was, half a plan must not stay
                self._unwind(done)
                if isinstance(error, GwError):
                    error.message = f"{step.kind.value} {step.subject}: {error.message}"
                raise

    def reset(self) -> None:
        """Nothing of what was written is there any more."""
        self.written = Written()

    def _unwind(self, done: list[tuple[Step, Undo]]) -> None:
        for step, undo in reversed(done):
            try:
                undo()
            except GwError as error:
                log.error("undoing %s %s: %s", step.kind.value, step.subject, error)

    def _write(self, **what: Any) -> None:
        self.written = replace(self.written, **what)

    # ---- programs and ports -----------------------------------------------------------

    def _load(self, sizes: Sizes) -> Undo:
        before = self.written
        found_pins = self._pins.exists()
        try:
            report = self._dataplane.load(MapSizes(sizes.sessions, sizes.pool))
        except GwError:
            if not found_pins:
                self._dataplane.remove()
            raise
        if found_pins and not report.reused:
            self.notes.append(f"sessions were dropped: {report.reason}")
        self.written = Written(sizes=sizes, table=before.table, fingerprint=before.fingerprint)

        def undo() -> None:
            if before.sizes:
                self._reload(before)
            elif not found_pins:
                self._dataplane.remove()
                self.written = replace(self.written, sizes=None, attachments=())
            else:
                # The programs of an earlier agent are still attached, and go on forwarding.
                self.written = replace(self.written, sizes=None)

        return undo

    def _reload(self, before: Written) -> None:
        """Back to other map sizes: their sessions are lost, forwarding is not."""
        assert before.sizes
        self._dataplane.load(MapSizes(before.sizes.sessions, before.sizes.pool))
        self._write(sizes=before.sizes)
        rewrites: tuple[tuple[Callable[[Any], Undo], Any], ...] = (
            (self._addresses, before.addresses),
            (self._statics, before.statics),
            (self._prefixes, before.prefixes),
            (self._devices, before.devices),
            (self._settings, before.settings),
        )
        for action, value in rewrites:
            if value is not None:
                action(value)
        for attachment in before.attachments:
            self._attach(attachment)

    def _attach(self, attachment: Attachment) -> Undo:
        was = attachment.ifindex in self._dataplane.attached()
        mode = self._dataplane.attach(attachment.ifindex, attachment.name, attachment.outside)
        if mode != "native":
            self.notes.append(f"{attachment.name} runs XDP in {mode} mode: its driver has no other")
        others = tuple(a for a in self.written.attachments if a.ifindex != attachment.ifindex)
        self._write(attachments=(*others, attachment))
        return nothing if was else lambda: void(self._detach(attachment))

    def _detach(self, attachment: Attachment) -> Undo:
        self._dataplane.detach(attachment.ifindex, attachment.name)
        others = tuple(a for a in self.written.attachments if a.ifindex != attachment.ifindex)
        self._write(attachments=others)

        def undo() -> None:
            if self.written.sizes:
                self._attach(attachment)

        return undo

    # ---- the tables of the data plane -------------------------------------------------

    def _settings(self, settings: Settings) -> Undo:
        before = self.written.settings
        self._dataplane.set_settings(_nat_settings(settings))
        self._write(settings=settings)
        return (lambda: void(self._settings(before))) if before else nothing

    def _addresses(self, addresses: Any) -> Undo:
        before = self.written.addresses
        self._dataplane.set_addresses(addresses)
        self._write(addresses=addresses)
        return (lambda: void(self._addresses(before))) if before is not None else nothing

    def _statics(self, statics: tuple[StaticMapping, ...]) -> Undo:
        before = self.written.statics
        self._dataplane.set_statics(
            [
                StaticRecord(s.protocol, s.outside, s.outside_port, s.inside, s.inside_port)
                for s in statics
            ]
        )
        self._write(statics=statics)
        return (lambda: void(self._statics(before))) if before is not None else nothing

    def _prefixes(self, prefixes: Any) -> Undo:
        before = self.written.prefixes
        self._dataplane.set_inside_prefixes(prefixes)
        self._write(prefixes=prefixes)
        return (lambda: void(self._prefixes(before))) if before is not None else nothing

    def _devices(self, devices: tuple[Device, ...]) -> Undo:
        before = self.written.devices
        self._dataplane.set_devices([_device_record(device) for device in devices])
        self._write(devices=devices)
        return (lambda: void(self._devices(before))) if before is not None else nothing

    # ---- the host ---------------------------------------------------------------------

    def _set_sysctl(self, wanted: Sysctl) -> Undo:
        before = sysctl.read(wanted.name)
        changes = self._restore.changes.sysctls
        recorded = changes.get(wanted.name)
        changes[wanted.name] = SysctlChange(wanted.base, wanted.value)
        self._restore.save()
        sysctl.write(wanted.name, wanted.value)

        def undo() -> None:
            sysctl.write(wanted.name, before)
            if recorded:
                changes[wanted.name] = recorded
            else:
                changes.pop(wanted.name, None)
            self._restore.save()

        return undo

    def _restore_sysctl(self, changed: Sysctl) -> Undo:
        recorded = self._restore.changes.sysctls.get(changed.name)
        sysctl.write(changed.name, changed.base)
        self._restore.changes.sysctls.pop(changed.name, None)
        self._restore.save()

        def undo() -> None:
            if recorded:
                self._restore.changes.sysctls[changed.name] = recorded
                self._restore.save()
            sysctl.write(changed.name, changed.value)

        return undo

    def _write_table(self, table: FallbackTable) -> Undo:
        before = self.written.table
        self._write(table=table, fingerprint=self._nft.write(table))

        def undo() -> None:
            if before:
                self._write_table(before)
            else:
                self._remove_table(None)

        return undo

    def _remove_table(self, _: None) -> Undo:
        before = self.written.table
        self._nft.remove()
        self._write(table=None, fingerprint="")
        return (lambda: void(self._write_table(before))) if before else nothing

    def _switch_off(self, offload: Offload) -> Undo:
        original = replace(offload, on=True)
        self._restore.changes.offloads.add(original)
        self._restore.save()
        try:
            self._switch(offload, False)
        except KernelError as error:
            # It cannot hide anything worse than a tag from XDP: forwarding without is better.
            self.notes.append(error.message)
        return lambda: void(self._restore_offload(original))

    def _restore_offload(self, original: Offload) -> Undo:
        try:
            self._switch(original, original.on)
        except KernelError as error:
            if error.errno not in GONE:
                raise
        self._restore.changes.offloads.discard(original)
        self._restore.save()
        return lambda: void(self._switch_off(replace(original, on=False)))

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

    def _manage(self, hop: NextHop) -> Undo:
        self._restore.changes.managed.add(hop)
        self._restore.save()
        try:
            self._netlink.manage(hop)
        except KernelError as error:
            if error.errno not in GONE:
                raise
        return lambda: void(self._forget(hop))

    def _forget(self, hop: NextHop) -> Undo:
        self._netlink.unmanage(hop)
        self._restore.changes.managed.discard(hop)
        self._restore.save()
        return lambda: void(self._manage(hop))


def void(_: object) -> None:
    """An undoing has none of its own."""


def _nat_settings(settings: Settings) -> NatSettings:
    timeouts = settings.timeouts
    return NatSettings(
        enabled=settings.enabled,
        addresses=settings.addresses,
        ports=(settings.ports.low, settings.ports.high),
        filtering=FILTERING[settings.filtering],
        udp=timeouts.udp,
        icmp=timeouts.icmp,
        tcp_transitory=timeouts.tcp_transitory,
        tcp_established=timeouts.tcp_established,
        port_rest=timeouts.port_rest,
        host_sessions=settings.per_host.sessions,
        host_ports=settings.per_host.ports,
    )


def _device_record(device: Device) -> DeviceRecord:
    flags = (
        device.port * DEV_PORT
        | device.inside * DEV_INSIDE
        | device.outside * DEV_OUTSIDE
        | device.bridge * DEV_BRIDGE
    )
    return DeviceRecord(device.ifindex, flags, device.l3_ifindex, device.mac, device.name)
