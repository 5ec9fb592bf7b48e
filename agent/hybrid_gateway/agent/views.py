# SPDX-License-Identifier: GPL-2.0-or-later
"""What the agent answers: JSON-able, with stable key names."""

import os
from dataclasses import asdict
from typing import Any

from .. import __version__
from ..bypass import passers
from ..errors import GwError
from ..model import (
    Config,
    Device,
    Identity,
    NatLog,
    Plane,
    PortForward,
    PortRange,
    Static,
    Step,
)
from ..translation import INTERFACE
from ..worker_client import WorkerStatus
from . import evpn_views, listing, vxlan, worker_views
from .engine import Engine, Prepared


def steps(done: tuple[Step, ...]) -> list[dict[str, str]]:
    return [{"kind": s.kind.value, "subject": s.subject, "text": s.text} for s in done]


def notices(config: Config | None) -> list[Any]:
    if config is None:
        return []
    return [{"where": notice.where, "message": notice.message} for notice in config.warnings]


def planned(prepared: Prepared) -> dict[str, Any]:
    return {
        "config": prepared.config.path,
        "steps": steps((*prepared.steps, *prepared.told)),
        "warnings": [*notices(prepared.config), *prepared.wanted.warnings, *prepared.notes],
    }


def status(engine: Engine) -> dict[str, Any]:
    section, worker = worker_views.status(engine)
    answer: dict[str, Any] = {
        "instance": engine.instance.name,
        "version": __version__,
        "pid": os.getpid(),
        "state": engine.state,
        "since": round(engine.since, 3),
        "config": str(engine.config_path),
        "ports": ports(engine, worker),
        "sessions": _sessions(engine),
        "vxlan": vxlan.summary(engine, worker),
        "evpn": evpn_views.summary(engine),
        "worker": section,
        "warnings": [*warnings(engine), *worker_views.warnings(worker)],
    }
    if engine.error:
        answer["error"] = str(engine.error)
    return answer


def warnings(engine: Engine) -> list[Any]:
    found: list[Any] = [*notices(engine.config), *engine.wanted.warnings, *engine.notes]
    found += engine.mirror.warnings
    found += engine.evpn.warnings
    found += worker_views.away(engine)
    found += [
        f"{port['device']} runs XDP in {port['mode']} mode: its driver has no native one"
        for port in _ports_of_xdp(engine)
        if port["mode"] not in (None, "native")
    ]
    if engine.config and engine.bypassed:
        who = passers(engine.config)
        found += [f"{who} goes past {name}, which appeared later" for name in engine.bypassed]
    return [*found, engine.unsaved] if engine.unsaved else found


def _sessions(engine: Engine) -> dict[str, int]:
    nat44 = engine.config.nat44 if engine.config else None
    limit = engine.wanted.sizes.sessions if nat44 and engine.wanted.sizes else 0
    used = 0
    if limit:
        try:
            used = engine.dataplane.session_count()
        except GwError:
            limit = 0
    return {"used": used, "limit": limit}


def ports(engine: Engine, worker: WorkerStatus | None) -> list[dict[str, Any]]:
    """Every configured port, in the order of the file."""
    of_plane = (*_ports_of_xdp(engine), *worker_views.ports(engine, worker))
    found = {port["name"]: port for port in of_plane}
    return [found[port.name] for port in engine.config.ports] if engine.config else []


def _ports_of_xdp(engine: Engine) -> list[dict[str, Any]]:
    """One without a device or a role says so by null."""
    if engine.config is None:
        return []
    attached = engine.attached()
    devices = {device.name: device for device in engine.wanted.devices}
    names = {device.ifindex: device.name for device in engine.wanted.devices}
    running = {link.name: link.running for link in engine.links}
    answer = []
    for port in engine.config.ports_of(Plane.XDP):
        device = devices.get(port.device)
        answer.append(
            {
                "name": port.name,
                "device": port.device,
                "plane": port.plane.value,
                "ifindex": device.ifindex if device else None,
                "up": running.get(port.device),
                "role": _role(device) if device else None,
                "bridged": bool(device and device.bridged),
                "underlay": bool(device and device.underlay),
                "mode": attached.get(device.ifindex) if device else None,
                "l3_device": names.get(device.l3_ifindex) if device else None,
                "taken": False,
                "dpdk": None,
            }
        )
    return answer


