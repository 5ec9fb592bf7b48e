# SPDX-License-Identifier: GPL-2.0-or-later
"""A gateway's EVPN, with a kernel and a daemon that are a few dictionaries."""

from collections import deque
from collections.abc import Iterable
from ipaddress import IPv4Address, ip_address, ip_network

from hybrid_gateway.evpn.entries import (
    Binding,
    FloodEntry,
    KernelEntry,
    LocalBinding,
    LocalChange,
    LocalStation,
    PrefixEntry,
    RemoteMac,
)
from hybrid_gateway.evpn.instance import EvpnInstance
from hybrid_gateway.evpn.keys import route_key, stations_of
from hybrid_gateway.evpn.wanted import EvpnSegment, EvpnTable, EvpnWanted
from hybrid_gateway.model import (
    Evpn,
    EvpnNeighbor,
    EvpnRoute,
    FloodRoute,
    IPAddress,
    MacRoute,
    PrefixRoute,
    RouteChange,
    RouteTarget,
    Segment,
)

ASN = 64512
VNI = 550
PORT = 7
"""ifindex of the access port of every gateway."""
BRIDGE_MAC = bytes.fromhex("02000000bb00")


def vtep(number: int) -> IPAddress:
    return ip_address(f"2001:db8:0:{number}::11")


def mac(number: int) -> bytes:
    return bytes.fromhex("0200") + number.to_bytes(4)


def segment(number: int, vni: int = VNI, *, up: bool = True, ifindex: int = 0) -> EvpnSegment:
    """Of the gateway of that number."""
    made = Segment(ifindex or vni, f"vni{vni}", vni, 1000 + vni, f"br{vni}", 4789, 6, 0)
    local = Segment(
        made.ifindex, made.name, vni, made.bridge, made.bridge_name, 4789, 6, 0, vtep(number)
    )
    own = BRIDGE_MAC[:-1] + bytes([number])
    return EvpnSegment(local, up, own, frozenset({ip_address(f"10.0.0.{number}")}))


def section(number: int, *peers: int, routes_max: int = 60_000) -> Evpn:
    return Evpn(
        asn=ASN,
        router_id=IPv4Address(f"192.0.2.{number}"),
        neighbors=tuple(EvpnNeighbor(vtep(peer), ASN, routes_max=routes_max) for peer in peers),
    )


def target(vni: int = VNI) -> tuple[RouteTarget, ...]:
    return (RouteTarget(ASN, vni),)


def mac_route(
    sender: int,
    station: int,
    *,
    address: str = "",
    vni: int = VNI,
    sequence: int = 0,
    sticky: bool = False,
) -> MacRoute:
    return MacRoute(
        stations_of(f"192.0.2.{sender}:{vni}"),
        mac(station),
        vni,
        vtep(sender),
        target(vni),
        ip_address(address) if address else None,
        sequence,
        sticky,
    )


def flood_route(sender: int, vni: int = VNI) -> FloodRoute:
    return FloodRoute(f"192.0.2.{sender}:{vni}", vtep(sender), vni, vtep(sender), target(vni))


def prefix_route(sender: int, prefix: str, vni: int = 900) -> PrefixRoute:
    return PrefixRoute(
        f"192.0.2.{sender}:{vni}",
        ip_network(prefix),
        vni,
        vtep(sender),
        target(vni),
        None,
        BRIDGE_MAC[:-1] + bytes([sender]),
    )


