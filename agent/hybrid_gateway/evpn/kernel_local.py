# SPDX-License-Identifier: GPL-2.0-or-later
"""Stations and neighbours of this side: what was told of them, and what is news."""

from collections.abc import Collection

from .entries import LocalBinding, LocalChange, LocalFact, LocalStation, RemoteMac
from .kernel_places import Places
from .kernel_socket import Fact, FactFlag, FactKind

WRITTEN = FactFlag.OURS | FactFlag.EXTERN
"""By a control plane, ours or another."""


class LocalFacts:
    """By what they are in the kernel, for VNIs change."""

    def __init__(self) -> None:
        self._told: dict[tuple[object, ...], tuple[LocalFact, ...]] = {}
        """One for each VNI of the bridge."""
        self._changes: list[LocalChange] = []

    def take(self, fact: Fact, places: Places) -> None:
        """What the kernel says; nothing happens if it is no news."""
        if fact.kind == FactKind.STATION:
            self._tell((fact.kind, fact.ifindex, fact.vlan, fact.mac), _stations(fact, places))
        elif fact.kind == FactKind.NEIGHBOUR:
            self._tell((fact.kind, fact.ifindex, fact.address), _neighbours(fact, places))

    def changes(self) -> tuple[LocalChange, ...]:
        """Those since the last time."""
        changes, self._changes = self._changes, []
        return tuple(changes)

    def forget(self, entry: RemoteMac, places: Places) -> None:
        """The station is a remote one now; it is told of again if it is heard on this side. Other
        VNIs of the bridge hear of its end from the kernel."""
        place = _place(entry, places)
        left = tuple(fact for fact in self._told.get(place, ()) if fact.vni != entry.vni)
        self._keep(place, left)

    def has(self, entry: RemoteMac, places: Places) -> bool:
        return any(fact.vni == entry.vni for fact in self._told.get(_place(entry, places), ()))

    def forget_vnis(self, vnis: Collection[int]) -> None:
        """What is theirs is told again: who is told has forgotten it."""
        for place, facts in list(self._told.items()):
            self._keep(place, tuple(fact for fact in facts if fact.vni not in vnis))

    def _keep(self, place: tuple[object, ...], facts: tuple[LocalFact, ...]) -> None:
        if facts:
            self._told[place] = facts
        else:
            self._told.pop(place, None)

    def _tell(self, place: tuple[object, ...], facts: tuple[LocalFact, ...]) -> None:
        before = self._told.get(place, ())
        if before == facts:
            return
        there = {fact.key for fact in facts}
        gone = (fact for fact in before if fact.key not in there)
        self._changes += [LocalChange(fact, gone=True) for fact in gone]
        self._changes += [LocalChange(fact) for fact in facts if fact not in before]
        self._keep(place, facts)


def _place(entry: RemoteMac, places: Places) -> tuple[object, ...]:
    segment = places.segments.get(entry.vni)
    if segment is None:
        return ()
    return FactKind.STATION, segment.bridge, segment.vlan, entry.mac


def _stations(fact: Fact, places: Places) -> tuple[LocalStation, ...]:
    if fact.gone or fact.flags & FactFlag.OWN or fact.port in places.tunnels:
        return ()
    static = bool(fact.flags & FactFlag.STATIC)
    return tuple(LocalStation(vni, fact.mac, fact.port, static) for vni in places.vnis(fact))


def _neighbours(fact: Fact, places: Places) -> tuple[LocalBinding, ...]:
    address = fact.address
    if fact.gone or fact.flags & WRITTEN or not address:
        return ()
    router = bool(fact.flags & FactFlag.ROUTER)
    return tuple(LocalBinding(vni, address, fact.mac, router) for vni in places.vnis(fact))