def _role(device: Device) -> str | None:
    """In NAT44; one that only bridges or carries VXLAN has none."""
    return "outside" if device.outside else "inside" if device.inside else None


def nat(engine: Engine) -> dict[str, Any]:
    config = engine.config.nat44 if engine.config else None
    if config is None:
        return {"enabled": False, "static": [], "warnings": warnings(engine)}
    settings = engine.wanted.settings
    return {
        "enabled": settings.enabled,
        "inside": list(config.inside),
        "outside": config.outside,
        "addresses": [str(address) for address in settings.addresses],
        "addresses_from": INTERFACE if INTERFACE in config.addresses else "pool",
        "ports": str(config.ports),
        "filtering": config.filtering.value,
        "sessions": _sessions(engine),
        "hosts": listing.hosts(engine),
        "pools": (pools := listing.pools(engine, config)),
        "mappings": sum(pool["used"] for pool in pools),
        "per_host": asdict(config.per_host),
        "timeouts": asdict(config.timeouts),
        "mss_clamp": config.mss_clamp,
        "log": _log(config.log),
        "persist": config.persist,
        "prefixes": [str(prefix) for prefix in engine.wanted.prefixes],
        "static": [_static(entry) for entry in config.static],
        "warnings": warnings(engine),
    }


def _static(entry: Static) -> dict[str, Any]:
    if isinstance(entry, Identity):
        same = f"{entry.address}:{entry.port}"
        return {"protocol": entry.protocol.value, "outside": same, "inside": same}
    if isinstance(entry, PortForward):
        answer: dict[str, Any] = {
            "protocol": entry.protocol.value,
            "outside": f"{entry.outside_address or ''}:{_ports(entry.outside_ports)}",
            "inside": f"{entry.inside_address}:{_ports(entry.inside_ports)}",
        }
        if entry.backends:
            answer["inside"] = ", ".join(f"{b.address}:{b.port}" for b in entry.backends)
            answer["weights"] = [backend.weight for backend in entry.backends]
        return answer
    return {"protocol": None, "outside": str(entry.outside), "inside": str(entry.inside)}


def _log(log: NatLog) -> dict[str, Any]:
    collector = f"{log.ipfix[0]}:{log.ipfix[1]}" if log.ipfix else None
    return {
        "sessions": log.sessions,
        "mappings": log.mappings,
        "destinations": log.destinations,
        "ipfix": collector,
    }


def _ports(ports: PortRange) -> str:
    return str(ports.low) if len(ports) == 1 else str(ports)


def log(engine: Engine) -> dict[str, Any]:
    """What became of the events of sessions and mappings: since the agent started, and for what
    the ring had no room for, since the programs were loaded first."""
    counts = engine.dataplane.counters() if engine.wanted.sizes else {}
    lost = sum(port.get("LOG_LOST", 0) for port in counts.values())
    return {**engine.session_log.stats(), "ring_lost": lost}


def counters(engine: Engine) -> dict[str, Any]:
    """Since the programs were loaded first, or the port was attached or added last."""
    counts = engine.dataplane.counters() if engine.wanted.sizes else {}
    of_worker = worker_views.counters(engine)
    return {
        "ports": [
            {
                "name": port["name"],
                "device": port["device"],
                "plane": port["plane"],
                "ifindex": port["ifindex"],
                "counters": of_worker.get(port["name"], {})
                if port["plane"] == Plane.DPDK.value
                else counts.get(port["ifindex"], {}),
            }
            for port in ports(engine, None)
        ]
    }
