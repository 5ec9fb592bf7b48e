# SPDX-License-Identifier: GPL-2.0-or-later
"""Ways to routers behind VTEPs, which routes of type 5 share: a neighbour on the bridge of the L3
VNI, and an entry for its MAC address."""

from collections import Counter
from dataclasses import dataclass, field

from ..model import IPAddress
from .entries import Binding, PrefixEntry, RemoteMac
from .kernel_writes import gateway

PrefixKey = tuple[str, int, object]


def place_of(entry: PrefixEntry) -> tuple[int, IPAddress]:
    """What tells one way from another."""
    return entry.vni, gateway(entry)


@dataclass(slots=True)
class _Way:
    vtep: IPAddress
    mac: bytes
    users: set[PrefixKey] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class WayChange:
    """What has to be written, in that order."""

    put: tuple[RemoteMac | Binding, ...] = ()
    delete: tuple[RemoteMac | Binding, ...] = ()


class Ways:
    """Counted by the routes that need them."""

    def __init__(self) -> None:
        self._ways: dict[tuple[int, IPAddress], _Way] = {}
        self._macs: Counter[tuple[int, object]] = Counter()
        """How many ways lead to the router of that VNI and MAC address."""

    def take(self, entry: PrefixEntry) -> WayChange:
        """One way that the route is about to need; the last that says another MAC is believed."""
        place = place_of(entry)
        way = self._ways.get(place)
        if way is None:
            way = self._ways[place] = _Way(entry.vtep, entry.router_mac)
            self._macs[entry.vni, way.mac] += 1
        before, way.mac = way.mac, entry.router_mac
        if before != way.mac:
            self._macs[entry.vni, way.mac] += 1
            self._forget(entry.vni, before)
        way.vtep = entry.vtep
        way.users.add(entry.key)
        put = (
            RemoteMac(entry.vni, way.mac, way.vtep),
            Binding(entry.vni, place[1], way.mac, router=True),
        )
        if before == way.mac or self.has_mac(entry.vni, before):
            return WayChange(put)
        return WayChange(put, (RemoteMac(entry.vni, before, way.vtep),))

    def release(self, entry: PrefixEntry) -> WayChange:
        """One way that the route needs no more."""
        place = place_of(entry)
        way = self._ways.get(place)
        if way is None:
            return WayChange()
        way.users.discard(entry.key)
        if way.users:
            return WayChange()
        del self._ways[place]
        self._forget(entry.vni, way.mac)
        binding = Binding(entry.vni, place[1], way.mac)
        if self.has_mac(entry.vni, way.mac):
            return WayChange(delete=(binding,))
        return WayChange(delete=(binding, RemoteMac(entry.vni, way.mac, way.vtep)))

    def _forget(self, vni: int, mac: bytes) -> None:
        """One way that does not lead there any more."""
        self._macs[vni, mac] -= 1
        if not self._macs[vni, mac]:
            del self._macs[vni, mac]

    def has_mac(self, vni: int, mac: object) -> bool:
        return (vni, mac) in self._macs

    def has_address(self, vni: int, address: object) -> bool:
        return (vni, address) in self._ways
