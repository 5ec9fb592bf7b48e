# SPDX-License-Identifier: GPL-2.0-or-later
"""Stations and neighbours of this side: what was told of them, and what is news."""

from .entries import LocalBinding, LocalChange, LocalFact, LocalStation, RemoteMac
from .kernel_places import Places
from .kernel_socket import Fact, FactFlag, FactKind

WRITTEN = FactFlag.OURS | FactFlag.EXTERN
"""By a control plane, ours or another."""


class LocalFacts:
    """By what they are in the kernel, for VNIs change."""

    def __init__(self) -> None:
        self._told: dict[tuple[object, ...], LocalFact] = {}
        self._changes: list[LocalChange] = []

    def take(self, fact: Fact, places: Places) -> None:
        """What the kernel says; nothing happens if it is no news."""
        if fact.kind == FactKind.STATION:
            self._tell((fact.kind, fact.ifindex, fact.vlan, fact.mac), _station(fact, places))
        elif fact.kind == FactKind.NEIGHBOUR:
            self._tell((fact.kind, fact.ifindex, fact.address), _neighbour(fact, places))

    def changes(self) -> tuple[LocalChange, ...]:
        """Those since the last time."""
        changes, self._changes = self._changes, []
        return tuple(changes)

    def forget(self, entry: RemoteMac, places: Places) -> None:
        """The station is a remote one now; it is told of again if it is heard on this side."""
        self._told.pop(_place(entry, places), None)

    def has(self, entry: RemoteMac, places: Places) -> bool:
        return _place(entry, places) in self._told

    def _tell(self, place: tuple[object, ...], fact: LocalFact | None) -> None:
        before = self._told.get(place)
        if before == fact:
            return
        if before and not (fact and fact.key == before.key):
            self._changes.append(LocalChange(before, gone=True))
        if fact:
            self._changes.append(LocalChange(fact))
            self._told[place] = fact
        else:
            self._told.pop(place, None)


def _place(entry: RemoteMac, places: Places) -> tuple[object, ...]:
    segment = places.segments.get(entry.vni)
    if segment is None:
        return ()
    return FactKind.STATION, segment.bridge, segment.vlan, entry.mac


def _station(fact: Fact, places: Places) -> LocalStation | None:
    vni = places.vni(fact)
    if vni is None or fact.gone or fact.flags & FactFlag.OWN or fact.port in places.tunnels:
        return None
    return LocalStation(vni, fact.mac, fact.port, bool(fact.flags & FactFlag.STATIC))


def _neighbour(fact: Fact, places: Places) -> LocalBinding | None:
    vni = places.vni(fact)
    if vni is None or fact.gone or fact.flags & WRITTEN or not fact.address:
        return None
    return LocalBinding(vni, fact.address, fact.mac, bool(fact.flags & FactFlag.ROUTER))
