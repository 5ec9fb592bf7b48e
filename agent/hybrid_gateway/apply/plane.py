# SPDX-License-Identifier: GPL-2.0-or-later
"""Steps on the data plane and on its stand-in, the nftables table."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..bpf import (
    DEV_BRIDGE,
    DEV_INSIDE,
    DEV_OUTSIDE,
    DEV_PORT,
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
    FallbackTable,
    Filtering,
    Settings,
    Sizes,
    StaticMapping,
    Written,
)
from ..nft import Nft
from .undo import Undo, nothing, void

log = logging.getLogger(__name__)

FILTERING = {
    Filtering.ENDPOINT_INDEPENDENT: 0,
    Filtering.ADDRESS_DEPENDENT: 1,
    Filtering.ADDRESS_AND_PORT_DEPENDENT: 2,
}
"""enum gw_filtering of gw_abi.h."""


class PlaneSteps:
    """Each method does one step and returns how to undo it; `written` is what was done last."""

    def __init__(self, dataplane: DataPlane, nft: Nft, pins: Path) -> None:
        self._dataplane = dataplane
        self._nft = nft
        self._pins = pins
        self.written = Written()
        self.notes: list[str] = []
        self.saved: SavedSessions | None = None
        """Where sessions are kept over a reboot, if they are."""
        self.restoring = False
        """Whether there are saved ones that wait for an outside address."""
        self._marked = False
        """Whether the pins say that nothing is to be restored any more."""

    def _write(self, **what: Any) -> None:
        self.written = replace(self.written, **what)

    # ---- programs and ports -----------------------------------------------------------

    def load(self, sizes: Sizes) -> Undo:
        before = self.written
        found_pins = self._pins.exists()
        try:
            self._dataplane.load(MapSizes(sizes.sessions, sizes.pool))
        except GwError:
            if not found_pins:
                self._dataplane.remove()
            raise
        self.written = Written(sizes=sizes, table=before.table, fingerprint=before.fingerprint)
        self._marked = self._dataplane.restored
        self.restoring = self.saved is not None and self.saved.exists() and not self._marked

        def undo() -> None:
            if self._dataplane.rollback():
                now = self.written
                self.written = replace(before, table=now.table, fingerprint=now.fingerprint)
            elif not found_pins:
                self._dataplane.remove()
                self.written = replace(self.written, sizes=None, attachments=())
            else:
                # The programs of an earlier agent are still attached, and go on forwarding.
                self.written = replace(self.written, sizes=None)

        return undo

    def finish(self) -> None:
        """Everything is done: what was loaded is in force from now on, with its sessions."""
        self.notes += self._dataplane.commit()
        if self.written.sizes and not self.restoring and not self._marked:
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
        others = tuple(a for a in self.written.attachments if a.ifindex != attachment.ifindex)
        self._write(attachments=(*others, attachment))
        return nothing if was else lambda: void(self.detach(attachment))

    def detach(self, attachment: Attachment) -> Undo:
        self._dataplane.detach(attachment.ifindex, attachment.name)
        others = tuple(a for a in self.written.attachments if a.ifindex != attachment.ifindex)
        self._write(attachments=others)

        def undo() -> None:
            if self.written.sizes:
                self.attach(attachment)

        return undo

    # ---- the tables of the data plane -------------------------------------------------

    def settings(self, settings: Settings) -> Undo:
        before, record = self.written.settings, _nat_settings(settings)
        restored = self.restoring and settings.enabled
        if restored:
            # Before anything new is opened, which might take the ports of what is saved.
            self._dataplane.set_settings(replace(record, enabled=False))
            self._restore()
        self._dataplane.set_settings(record)
        self._write(settings=settings)

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
            self.notes += tally.notes(tally.done, "restored")
        except (SavedError, OSError) as error:
            note = f"sessions were not restored: {error}{self._set_aside()}"
            log.warning("%s", note)
            self.notes.append(note)
        self.restoring = False

    def _set_aside(self) -> str:
        assert self.saved
        try:
            self.saved.set_aside()
        except OSError as error:  # a disk that is read-only, for example
            return f"; it stays where it is: {error.strerror}"
        return f"; it is {self.saved.damaged.name} now"

    def addresses(self, addresses: Any) -> Undo:
        before = self.written.addresses
        self._dataplane.set_addresses(addresses)
        self._write(addresses=addresses)
        return (lambda: void(self.addresses(before))) if before is not None else nothing

    def statics(self, statics: tuple[StaticMapping, ...]) -> Undo:
        before = self.written.statics
        self._dataplane.set_statics([_static_record(static) for static in statics])
        self._write(statics=statics)
        return (lambda: void(self.statics(before))) if before is not None else nothing

    def prefixes(self, prefixes: Any) -> Undo:
        before = self.written.prefixes
        self._dataplane.set_inside_prefixes(prefixes)
        self._write(prefixes=prefixes)
        return (lambda: void(self.prefixes(before))) if before is not None else nothing

    def devices(self, devices: tuple[Device, ...]) -> Undo:
        before = self.written.devices
        self._dataplane.set_devices([_device_record(device) for device in devices])
        self._write(devices=devices)
        return (lambda: void(self.devices(before))) if before is not None else nothing

    # ---- nftables ---------------------------------------------------------------------

    def write_table(self, table: FallbackTable) -> Undo:
        before = self.written.table
        # An earlier agent's says the same, most likely; without one the kernel translates nothing.
        of_another = not before and bool(self._nft.fingerprint())
        self._write(table=table, fingerprint=self._nft.write(table))

        def undo() -> None:
            if before:
                self.write_table(before)
            elif of_another:
                self._write(table=None, fingerprint="")
            else:
                self.remove_table(None)

        return undo

    def remove_table(self, _: None) -> Undo:
        before = self.written.table
        self._nft.remove()
        self._write(table=None, fingerprint="")
        return (lambda: void(self.write_table(before))) if before else nothing


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
    )


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
    )
    return DeviceRecord(
        device.ifindex, flags, device.l3_ifindex, device.mac, device.name, device.address
    )
