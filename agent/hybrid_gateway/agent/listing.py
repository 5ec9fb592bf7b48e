# SPDX-License-Identifier: GPL-2.0-or-later
"""Sessions, mappings and pools as the agent tells of them: a page at a time, stable key names."""

from collections.abc import Mapping
from functools import lru_cache
from ipaddress import IPv4Address
from typing import Any

from ..bpf import SessionInfo
from ..bpf.nat import MappingFilter, MappingInfo, PortUse
from ..errors import UsageError
from ..model import Nat44, PortRange, StaticMapping
from . import filters
from .engine import Engine

# A page has the same few addresses again and again.
address_text = lru_cache(1024)(str)


def _endpoint(value: tuple[IPv4Address, int]) -> list[Any]:
    return [address_text(value[0]), value[1]]


def _session(info: SessionInfo) -> dict[str, Any]:
    """Built by hand: what goes field by field through `api.plain` takes three times as long."""
    return {
        "index": info.index,
        "protocol": info.protocol,
        "state": info.state,
        "origin": info.origin,
        "inside": _endpoint(info.inside),
        "outside": _endpoint(info.outside),
        "remote": _endpoint(info.remote),
        "packets_out": info.packets_out,
        "packets_in": info.packets_in,
        "bytes_out": info.bytes_out,
        "bytes_in": info.bytes_in,
        "age": round(info.age, 3),
        "expires_in": round(info.expires_in, 3),
    }


def sessions(
    engine: Engine,
    cursor: int | str,
    limit: int,
    wanted: Mapping[str, Any],
    sort: str | None,
    reverse: bool,
) -> dict[str, Any]:
    order = filters.order(sort, reverse)
    asked = filters.session_filter(wanted)
    if not engine.wanted.sizes:
        return {"sessions": [], "next": None}
    found, following = engine.dataplane.nat.sessions(asked, cursor=cursor, limit=limit, order=order)
    return {"sessions": [_session(info) for info in found], "next": following}


def session_count(engine: Engine, wanted: Mapping[str, Any]) -> dict[str, Any]:
    asked = filters.session_filter(wanted)
    return {"count": engine.dataplane.nat.count(asked) if engine.wanted.sizes else 0}


def mappings(
    engine: Engine, cursor: int | str, limit: int, wanted: Mapping[str, Any]
) -> dict[str, Any]:
    asked = MappingFilter(**filters.mapping_filter(wanted))
    if not isinstance(cursor, int):
        raise UsageError("cursor: must be one that an answer gave")
    if not engine.wanted.sizes:
        return {"mappings": [], "next": None}
    found, following = engine.dataplane.nat.mappings(asked, cursor, limit)
    return {"mappings": [_mapping(info) for info in found], "next": following}


def _mapping(info: MappingInfo) -> dict[str, Any]:
    return {
        "protocol": info.protocol,
        "inside": _endpoint(info.inside),
        "outside": _endpoint(info.outside),
        "sessions": info.users,
    }


def pools(engine: Engine, config: Nat44) -> list[dict[str, Any]]:
    """Outside ports by address and protocol; `left` is what could be given out now."""
    if not engine.wanted.sizes:
        return []
    statics = engine.wanted.statics
    return [_pool(use, config.ports, statics) for use in engine.dataplane.nat.ports()]


def _pool(use: PortUse, ports: PortRange, statics: tuple[StaticMapping, ...]) -> dict[str, Any]:
    fixed = sum(_static_ports(static, use, ports) for static in statics)
    return {
        "address": str(use.address),
        "protocol": use.protocol,
        "ports": len(ports),
        "used": use.used,
        "resting": use.resting,
        "static": fixed,
        "left": max(0, len(ports) - use.used_in_range - use.resting - fixed),
    }


def _static_ports(static: StaticMapping, use: PortUse, ports: PortRange) -> int:
    """How many of the ports are never given out because a static mapping has them."""
    if static.outside != use.address or static.protocol not in (0, use.protocol):
        return 0
    if not static.protocol:
        return len(ports)
    return ports.shared(PortRange(static.outside_port, static.outside_port + static.ports - 1))


def hosts(engine: Engine) -> dict[str, int]:
    if not engine.wanted.sizes:
        return {"holding": 0, "at_limit": 0}
    use = engine.dataplane.nat.hosts()
    return {"holding": use.hosts, "at_limit": use.at_limit}
