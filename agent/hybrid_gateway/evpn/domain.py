# SPDX-License-Identifier: GPL-2.0-or-later
"""One VNI: its stations, their addresses and its flood list, and what follows from them. Pure.

Whatever changes marks what depends on it; `flush` then says what the BGP daemon and the kernel
should have of that. Time is an argument.
"""

from dataclasses import replace

from ..model import IPAddress, MacRoute
from .entries import Binding, LocalBinding, RemoteMac
from .keys import mac_key, stations_of
from .mobility import (
    MOVES_SECONDS,
    Owner,
    Station,
    best_of,
    claim,
    forget_moves,
    judge,
    release,
)
from .stations import Known


class Domain(Known):
    """The EVPN instance (MAC-VRF) of one VNI."""

    def clear(self, mac: bytes | None) -> int:
        """Releases one duplicate, or all; how many."""
        found = [mac] if mac is not None else list(self.stations)
        released = 0
        for one in found:
            station = self.stations.get(one)
            if station and station.until is not None:
                release(station)
                self._dirty_macs.add(one)
                released += 1
        return released

    def _tick(self, now: float) -> None:
        for mac in [mac for mac, due in self._timers.items() if due <= now]:
            del self._timers[mac]
            station = self.stations.get(mac)
            if station:
                self._dirty_macs.add(mac)
                if station.until is not None and station.until <= now:
                    release(station)

    def raised(self, route: MacRoute) -> None:
        """The daemon announces a claim of ours with a higher sequence than it was given."""
        station = self.stations.get(route.mac)
        key = mac_key(route.rd, route.mac, route.address)
        wanted = self._routes.get(key)
        if not station or station.sequence is None or not isinstance(wanted, MacRoute):
            return
        if route.sequence > wanted.sequence and replace(wanted, sequence=route.sequence) == route:
            station.sequence = max(station.sequence, route.sequence)
            self._routes.agree(key, route)

    def flush(self, now: float, ready: bool) -> None:
        """`ready`: the other VTEPs' claims are known, so that ours can be numbered."""
        self._tick(now)
        self._let_in()
        macs, self._dirty_macs = self._dirty_macs, set()
        for mac in macs:
            self._decide(mac, now, ready)
        addresses, self._dirty_addresses = self._dirty_addresses, set()
        for address in addresses:
            self._decide_address(address)
        if self.floods.dirty:
            vtep = self.vtep if self.announcing else None
            self.floods.flush(self.segment is not None, vtep, self.rd, self.targets)

    def _decide(self, mac: bytes, now: float, ready: bool) -> None:
        station = self.stations.get(mac)
        if station is None:
            return
        if station.until is None:
            if station.local and station.sequence is None and ready:
                claim(station)
            conflict, local = station.conflict, station.local
            if judge(station, self.vtep, now):
                self._alert(mac, "is a duplicate: it moved too often, and is not announced")
            elif station.conflict and not conflict:
                self._alert(
                    mac, f"is here, but belongs to {station.best and station.best.next_hop}"
                )
            if local and station.local is None:
                # What the kernel learned here took the place of what it had been given.
                self._entries.again(("mac", self.vni, mac))
                self._here.discard(mac)
        if station.owner is Owner.AWAY:
            # What the kernel has of it now is ours; it is told of again if it is heard here.
            self._waiting.pop(mac, None)
        self._entries.want(("mac", self.vni, mac), self._remote_mac(mac, station))
        self._announce(mac, station)
        self._dirty_addresses.update(self.bindings.of(mac))
        self._dirty_addresses |= {
            route.address for route in station.routes.values() if route.address is not None
        }
        self._end(mac, station, now)

    def _end(self, mac: bytes, station: Station, now: float) -> None:
        forget_moves(station, now)
        if station.empty:
            del self.stations[mac]
        elif station.until is not None:
            self._timers[mac] = station.until
        elif station.owner is Owner.NOBODY and station.moves:
            self._timers[mac] = station.moves[-1] + MOVES_SECONDS

    def _alert(self, mac: bytes, what: str) -> None:
        self.alerts.append(f"VNI {self.vni}: {mac.hex(':')} {what}")

    def _remote_mac(self, mac: bytes, station: Station) -> RemoteMac | None:
        """What the kernel should have of it."""
        best = self._remote(station)
        return RemoteMac(self.vni, mac, best.next_hop, best.sticky) if best else None

    def _remote(self, station: Station) -> MacRoute | None:
        """The route that it is reached by, if it is behind a VTEP."""
        if self.segment is None or (station.local and station.local.static):
            return None
        if station.until is not None or station.owner is not Owner.AWAY:
            return None
        return station.best

    def _announced(self, station: Station) -> bool:
        return (
            self.announcing
            and station.until is None
            and station.owner is Owner.HERE
            and station.sequence is not None
        )

    def _route(self, mac: bytes, station: Station, binding: LocalBinding | None) -> MacRoute:
        assert self.vtep is not None
        assert station.local is not None
        return MacRoute(
            stations_of(self.rd),
            mac,
            self.vni,
            self.vtep,
            self.targets,
            binding.address if binding else None,
            station.sequence or 0,
            station.local.static,
        )

    def _announce(self, mac: bytes, station: Station) -> None:
        route = self._route(mac, station, None) if self._announced(station) else None
        self._routes.want(mac_key(stations_of(self.rd), mac, None), route)

    def _decide_address(self, address: IPAddress) -> None:
        """Of a station of ours it is announced; of another VTEP's the kernel learns it."""
        key = ("binding", self.vni, address)
        binding = self.bindings.get(address)
        if binding:
            station = self.stations.get(binding.mac)
            # GoBGP takes a route with ND's flags (RFC 9047) for a withdrawal, and an answer for a
            # router that does not say so would cost hosts their default route: it is asked itself.
            listed = address in self.bindings.of(binding.mac) and not binding.router
            ours = station if station and listed and self._announced(station) else None
            route = self._route(binding.mac, ours, binding) if ours else None
            self._announce_address(binding.mac, address, route)
            if station and station.owner is Owner.HERE:
                self._entries.want(key, None)
                return
        self._entries.want(key, self._remote_binding(address))

    def _remote_binding(self, address: IPAddress) -> Binding | None:
        if self.segment is None or address in self.segment.addresses:
            return None
        best = best_of(
            route
            for route in self._remote_addresses.get(address, {}).values()
            if self._believed(route)
        )
        return Binding(self.vni, address, best.mac, best.router) if best else None

    def _believed(self, route: MacRoute) -> bool:
        """Its VTEP is the one that has the station."""
        station = self.stations.get(route.mac)
        best = self._remote(station) if station else None
        return best is not None and best.next_hop == route.next_hop
