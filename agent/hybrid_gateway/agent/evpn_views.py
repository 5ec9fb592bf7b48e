# SPDX-License-Identifier: GPL-2.0-or-later
"""EVPN as the agent tells of it: JSON-able, with stable key names; null for what does not apply."""

from collections.abc import Callable, Mapping
from typing import Any

from ..errors import UsageError
from ..evpn.view import EvpnView, MacView, PrefixView, RefusedView, VniView, VtepView
from ..model import EvpnDaemon, PeerState, SessionState
from . import filters
from .engine import Engine

Filter = Mapping[str, Any]


def summary(engine: Engine) -> dict[str, Any] | None:
    """For `status`; None: EVPN is not configured."""
    section = engine.config.evpn if engine.config else None
    if section is None:
        return None
    found = engine.evpn.view() or EvpnView()
    mirrored = section.daemon is EvpnDaemon.FRR
    return {
        "daemon": section.daemon.value,
        "state": None if mirrored else found.state.value,
        "since": None if mirrored else round(found.since, 1),
        "error": found.error or None,
        "neighbors": len(section.neighbors),
        "established": sum(peer.state is SessionState.ESTABLISHED for peer in found.peers),
        "vnis": len(found.vnis),
        "macs_local": sum(vni.local_macs for vni in found.vnis),
        "macs_remote": sum(vni.remote_macs for vni in found.vnis),
        "duplicates": sum(vni.duplicates for vni in found.vnis),
    }


def evpn(engine: Engine) -> dict[str, Any]:
    """All but the stations, of which there may be many."""
    section = engine.config.evpn if engine.config else None
    found = engine.evpn.view() or EvpnView()
    neighbors = {peer.address: _peer(peer) for peer in found.peers}
    for neighbor in section.neighbors if section else ():
        # Of which a daemon that does not answer tells nothing.
        state = PeerState(neighbor.address, neighbor.asn, SessionState.IDLE)
        one = neighbors.setdefault(neighbor.address, _peer(state) | {"state": None})
        one["routes_max"] = neighbor.routes_max
    return {
        "summary": summary(engine),
        "asn": section.asn or None if section else None,
        "router_id": str(section.router_id) if section and section.router_id else None,
        "neighbors": list(neighbors.values()),
        "refused": [_refused(one) for one in found.refused],
        "kernel_failures": found.kernel_failures,
        "kernel_reasons": [
            {"reason": reason, "count": count} for reason, count in found.kernel_reasons
        ],
        "vnis": [_vni(one) for one in found.vnis],
    }


def _peer(peer: PeerState) -> dict[str, Any]:
    return {
        "address": str(peer.address),
        "asn": peer.asn,
        "state": peer.state.value,
        "since": round(peer.since, 1) if peer.state is SessionState.ESTABLISHED else None,
        "received": peer.received,
        "routes_max": None,
        "accepted": peer.accepted,
        "advertised": peer.advertised,
        "flaps": peer.flaps,
        "reason": peer.reason or None,
    }


def _refused(one: RefusedView) -> dict[str, Any]:
    peer = str(one.peer) if one.peer else None
    return {"peer": peer, "reason": one.reason, "count": one.count}


def _vni(one: VniView) -> dict[str, Any]:
    return {
        "vni": one.vni,
        "device": one.device,
        "bridge": one.bridge,
        "local": str(one.local) if one.local else None,
        "up": one.up,
        "routing": one.routing,
        "vteps": one.vteps,
        "macs_local": one.local_macs,
        "macs_remote": one.remote_macs,
        "duplicates": one.duplicates,
    }


# ---- pages ------------------------------------------------------------------------------


def macs(engine: Engine, cursor: int | str, limit: int, given: Filter) -> dict[str, Any]:
    """Pages after the first are of the stations as they were then."""
    at = _position(cursor)
    wanted = filters.evpn_filter(given)
    names = {link.ifindex: link.name for link in engine.links}
    found = [one for one in engine.evpn.macs(again=at > 0) if _matches(one, wanted)]
    return _page("macs", found, at, limit, lambda one: _mac(one, names))


def macs_count(engine: Engine, given: Filter) -> dict[str, Any]:
    wanted = filters.evpn_filter(given)
    return {"count": sum(_matches(one, wanted) for one in engine.evpn.macs(again=False))}


def _matches(one: MacView, wanted: Mapping[str, Any]) -> bool:
    """All that was given holds; a MAC address by how it begins."""
    return (
        wanted.get("vni") in (None, one.vni)
        and one.mac.startswith(wanted.get("mac", b""))
        and wanted.get("state") in (None, one.state.value)
        and wanted.get("vtep") in (None, one.vtep)
        and ("address" not in wanted or wanted["address"] in one.addresses)
    )


def _mac(one: MacView, names: Mapping[int, str]) -> dict[str, Any]:
    return {
        "vni": one.vni,
        "mac": one.mac.hex(":"),
        "state": one.state.value,
        "vtep": str(one.vtep) if one.vtep else None,
        "port": names.get(one.port, f"#{one.port}") if one.port else None,
        "sequence": one.sequence,
        "sticky": one.sticky,
        "age": round(one.age, 1),
        "moves": one.moves,
        "release_in": round(one.release, 1) if one.release else None,
        "addresses": [str(address) for address in one.addresses],
    }


def vteps(engine: Engine, cursor: int | str, limit: int, given: Filter) -> dict[str, Any]:
    at, wanted = _position(cursor), filters.evpn_vtep_filter(given)
    view = engine.evpn.view() or EvpnView()
    found = [
        one
        for one in view.vteps
        if wanted.get("vni") in (None, one.vni) and wanted.get("vtep") in (None, one.address)
    ]
    return _page("vteps", found, at, limit, _vtep)


def _vtep(one: VtepView) -> dict[str, Any]:
    return {"vni": one.vni, "address": str(one.address), "flood": one.flood, "macs": one.macs}


def prefixes(engine: Engine, cursor: int | str, limit: int, given: Filter) -> dict[str, Any]:
    at, wanted = _position(cursor), filters.evpn_vtep_filter(given)
    view = engine.evpn.view() or EvpnView()
    found = [
        one
        for one in view.prefixes
        if wanted.get("vni") in (None, one.vni) and wanted.get("vtep") in (None, one.vtep)
    ]
    return _page("prefixes", found, at, limit, _prefix)


def _prefix(one: PrefixView) -> dict[str, Any]:
    return {
        "vni": one.vni,
        "prefix": str(one.prefix),
        "vtep": str(one.vtep) if one.vtep else None,
        "router_mac": one.router_mac.hex(":") or None,
    }


def _position(cursor: int | str) -> int:
    if not isinstance(cursor, int):
        raise UsageError("cursor: must be one that an answer gave")
    return cursor


def _page(
    key: str, found: list[Any], at: int, limit: int, plain: Callable[[Any], dict[str, Any]]
) -> dict[str, Any]:
    following = at + limit if at + limit < len(found) else None
    return {key: [plain(one) for one in found[at : at + limit]], "next": following}


# ---- clearing ---------------------------------------------------------------------------


def clear(engine: Engine, given: Filter) -> dict[str, Any]:
    """Releases stations that moved too often; UsageError for half a MAC address."""
    wanted = filters.evpn_clear_filter(given)
    mac = wanted.get("mac")
    if mac is not None and len(mac) != 6:
        raise UsageError("mac: must be a whole MAC address", code="filter")
    return {"cleared": engine.evpn.clear(wanted.get("vni"), mac)}


def clear_refused(engine: Engine) -> dict[str, Any]:
    return {"cleared": engine.evpn.forget_refused()}
