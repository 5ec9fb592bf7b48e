# SPDX-License-Identifier: GPL-2.0-or-later
"""Takes ports from the kernel for the DPDK worker, and gives them back.

In a port's place the kernel gets a TAP with its name, MAC address and all that was configured on
it. What was taken is in the record before anything is changed, so that it can be given back from
there by anybody, also when whoever took it was killed halfway: see handback.py.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import DeviceError, GwError
from ..model import IPAddress, Port
from ..rtnl import Rtnl
from . import messages, networkd, routing, tap, wire
from .capture import capture, link_named, links
from .pci import SYSFS, USERS, Pci
from .prepare import Preparation
from .record import Contents, Entry, Kind, Record, Stage
from .restore_state import Restorer
from .returned import netdev_of
from .state import DeviceState

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Taken:
    """A port that the worker can have."""

    port: str
    tap: str
    eal: str
    """A PCI address, or a vdev string with the name of the wire."""
    mac: str
    kind: str
    """pci, wire or virtual."""
    iova_pa: bool
    """EAL has to use physical addresses."""
    source: str = ""
    """What the port of the configuration says which device it is: Port.where."""


class Handover:
    """Blocking, of the network namespace of the calling thread; may be used by several processes.

    Every method raises DeviceError when the record is not one.
    """

    def __init__(self, record: Path, sysfs: Path = SYSFS) -> None:
        self._record = Record(record)
        self._sysfs = sysfs

    def check(
        self,
        port: Port,
        *,
        force: bool = False,
        sessions: Iterable[IPAddress] = (),
        beside: Iterable[Port] = (),
    ) -> None:
        """DeviceError when the port cannot be taken; RefusedError when it should not, for the
        caller's SSH session comes by it (from one of `sessions`) or the last default route leaves
        by it; not with `force`. A default route by a port that is taken, or by one of those that
        go with it (`beside`), is no other way. Nothing to say of a port that is taken already."""
        entry = self._record.load().entries.get(port.name)
        if entry is None or entry.source != port.where:
            with _Netlink() as rtnl:
                preparation = self._preparation(rtnl)
                preparation.check(port)
                if not force:
                    preparation.refuse_last_way(port, sessions, beside)

    def planned(self, port: Port) -> Taken:
        """What `take` would give, or has given; DeviceError when that cannot be said."""
        entry = self._record.load().entries.get(port.name)
        if entry is not None and entry.source == port.where:
            return _taken(entry)
        with _Netlink() as rtnl:
            return _taken(self._preparation(rtnl).planned(port))

    def take(self, port: Port) -> Taken:
        """The TAP is there, configured and in the admin state of the device before it.

        Of a port that is taken already, what it is; one that was taken by halves is given back
        first, as is one that was taken of another device. What stays changed after an error is
        said, and in the record.
        """
        with self._record.locked() as contents, _Netlink() as rtnl:
            entry = contents.entries.get(port.name)
            if entry is not None and entry.source == port.where and self._stands(rtnl, entry):
                return _taken(entry)
            if entry is not None:
                self._give_back(rtnl, contents, entry)
            preparation = self._preparation(rtnl)
            preparation.check(port)
            entry = preparation.planned(port)
            preparation.load(entry)
            self._save(contents, entry)
            try:
                self._take(rtnl, entry)
            except Exception as error:
                self._undo(rtnl, contents, entry, error)
                raise
            self._save(contents, replace(entry, stage=Stage.TAKEN))
        return _taken(entry)

    def give_back(self, port: str) -> None:
        """Exactly what was taken, by the record alone; nothing for a port that is not in it.

        The device gets what is configured on its TAP now, or what was on it before when the TAP
        is gone. After an error the record has the port still, to be given back another time; of
        a device that is gone nothing is left to give.
        """
        with self._record.locked() as contents, _Netlink() as rtnl:
            entry = contents.entries.get(port)
            if entry is not None:
                self._give_back(rtnl, contents, entry)

    def taken(self) -> dict[str, Taken]:
        """By name of the port; only those that were taken whole."""
        entries = self._record.load().entries
        return {
            name: _taken(entry) for name, entry in entries.items() if entry.stage is Stage.TAKEN
        }

    def recorded(self) -> tuple[str, ...]:
        """Names of all ports in the record, those taken by halves among them."""
        return tuple(self._record.load().entries)

    def leftovers(self) -> tuple[str, ...]:
        """What there is to see of taken ports, whatever the record says: a line for each, with
        what undoes it. TAPs come first, for they have the names of the others."""
        with _Netlink() as rtnl:
            every = links(rtnl).values()
            found = [
                f"{one.name} is a TAP; to remove it: ip link del {one.name}"
                for one in every
                if tap.is_tap(one.kind)
            ]
            found += [
                f"{name} is {was}; to have it back: {wire.by_hand(name, was)}"
                for name, was in wire.orphans(rtnl)
            ]
        bus = Pci(self._sysfs)
        found += [
            f"{device.address} has the driver {device.driver}; to have the kernel's back: "
            f"{bus.by_hand(device.address)}"
            for device in bus.network()
            if device.driver in USERS
        ]
        return tuple(found)

    # ---- steps --------------------------------------------------------------------------

    def _preparation(self, rtnl: Rtnl) -> Preparation:
        return Preparation(rtnl, self._record.load().entries, self._sysfs)

    def _save(self, contents: Contents, entry: Entry) -> None:
        contents.entries[entry.port] = entry
        self._record.save(contents)

    def _stands(self, rtnl: Rtnl, entry: Entry) -> bool:
        """Whether it is taken whole, and nobody has changed that."""
        found = link_named(rtnl, entry.tap)
        if entry.stage is not Stage.TAKEN or found is None or not tap.is_tap(found.kind):
            return False
        if entry.kind is Kind.WIRE:
            return link_named(rtnl, entry.wire) is not None
        if entry.kind is Kind.PCI:
            return Pci(self._sysfs).device(entry.address).driver == entry.binding
        return True

    def _take(self, rtnl: Rtnl, entry: Entry) -> None:
        file = None
        if entry.state is not None:
            file = networkd.network_file(entry.state.ifindex, entry.mac)
        if entry.kind is Kind.WIRE:
            networkd.announce(entry.tap, wire=entry.wire)
            wire.detach(rtnl, entry.tap, entry.wire)
        elif entry.kind is Kind.PCI:
            Pci(self._sysfs).bind(entry.address, entry.binding)
        name, text = file.name if file else "", networkd.dropin_for(file)
        networkd.announce(entry.tap, wire=entry.wire, file=name, text=text)
        ifindex = tap.create(rtnl, entry.tap, entry.mac)
        if entry.state is None:
            tap.bring_up(rtnl, ifindex)
            return
        if entry.state.managed:
            networkd.settle(ifindex)
        _restore(rtnl, entry, entry.tap)

    def _undo(self, rtnl: Rtnl, contents: Contents, entry: Entry, error: Exception) -> None:
        """What an error has left; DeviceError for both when not even that can be done."""
        try:
            self._give_back(rtnl, contents, entry)
        except GwError as second:
            both = f"{error}; and it could not be given back: {second}"
            raise DeviceError(both, code=second.code) from error

    def _give_back(self, rtnl: Rtnl, contents: Contents, entry: Entry) -> None:
        entry = self._with_present_state(rtnl, entry)
        entry = replace(entry, stage=Stage.RETURNING)
        self._save(contents, entry)
        tap.delete(rtnl, entry.tap)
        networkd.forget(entry.tap)
        if entry.kind is Kind.WIRE:
            if wire.attach(rtnl, entry.tap, entry.wire):
                _restore(rtnl, entry, entry.tap)
            else:
                log.warning("%s: its device %s is gone", entry.port, entry.tap)
        elif entry.kind is Kind.PCI:
            self._give_back_function(rtnl, entry)
        del contents.entries[entry.port]
        self._record.save(contents)

    def _give_back_function(self, rtnl: Rtnl, entry: Entry) -> None:
        bus = Pci(self._sysfs)
        try:
            bus.give(entry.address, entry.driver, entry.override)
            if entry.state is None:
                return
            ifindex = netdev_of(rtnl, bus, entry.address, entry.tap)
        except DeviceError as error:
            # Only of a function that was pulled nothing is left. Whatever else it is may pass: the
            # record remembers it, and whoever comes next tries again.
            if bus.has(entry.address):
                raise
            log.warning("%s: %s", entry.port, error)
            return
        if entry.state.managed:
            networkd.settle(ifindex)
        _restore(rtnl, entry, entry.tap)

    def _with_present_state(self, rtnl: Rtnl, entry: Entry) -> Entry:
        """With what is configured on the TAP: the kernel's tools were in charge meanwhile. Of one
        that was not finished, or has begun to go, what was there before is what counts."""
        found = link_named(rtnl, entry.tap)
        if entry.stage is not Stage.TAKEN or entry.state is None:
            return entry
        if found is None or not tap.is_tap(found.kind):
            return entry
        return replace(entry, state=merged(entry.state, capture(rtnl, entry.tap)))


def merged(before: DeviceState, now: DeviceState) -> DeviceState:
    """What is on the TAP now, and what no TAP has and the device had before."""
    now = replace(
        now, mac=before.mac, features=before.features, managed=before.managed or now.managed
    )
    if now.nexthops or not before.nexthops:
        return now
    # A TAP without carrier has no next hop objects, and its routes say themselves where they go.
    objects = {messages.nexthop_id(one) for one in before.nexthops}
    by_object = {
        routing.packed(routing.without(one, routing.RTA_NH_ID)): kept
        for kept, one in ((kept, routing.parsed(kept)) for kept in before.routes)
        if routing.object_of(one) in objects
    }
    routes = tuple(by_object.get(kept, kept) for kept in now.routes)
    return replace(now, nexthops=before.nexthops, routes=routes)


class _Netlink:
    """One socket for route netlink, closed in the end."""

    def __enter__(self) -> Rtnl:
        self._socket = Rtnl()
        return self._socket

    def __exit__(self, *_: object) -> None:
        self._socket.close()


def _restore(rtnl: Rtnl, entry: Entry, name: str) -> None:
    assert entry.state is not None
    restorer = Restorer(rtnl, entry.state, name)
    restorer.restore()
    for problem in restorer.problems:
        log.warning("%s: %s", entry.port, problem)


def _taken(entry: Entry) -> Taken:
    return Taken(
        entry.port, entry.tap, entry.eal, entry.mac, entry.kind.value, entry.iova_pa, entry.source
    )
