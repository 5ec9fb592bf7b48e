# SPDX-License-Identifier: GPL-2.0-or-later
"""What the speaker knows, made into a view. Pure."""

from collections import Counter
from collections.abc import Iterator

from ..model import IPAddress
from .domain import Domain
from .instance import EvpnInstance
from .mobility import MOVES_SECONDS, Owner, Station
from .prefixes import RoutingTable
from .view import MacState, MacView, PrefixView, RefusedView, VniView, VtepView

NO_ROOM = "more stations and neighbors in the kernel than there is room for"


def refused(mind: EvpnInstance, unread: int = 0) -> tuple[RefusedView, ...]:
    """`unread`: stations and neighbours of the kernel that there was no room for."""
    found = tuple(
        RefusedView(peer, reason, count) for (peer, reason), count in mind.refusals.counts.items()
    )
    return (*found, RefusedView(None, NO_ROOM, unread)) if unread else found


def vnis(mind: EvpnInstance) -> tuple[VniView, ...]:
    return tuple(_vni(domain, vni in mind.tables) for vni, domain in _domains(mind))


def vteps(mind: EvpnInstance) -> tuple[VtepView, ...]:
    found: list[VtepView] = []
    for vni, domain in _domains(mind):
        macs = Counter(
            station.best.next_hop
            for station in domain.stations.values()
            if station.owner is Owner.AWAY and station.best
        )
        floods = domain.floods.vteps
        found += [
            VtepView(vni, vtep, vtep in floods, macs[vtep])
            for vtep in sorted(floods | macs.keys(), key=int)
        ]
    return tuple(found)


def macs(mind: EvpnInstance, now: float) -> tuple[MacView, ...]:
    return tuple(
        _mac(domain, mac, station, now)
        for _, domain in _domains(mind)
        for mac, station in sorted(domain.stations.items())
        if station.owner is not Owner.NOBODY
    )


def prefixes(mind: EvpnInstance) -> tuple[PrefixView, ...]:
    return tuple(view for _, table in sorted(mind.tables.items()) for view in _prefixes(table))


def _domains(mind: EvpnInstance) -> Iterator[tuple[int, Domain]]:
    return ((vni, domain) for vni, domain in sorted(mind.domains.items()) if domain.segment)


def _vni(domain: Domain, routing: bool) -> VniView:
    assert domain.segment
    segment = domain.segment.segment
    owners = Counter(station.owner for station in domain.stations.values())
    duplicates = sum(1 for station in domain.stations.values() if station.until is not None)
    return VniView(
        domain.vni,
        segment.name,
        segment.bridge_name,
        segment.local,
        domain.segment.up,
        len(domain.floods.vteps),
        owners[Owner.HERE],
        owners[Owner.AWAY],
        duplicates,
        routing,
    )


def _mac(domain: Domain, mac: bytes, station: Station, now: float) -> MacView:
    away = station.best if station.owner is Owner.AWAY else None
    local = station.local
    return MacView(
        domain.vni,
        mac,
        _state(station),
        away.next_hop if away else None,
        local.port if local else 0,
        away.sequence if away else station.sequence or 0,
        away.sticky if away else bool(local and local.static),
        max(0.0, now - station.since),
        sum(move > now - MOVES_SECONDS for move in station.moves) if station.moves else 0,
        max(0.0, station.until - now) if station.until is not None else 0.0,
        domain.bindings.of(mac) if away is None else _addresses(station, away.next_hop),
    )


def _state(station: Station) -> MacState:
    if station.until is not None:
        return MacState.DUPLICATE
    if station.conflict:
        return MacState.CONFLICT
    return MacState.REMOTE if station.owner is Owner.AWAY else MacState.LOCAL


def _addresses(station: Station, vtep: IPAddress) -> tuple[IPAddress, ...]:
    if len(station.routes) == 1:
        (only,) = station.routes.values()
        return () if only.address is None else (only.address,)
    found = [
        route.address
        for route in station.routes.values()
        if route.address is not None and route.next_hop == vtep
    ]
    # Several neighbours may have told the same.
    return tuple(dict.fromkeys(found))


def _prefixes(table: RoutingTable) -> Iterator[PrefixView]:
    for own in table.said.values():
        yield PrefixView(table.vni, own.prefix, None, own.router_mac)
    for prefix in table.learned:
        for route in table.routers(prefix):
            yield PrefixView(table.vni, prefix, route.next_hop, route.router_mac)
