# SPDX-License-Identifier: GPL-2.0-or-later
"""Changes of the kernel that are made together."""

import errno
from collections.abc import Iterable, Mapping, Set

from ..model import IPAddress
from .entries import Binding, EntryRefused, FloodEntry, KernelEntry, PrefixEntry, RemoteMac
from .kernel_places import Places
from .kernel_record import FloodRecord
from .kernel_socket import KernelSocket, Write
from .kernel_ways import WayChange, Ways, place_of
from .kernel_writes import delete_route, write_binding, write_flood, write_mac, write_route
from .remote import station_address

Key = tuple[str, int, object]


def _is_no_station(entry: KernelEntry) -> bool:
    """Whose MAC address is a group's, or zero: a bridge would take it."""
    if isinstance(entry, FloodEntry):
        return False
    if isinstance(entry, PrefixEntry):
        return not all(station_address(one.router_mac) for one in entry.ways)
    return not station_address(entry.mac)


def _vteps(entry: KernelEntry) -> list[IPAddress]:
    if isinstance(entry, Binding):
        return []
    return [one.vtep for one in entry.ways] if isinstance(entry, PrefixEntry) else [entry.vtep]


class Batch:
    """Collects writes; what they are for is told when they fail."""

    def __init__(
        self,
        kernel: KernelSocket,
        record: FloodRecord,
        places: Places,
        ways: Ways,
        wanted: Mapping[Key, KernelEntry],
        failed: Mapping[Key, int],
        floods: Set[FloodEntry],
    ) -> None:
        """`wanted` and `failed` as they are before; `floods`: what the kernel has of them."""
        self._kernel, self._record = kernel, record
        self._places, self._ways = places, ways
        self._wanted, self._failed, self._floods = wanted, failed, floods
        self.writes: list[Write] = []
        self._owners: list[KernelEntry] = []
        self._refused: list[EntryRefused] = []
        self._forgotten: list[FloodEntry] = []

    def _add(self, entry: KernelEntry, write: Write) -> None:
        self._owners.append(entry)
        self.writes.append(write)

    # ---- putting ----------------------------------------------------------------------

    def put(self, entry: KernelEntry) -> None:
        segment = self._places.segments.get(entry.vni)
        if segment is None:
            self._refused.append(EntryRefused(entry, errno.ENODEV))
        elif _is_no_station(entry):
            self._refused.append(EntryRefused(entry, errno.EINVAL))
        elif not all(vtep.version == segment.family for vtep in _vteps(entry)):
            self._refused.append(EntryRefused(entry, errno.EAFNOSUPPORT))
        elif isinstance(entry, RemoteMac):
            self._add(entry, write_mac(segment, entry))
        elif isinstance(entry, Binding):
            # Of a bridge that filters VLANs, the kernel asks the neighbours of other devices.
            if not segment.vlan:
                self._add(entry, write_binding(segment, entry))
        elif isinstance(entry, PrefixEntry):
            self._put_prefix(entry)
        elif entry in self._record or entry not in self._floods:
            self._record.add(entry)
            self._add(entry, write_flood(segment, entry))

    def _put_prefix(self, entry: PrefixEntry) -> None:
        segment = self._places.segments[entry.vni]
        before = self._wanted.get(entry.key)
        if segment.vlan:
            self._refused.append(EntryRefused(entry, errno.EOPNOTSUPP))
            return
        for way in entry.ways:
            self._change_way(entry, self._ways.take(way))
        self._add(entry, write_route(segment, entry))
        if isinstance(before, PrefixEntry):
            kept = {place_of(way) for way in entry.ways}
            self._release(way for way in before.ways if place_of(way) not in kept)

    def _release(self, ways: Iterable[PrefixEntry]) -> None:
        for way in ways:
            self._change_way(way, self._ways.release(way))

    def _change_way(self, entry: PrefixEntry, change: WayChange) -> None:
        segment = self._places.segments.get(entry.vni)
        if segment is None:
            return
        for part in change.put:
            if isinstance(part, Binding):
                self._add(entry, write_binding(segment, part))
            else:
                self._add(entry, write_mac(segment, part))
        for part in change.delete:
            if part.key in self._wanted:
                continue
            if isinstance(part, Binding):
                self._add(entry, write_binding(segment, part, delete=True))
            else:
                self._add(entry, write_mac(segment, part, delete=True))

    # ---- deleting ---------------------------------------------------------------------

    def delete(self, entry: KernelEntry) -> None:
        """What could not be put because something of the owner's is there stays untouched."""
        segment = self._places.segments.get(entry.vni)
        if isinstance(entry, PrefixEntry):
            self._delete_prefix(entry)
        elif segment is None or self._failed.get(entry.key) == errno.EEXIST:
            return
        elif isinstance(entry, RemoteMac):
            if not self._ways.has_mac(entry.vni, entry.mac):
                self._add(entry, write_mac(segment, entry, delete=True))
        elif isinstance(entry, Binding):
            if not segment.vlan and not self._ways.has_address(entry.vni, entry.address):
                self._add(entry, write_binding(segment, entry, delete=True))
        elif entry in self._record:
            self._forgotten.append(entry)
            self._add(entry, write_flood(segment, entry, delete=True))

    def _delete_prefix(self, entry: PrefixEntry) -> None:
        self._add(entry, delete_route(entry))
        before = self._wanted.get(entry.key)
        if isinstance(before, PrefixEntry):
            self._release(before.ways)

    # ---- doing it ---------------------------------------------------------------------

    def commit(self) -> list[EntryRefused]:
        """One refusal for an entry, the first."""
        self._record.save()
        refused = {(r.entry.key, r.deleting): r for r in self._refused}
        for place, error in self._kernel.write(self.writes).items():
            entry, deleting = self._owners[place], self.writes[place].delete
            refused.setdefault((entry.key, deleting), EntryRefused(entry, error, deleting))
        for entry in self._forgotten:
            self._record.discard(entry)
        self._record.save()
        return list(refused.values())
