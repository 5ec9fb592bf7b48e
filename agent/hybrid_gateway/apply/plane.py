# SPDX-License-Identifier: GPL-2.0-or-later
"""Steps on the data plane."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..bpf import (
    DEV_BRIDGE,
    DEV_BRIDGED,
    DEV_INSIDE,
    DEV_OUTSIDE,
    DEV_PORT,
    DEV_TUNNEL,
    DEV_UNDERLAY,
    DEV_WORKER,
    VXLAN_ANY_PATH,
    VXLAN_ON,
    BackendRecord,
    DataPlane,
    DeviceRecord,
    MapSizes,
    NatSettings,
    SavedError,
    SavedSessions,
    StaticRecord,
)
from ..errors import GwError
from ..model import (
    Attachment,
    Device,
    Filtering,
    Settings,
    Sizes,
    StaticMapping,
    Written,
)
from .record import Record
from .undo import Undo, nothing, void

log = logging.getLogger(__name__)

FILTERING = {
    Filtering.ENDPOINT_INDEPENDENT: 0,
    Filtering.ADDRESS_DEPENDENT: 1,
    Filtering.ADDRESS_AND_PORT_DEPENDENT: 2,
}
"""enum gw_filtering of gw_abi.h."""


class PlaneSteps:
    """Each method does one step and returns how to undo it."""

    def __init__(self, dataplane: DataPlane, pins: Path, record: Record) -> None:
        self._dataplane = dataplane
        self._pins = pins
        self._record = record
        self.saved: SavedSessions | None = None
        """Where sessions are kept over a reboot, if they are."""
        self.restoring = False
        """Whether there are saved ones that wait for an outside address."""
        self._marked = False
        """Whether the pins say that nothing is to be restored any more."""

    # ---- programs and ports -----------------------------------------------------------

    def load(self, sizes: Sizes) -> Undo:
        before = self._record.written
        found_pins = self._pins.exists()
        try:
            self._dataplane.load(MapSizes(sizes.sessions, sizes.pool))
        except GwError:
            if not found_pins:
                self._dataplane.remove()
            raise
        self._record.written = Written(
            sizes=sizes, table=before.table, fingerprint=before.fingerprint
        )
        self._marked = self._dataplane.restored
        self.restoring = self.saved is not None and self.saved.exists() and not self._marked

        def undo() -> None:
            if self._dataplane.rollback():
                now = self._record.written
                self._record.written = replace(before, table=now.table, fingerprint=now.fingerprint)
            elif not found_pins:
                self._dataplane.remove()
                self._record.written = replace(self._record.written, sizes=None, attachments=())
            else:
                # The programs of an earlier agent are still attached, and go on forwarding.
                self._record.written = replace(self._record.written, sizes=None)

        return undo

    def finish(self) -> None:
        """Everything is done: what was loaded is in force from now on, with its sessions."""
        self._record.notes += self._dataplane.commit()
        if self._record.written.sizes and not self.restoring and not self._marked:
            self._dataplane.mark_restored()
            self._marked = True

    def attach(self, attachment: Attachment) -> Undo:
        self._dataplane.carry()
        was = attachment.ifindex in self._dataplane.attached()
        try:
            self._dataplane.attach(attachment.ifindex, attachment.name, attachment.outside)
        except GwError:
            if not was:  # its TC programs may be there already
                self._dataplane.detach(attachment.ifindex, attachment.name)
            raise
        others = tuple(
            a for a in self._record.written.attachments if a.ifindex != attachment.ifindex
        )
        self._record.write(attachments=(*others, attachment))
        return nothing if was else lambda: void(self.detach(attachment))

    def detach(self, attachment: Attachment) -> Undo:
        self._dataplane.detach(attachment.ifindex, attachment.name)
        others = tuple(
            a for a in self._record.written.attachments if a.ifindex != attachment.ifindex
        )
        self._record.write(attachments=others)

        def undo() -> None:
            if self._record.written.sizes:
                self.attach(attachment)

        return undo

    # ---- the tables of the data plane -------------------------------------------------

    def settings(self, settings: Settings) -> Undo:
        before, record = self._record.written.settings, _nat_settings(settings)
        restored = self.restoring and settings.enabled
        if restored:
            # Before anything new is opened, which might take the ports of what is saved.
            self._dataplane.set_settings(replace(record, enabled=False))
            self._restore()
        self._dataplane.set_settings(record)
        self._record.write(settings=settings)

        def undo() -> None:
            if before:
                self.settings(before)
                # They went with their address; what is on disk is still all of them.
                self.restoring = restored and bool(self.saved and self.saved.exists())

        return undo

    def _restore(self) -> None:
        """A file that is of no use is put aside, and the start goes on."""
        assert self.saved
        try:
            tally = self._dataplane.restore(self.saved.blocks())
            self._record.notes += tally.notes(tally.done, "restored")
        except (SavedError, OSError) as error:
            note = f"sessions were not restored: {error}{self._set_aside()}"
            log.warning("%s", note)
            self._record.notes.append(note)
        self.restoring = False

    def _set_aside(self) -> str:
        assert self.saved
        try:
            self.saved.set_aside()
        except OSError as error:  # a disk that is read-only, for example
            return f"; it stays where it is: {error.strerror}"
        return f"; it is {self.saved.damaged.name} now"

    def addresses(self, addresses: Any) -> Undo:
        before = self._record.written.addresses
        self._dataplane.set_addresses(addresses)
        self._record.write(addresses=addresses)
        return (lambda: void(self.addresses(before))) if before is not None else nothing

    def statics(self, statics: tuple[StaticMapping, ...]) -> Undo:
        before = self._record.written.statics
        self._dataplane.set_statics([_static_record(static) for static in statics])
        self._record.write(statics=statics)
        return (lambda: void(self.statics(before))) if before is not None else nothing

    def prefixes(self, prefixes: Any) -> Undo:
        before = self._record.written.prefixes
        self._dataplane.set_inside_prefixes(prefixes)
        self._record.write(prefixes=prefixes)
        return (lambda: void(self.prefixes(before))) if before is not None else nothing

    def devices(self, devices: tuple[Device, ...]) -> Undo:
        before = self._record.written.devices
        self._dataplane.set_devices([_device_record(device) for device in devices])
        self._record.write(devices=devices)
        return (lambda: void(self.devices(before))) if before is not None else nothing


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
        mss=settings.mss,
        log=settings.log,
        vxlan=_vxlan_flags(settings),
        vxlan_ports=settings.vxlan_ports,
    )


def _vxlan_flags(settings: Settings) -> int:
    if not settings.vxlan_ports:
        return 0
    return VXLAN_ON | settings.any_path * VXLAN_ANY_PATH


def _static_record(static: StaticMapping) -> StaticRecord:
    return StaticRecord(
        static.protocol,
        static.outside,
        static.outside_port,
        static.inside,
        static.inside_port,
        static.ports,
        tuple(BackendRecord(b.address, b.port, b.weight) for b in static.backends),
        static.host,
    )


def _device_record(device: Device) -> DeviceRecord:
    flags = (
        device.port * DEV_PORT
        | device.inside * DEV_INSIDE
        | device.outside * DEV_OUTSIDE
        | device.bridge * DEV_BRIDGE
        | device.bridged * DEV_BRIDGED
        | device.underlay * DEV_UNDERLAY
        | device.tunnel * DEV_TUNNEL
        | device.worker * DEV_WORKER
    )
    return DeviceRecord(
        device.ifindex,
        flags,
        device.l3_ifindex,
        device.mac,
        device.name,
        device.address,
        device.vlan,
    )