class Gateway:
    """One instance, with what its daemon announces and its kernel has."""

    def __init__(self, number: int, *vnis: int, tables: Iterable[EvpnTable] = ()) -> None:
        self.number = number
        self.now = 1000.0
        self.mind = EvpnInstance()
        self.announced: dict[object, EvpnRoute] = {}
        self.kernel: dict[object, KernelEntry] = {}
        self.ports: set[tuple[int, bytes]] = set()
        """Stations that the kernel has behind the access port."""
        self.outbox: deque[RouteChange] = deque()
        self.told: dict[object, RouteChange] = {}
        """What its daemon has from others."""
        self.writes = 0
        segments = tuple(segment(number, vni) for vni in (vnis or (VNI,)))
        self.wanted = EvpnWanted(section(number), segments, tuple(tables))
        self.mind.follow(self.wanted)

    def start(self) -> "Gateway":
        """The kernel has told all, and a daemon that knows nothing as well."""
        self.mind.synced()
        self.mind.begin(self.now, 120.0)
        self.mind.end_of_state(self.now)
        self.flush()
        return self

    def flush(self) -> None:
        self.mind.flush(self.now)
        add, remove = self.mind.entries.drain()
        for entry in remove:
            self.writes += 1
            del self.kernel[entry.key]
        for entry in add:
            self.writes += 1
            self.kernel[entry.key] = entry
            if isinstance(entry, RemoteMac):
                self.ports.discard((entry.vni, entry.mac))
        if self.mind.ready:
            self._announce()

    def _announce(self) -> None:
        routes, withdrawn = self.mind.routes.drain()
        for route in withdrawn:
            del self.announced[route_key(route)]
            self.outbox.append(RouteChange(route, True, vtep(self.number)))
        for route in routes:
            self.announced[route_key(route)] = route
            self.outbox.append(RouteChange(route, False, vtep(self.number)))

    def hear(self, *changes: RouteChange) -> None:
        for change in changes:
            self.told.pop(route_key(change.route), None)
            if not change.withdrawn:
                self.told[route_key(change.route)] = change
            self.mind.heard(change, self.now)
        self.flush()

    def hear_routes(self, *routes: EvpnRoute, peer: int = 9, withdrawn: bool = False) -> None:
        self.hear(*(RouteChange(route, withdrawn, vtep(peer)) for route in routes))

    def learn(
        self, station: int, *, vni: int = VNI, static: bool = False, port: int = PORT
    ) -> None:
        """The kernel sees a frame of it at the access port."""
        self.ports.add((vni, mac(station)))
        self.mind.local(LocalChange(LocalStation(vni, mac(station), port, static)))
        self.flush()

    def age(self, station: int, *, vni: int = VNI) -> None:
        """It is silent, or its port went down; of a station elsewhere nothing happens."""
        if (vni, mac(station)) not in self.ports:
            return
        self.ports.discard((vni, mac(station)))
        self.mind.local(LocalChange(LocalStation(vni, mac(station), PORT), True))
        self.flush()

    def bind(self, address: str, station: int, *, gone: bool = False, router: bool = False) -> None:
        fact = LocalBinding(VNI, ip_address(address), mac(station), router)
        self.mind.local(LocalChange(fact, gone))
        self.flush()

    def follow(self, wanted: EvpnWanted | None) -> None:
        self.mind.follow(wanted)
        self.flush()

    # ---- what is looked at --------------------------------------------------------------

    def where(self, station: int, vni: int = VNI) -> IPAddress | None:
        """The VTEP that the kernel has it behind, its own for the access port."""
        if (vni, mac(station)) in self.ports:
            return vtep(self.number)
        entry = self.kernel.get(("mac", vni, mac(station)))
        return entry.vtep if isinstance(entry, RemoteMac) else None

    def macs(self) -> dict[bytes, MacRoute]:
        """Announced, without addresses."""
        return {
            route.mac: route
            for route in self.announced.values()
            if isinstance(route, MacRoute) and route.address is None
        }

    def addresses(self) -> dict[IPAddress, MacRoute]:
        return {
            route.address: route
            for route in self.announced.values()
            if isinstance(route, MacRoute) and route.address is not None
        }

    def floods(self, vni: int = VNI) -> set[IPAddress]:
        return {
            entry.vtep
            for entry in self.kernel.values()
            if isinstance(entry, FloodEntry) and entry.vni == vni
        }

    def bindings(self) -> dict[IPAddress, bytes]:
        return {
            entry.address: entry.mac for entry in self.kernel.values() if isinstance(entry, Binding)
        }

    def prefixes(self) -> set[PrefixEntry]:
        return {entry for entry in self.kernel.values() if isinstance(entry, PrefixEntry)}

    def refused(self) -> dict[str, int]:
        return {reason: count for (_, reason), count in self.mind.refusals.counts.items()}
