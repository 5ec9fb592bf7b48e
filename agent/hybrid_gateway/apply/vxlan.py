# SPDX-License-Identifier: GPL-2.0-or-later
"""Steps for VXLAN: the mirror of stations, VNIs, and the program on the VXLAN devices."""

from ..bpf import DataPlane
from ..errors import GwError
from ..mirror import Mirror
from ..model import Attachment, Stations, VniEntry
from .record import Record
from .undo import Undo, nothing, void


class VxlanSteps:
    """Each method does one step and returns how to undo it."""

    def __init__(self, dataplane: DataPlane, mirror: Mirror, record: Record) -> None:
        self._dataplane = dataplane
        self._mirror = mirror
        self._record = record

    def mirror(self, stations: Stations) -> Undo:
        before = self._record.written.stations
        self._mirror.follow(stations)
        self._record.write(stations=stations)
        return (lambda: void(self.mirror(before))) if before is not None else self._mirror.stop

    def stop_mirror(self) -> None:
        self._mirror.stop()
        self._record.write(stations=None)

    def mirror_again(self) -> None:
        """Other maps are in force than those that the mirror writes into."""
        stations = self._record.written.stations
        if self._record.written.sizes and stations is not None:
            self._mirror.follow(stations)
        else:
            self._mirror.stop()

    def vnis(self, entries: tuple[VniEntry, ...]) -> Undo:
        before = self._record.written.vnis
        self._record.notes += [
            f"too many VNIs: what comes to {address} port {port} is the kernel's"
            for address, port in self._dataplane.set_vnis(entries)
        ]
        self._record.write(vnis=entries)
        return (lambda: void(self.vnis(before))) if before is not None else nothing

    def attach(self, tunnel: Attachment) -> Undo:
        self._dataplane.carry()
        was = tunnel.ifindex in self._dataplane.tunnels(current=False)
        try:
            self._dataplane.attach_tunnel(tunnel.ifindex, tunnel.name)
        except GwError:
            if not was:  # its mark may be there already
                self._dataplane.detach(tunnel.ifindex, tunnel.name)
            raise
        others = tuple(t for t in self._record.written.tunnels if t.ifindex != tunnel.ifindex)
        self._record.write(tunnels=(*others, tunnel))
        return nothing if was else lambda: void(self.detach(tunnel))

    def detach(self, tunnel: Attachment) -> Undo:
        self._dataplane.detach(tunnel.ifindex, tunnel.name)
        others = tuple(t for t in self._record.written.tunnels if t.ifindex != tunnel.ifindex)
        self._record.write(tunnels=others)

        def undo() -> None:
            if self._record.written.sizes:
                self.attach(tunnel)

        return undo
