# SPDX-License-Identifier: GPL-2.0-or-later
"""EVPN's side of the kernel: what is there on this side, and what is written of the others.

What was put stays wanted until it is deleted: when a device is made anew, or somebody flushes an
FDB, it is put again. What somebody changed is left as it is, for a station that is learned on this
side takes the place of a remote one in just that way.
"""

import contextlib
import errno
import logging
import os
import select
from collections.abc import Iterable
from ipaddress import ip_network
from pathlib import Path

from ..model import Segment
from ..rtnl import Rtnl
from .entries import (
    ROUTE_PROTOCOL,
    Binding,
    EntryRefused,
    FloodEntry,
    KernelEntry,
    KernelNews,
    PrefixEntry,
    RemoteMac,
)
from .kernel_batch import Batch
from .kernel_local import LocalFacts
from .kernel_places import Places
from .kernel_record import FloodRecord, ours
from .kernel_routes import our_routes
from .kernel_socket import Fact, FactFlag, FactKind, KernelSocket, SocketStatus
from .kernel_ways import Ways
from .leftovers import sweep

log = logging.getLogger(__name__)

Key = tuple[str, int, object]
WAITING = (errno.ENETDOWN, errno.ENODEV)


class EvpnKernel:
    """Lives in the namespace that it was made in; for one thread."""

    def __init__(self, record: Path | None = None) -> None:
        """`record`: where it is kept which members of flood lists are ours, under /run."""
        self._rtnl = Rtnl()
        self._socket = KernelSocket(ROUTE_PROTOCOL)
        self._record = FloodRecord(record)
        self._places = Places()
        self._ways = Ways()
        self._wanted: dict[Key, KernelEntry] = {}
        self._failed: dict[Key, int] = {}
        """By errno."""
        self._local = LocalFacts()
        self.floods: set[FloodEntry] = set()
        """That the kernel has, whoever put them there."""
        self._links: dict[int, bool] = {}
        self._missing: dict[Key, None] = {}
        self._own: list[Key] = []
        """Of bindings, perhaps: addresses that bridges have got."""
        self._fresh = False
        """`follow` was called since the last read."""
        self.status: SocketStatus | None = None
        self._ready = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._poll = select.epoll()
        self._poll.register(self._socket.fileno(), select.EPOLLIN)
        self._poll.register(self._ready, select.EPOLLIN)

    def fileno(self) -> int:
        """Readable while there is something to read."""
        return self._poll.fileno()

    def close(self) -> None:
        """What was written stays."""
        self._poll.close()
        os.close(self._ready)
        self._socket.close()
        self._rtnl.close()

    # ---- what is there ----------------------------------------------------------------

    def follow(self, segments: Iterable[Segment]) -> None:
        """These from now on. What is wanted for a VNI that is elsewhere goes there, for one that
        is not among them any more it is taken out, also what an agent before this one wrote; the
        next `read` tells what changed."""
        before, places = self._places, Places(segments)
        if self.status is None:
            sweep(self._record, places.segments.values())
        left, moved = set(places.moved(before)), set(before.moved(places))
        there = [entry for entry in self._wanted.values() if entry.vni in left]
        batch = self._batch(before)
        for entry in there:
            batch.delete(entry)
        batch.commit()
        self._record.follow(places.segments.values())
        self._record.save()
        self._places = places
        self._failed |= {entry.key: errno.ENODEV for entry in there}
        if left or moved:
            self._socket.follow(places.bridges, places.tunnels)
            self.floods.clear()
            self._local.forget_vnis(moved & before.segments.keys())
            self._missing |= {k: None for k, e in self._wanted.items() if e.vni in moved}
            for fact in self._socket.known():
                self._take(fact)
        self._fresh = True
        os.eventfd_write(self._ready, 1)

    def read(self) -> KernelNews:
        """What changed, and whether that is all. KernelError: it is not, call again."""
        self._clear()
        self._note(self._socket.read())
        for fact in self._socket.take():
            self._take(fact)
        self._make_way()
        refused = self._put_back()
        synced, self._fresh = self._fresh, False
        return KernelNews(self._local.changes(), synced, tuple(refused))

    def _note(self, status: SocketStatus) -> None:
        before, self.status = self.status, status
        if before and status.lost != before.lost:
            log.warning("the kernel dropped events about stations: they are read again")
            # It may have been about routes, which no dump looks at.
            self._missing |= {key: None for key, _ in self._prefixes()}
        if status.refused and not (before and before.refused):
            log.warning(
                "no room for %d stations or neighbours: EVPN does not know them", status.refused
            )

    def _put_back(self) -> list[EntryRefused]:
        """What is missing. Returns the news of what is refused, without what waits for its device,
        for it is put again when that comes."""
        missing = [entry for key in self._missing if (entry := self._wanted.get(key))]
        before = {entry.key: self._failed.get(entry.key) for entry in missing}
        self._missing.clear()
        return [
            one
            for one in self._put(missing)
            if one.errno not in WAITING and one.errno != before[one.entry.key]
        ]

    def _make_way(self) -> None:
        """Takes out bindings whose address has become the bridge's own."""
        found = [self._wanted[key] for key in self._own if key in self._wanted]
        self._own.clear()
        if not found:
            return
        batch = self._batch(self._places)
        for entry in found:
            batch.delete(entry)
        self._commit(batch)
        self._failed |= {entry.key: errno.EEXIST for entry in found}

    def found(self) -> frozenset[KernelEntry]:
        """Entries of ours that the kernel has from before, and that nobody has put since, as far
        as is needed to delete them: not whether they are sticky, say."""
        found: set[KernelEntry] = set()
        for fact in self._socket.known():
            # Of a bridge with several VNIs, a neighbour is each one's: it is deleted once.
            entries = [
                one for vni in self._places.vnis(fact) if (one := ours(fact, vni, self._record))
            ]
            if entries and not any(map(self._is_needed, entries)):
                found.add(entries[0])
        found |= {e for e in our_routes(self._rtnl, self._places) if e.key not in self._wanted}
        return frozenset(found)

    def _clear(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._ready)

    # ---- facts ------------------------------------------------------------------------

    def _take(self, fact: Fact) -> None:
        if fact.kind == FactKind.LINK:
            self._take_link(fact)
            return
        if fact.kind == FactKind.ROUTE and fact.address:
            self._lost(("prefix", fact.vni, ip_network((fact.address, fact.vlan))))
            return
        self._local.take(fact, self._places)
        for vni in self._places.vnis(fact):
            if fact.kind == FactKind.ADDRESS and not fact.gone:
                self._own.append(("binding", vni, fact.address))
            if fact.kind == FactKind.FLOOD or fact.gone:
                self._take_entry(fact, vni)

    def _take_entry(self, fact: Fact, vni: int) -> None:
        if fact.kind in (FactKind.STATION, FactKind.ENTRY):
            self._lost(("mac", vni, fact.mac))
        elif fact.kind in (FactKind.NEIGHBOUR, FactKind.ADDRESS):
            self._lost(("binding", vni, fact.address))
        elif fact.address:
            self._take_flood(FloodEntry(vni, fact.address), fact.gone)

    def _take_flood(self, entry: FloodEntry, gone: bool) -> None:
        if gone:
            self.floods.discard(entry)
            self._lost(entry.key)
        else:
            self.floods.add(entry)

    def _take_link(self, fact: Fact) -> None:
        """With a link that goes down, the kernel drops routes and does not tell."""
        up = bool(fact.flags & FactFlag.UP) and not fact.gone
        if up and not self._links.get(fact.ifindex, False):
            vnis = self._places.of_device(fact.ifindex)
            self._missing |= {k: None for k, e in self._prefixes() if e.vni in vnis}
        self._links[fact.ifindex] = up
        if fact.gone:
            del self._links[fact.ifindex]

    def _lost(self, key: Key) -> None:
        """Something is gone that may be wanted, by itself or as a way."""
        kind, vni, what = key
        if key in self._wanted:
            self._missing[key] = None
        elif (kind == "mac" and self._ways.has_mac(vni, what)) or (
            kind == "binding" and self._ways.has_address(vni, what)
        ):
            self._missing |= {k: None for k, e in self._prefixes() if e.vni == vni}

    def _prefixes(self) -> list[tuple[Key, PrefixEntry]]:
        return [(k, e) for k, e in self._wanted.items() if isinstance(e, PrefixEntry)]

    # ---- what is ours -----------------------------------------------------------------

    def _is_needed(self, entry: KernelEntry) -> bool:
        if isinstance(entry, RemoteMac) and self._ways.has_mac(entry.vni, entry.mac):
            return True
        if isinstance(entry, Binding) and self._ways.has_address(entry.vni, entry.address):
            return True
        return entry.key in self._wanted

    # ---- writing ----------------------------------------------------------------------

    def put(self, entries: Iterable[KernelEntry]) -> list[EntryRefused]:
        """In that order; what is there already as it is wanted costs nothing. EEXIST: something
        that the owner made to stay, or an address of the host's, is in the way. What is refused
        stays wanted. A station that was told of is forgotten when it is put as a remote one: it
        is told of again if it is heard on this side."""
        fresh = {entry.key: entry for entry in entries}
        return self._put(
            entry
            for key, entry in fresh.items()
            if self._wanted.get(key) != entry or key in self._failed or self._is_here(entry)
        )

    def _is_here(self, entry: KernelEntry) -> bool:
        return isinstance(entry, RemoteMac) and self._local.has(entry, self._places)

    def delete(self, entries: Iterable[KernelEntry]) -> list[EntryRefused]:
        """By their keys; what is not there is no error."""
        batch = self._batch(self._places)
        for entry in entries:
            batch.delete(entry)
            self._wanted.pop(entry.key, None)
            self._failed.pop(entry.key, None)
        return self._commit(batch)

    def _put(self, entries: Iterable[KernelEntry]) -> list[EntryRefused]:
        batch = self._batch(self._places)
        for entry in entries:
            batch.put(entry)
            self._wanted[entry.key] = entry
            self._failed.pop(entry.key, None)
            if isinstance(entry, RemoteMac):
                self._local.forget(entry, self._places)
        return self._commit(batch)

    def _batch(self, places: Places) -> Batch:
        return Batch(
            self._socket, self._record, places, self._ways, self._wanted, self._failed, self.floods
        )

    def _commit(self, batch: Batch) -> list[EntryRefused]:
        refused = batch.commit()
        self._failed |= {r.entry.key: r.errno for r in refused if not r.deleting}
        if batch.writes:
            # What the kernel said meanwhile was taken in with the writing.
            os.eventfd_write(self._ready, 1)
        return refused
