# SPDX-License-Identifier: GPL-2.0-or-later
"""The DPDK worker as the agent tells of it: JSON-able, with stable key names."""

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ..errors import NotStartedError, WorkerError
from ..model import Plane, Polling, Port, TakenPort, WorkerState
from ..worker_client import GraphNode, PortStatus, WorkerStatus
from ..worker_trust import OWNER, Judgement
from .engine import Engine
from .worker import CRASHES_SECONDS

FIGURES = (
    "rx_packets",
    "rx_bytes",
    "rx_missed",
    "rx_errors",
    "rx_no_buffer",
    "tx_packets",
    "tx_bytes",
    "tx_errors",
    "to_kernel",
    "from_kernel",
)
"""Of PortStatus, which are counters."""


def status(engine: Engine) -> tuple[dict[str, Any] | None, WorkerStatus | None]:
    """For `status`, and what the worker said; None: it has nothing to do with this gateway."""
    config, view = engine.config, engine.worker
    taken = view.taken()
    if not taken and not (config and config.worker):
        return None, None
    state, reason, found = view.state(taken)
    options = found.options if found else None
    worker = config.worker if config else None
    now = time.monotonic()
    return {
        "state": state.value,
        "reason": reason or None,
        "pid": found.pid if found else None,
        "cores": list(options.cores) if options else [],
        "polling": (worker.polling if worker else Polling.ADAPTIVE).value,
        "hugepages": _hugepages(found, worker.hugepages if worker else None),
        "ports": sorted(found.ports) if found else [],
        "mirror": asdict(found.mirror) if found and found.mirror else None,
        "lcores": [asdict(lcore) for lcore in found.lcores] if found else [],
        **_retry(view.judgement, now),
        "left_out": [
            {"port": name, "reason": one.reason, "retry_in": _in(one.again, now)}
            for name, one in sorted(view.shunned.items())
        ],
        "crashes": sum(now - then < CRASHES_SECONDS for then in view.crashes),
    }, found


def _retry(judged: Judgement | None, now: float) -> dict[str, Any]:
    """What a worker that was given up waits for: its "return", the next "apply", or some time."""
    if judged is None or judged.state is not WorkerState.GIVEN_BACK:
        return {"waits_for": None, "retry_in": None}
    if judged.again is None or judged.again == OWNER:
        return {"waits_for": "apply" if judged.again else "return", "retry_in": None}
    return {"waits_for": "time", "retry_in": _in(judged.again, now)}


def _in(again: float, now: float) -> int | None:
    """Seconds; None: not before the owner applies the configuration."""
    return None if again == OWNER else max(0, round(again - now))


def _hugepages(status: WorkerStatus | None, configured: int | None) -> dict[str, int | None]:
    """Bytes."""
    memory = status.memory if status else None
    return {
        "configured": configured,
        "got": memory.hugepages_bytes if memory else None,
        "minimum": memory.minimum_bytes if memory else None,
    }


def current(engine: Engine) -> WorkerStatus | None:
    """None: there is nobody to ask, or nothing to ask about."""
    if engine.config is None or engine.config.worker is None:
        return None
    if engine.worker.judgement and engine.worker.judgement.state is WorkerState.GIVEN_BACK:
        return None
    with contextlib.suppress(WorkerError):
        return engine.worker.status()
    return None


def warnings(status: WorkerStatus | None) -> list[str]:
    """What the worker itself complains about."""
    if status is None:
        return []
    found = [f"port {name}: {port.problem}" for name, port in status.ports.items() if port.problem]
    if status.mirror and status.mirror.problem:
        found.append(f"worker: {status.mirror.problem}")
    return found


def away(engine: Engine) -> list[str]:
    """Devices that neither the worker has nor the kernel."""
    now = time.monotonic()
    return [
        f"port {name}: its device does not come back: {one.reason}; "
        f"tried again in {_in(one.again, now)} s"
        for name, one in sorted(engine.worker.away.items())
    ]


def ports(engine: Engine, status: WorkerStatus | None) -> list[dict[str, Any]]:
    """Those of the worker, with the keys that every port has; `dpdk` null: it does not have it, and
    neither has the kernel's driver when it is `taken`."""
    if engine.config is None:
        return []
    taken = {one.name: one for one in engine.worker.taken()}
    links = {link.name: link for link in engine.links}
    answer = []
    for port in engine.config.ports_of(Plane.DPDK):
        device = _device(port, taken.get(port.name))
        link = links.get(device)
        has = status.ports.get(port.name) if status else None
        answer.append(
            {
                "name": port.name,
                "device": device,
                "plane": port.plane.value,
                "ifindex": has.ifindex if has else link.ifindex if link else None,
                "up": has.link_up and has.admin_up if has else link.running if link else None,
                "role": None,
                "bridged": bool(link and link.master),
                "underlay": False,
                "mode": None,
                "l3_device": _l3_device(engine, device),
                "taken": port.name in taken,
                "dpdk": _dpdk(has) if has else None,
            }
        )
    return answer


def _device(port: Port, taken: TakenPort | None) -> str:
    """What the kernel calls it."""
    return taken.tap if taken else port.device or port.iface or port.where


def _l3_device(engine: Engine, device: str) -> str | None:
    """The bridge, of a port of one."""
    link = next((link for link in engine.links if link.name == device), None)
    if link is None:
        return None
    return next((one.name for one in engine.links if one.ifindex == link.master), device)


def _dpdk(port: PortStatus) -> dict[str, Any]:
    return {
        "device": port.device,
        "driver": port.driver,
        "mac": port.mac,
        "mtu": port.mtu,
        "speed": port.speed or None,
        "polling": port.polling.value,
        "rx_interrupts": port.rx_interrupts,
        "sleeping": port.sleeping,
        "core": port.lcore,
        "problem": port.problem or None,
        **{name: getattr(port, name) for name in FIGURES},
    }


def counters(engine: Engine) -> Mapping[str, Mapping[str, int]]:
    """By name of the port; empty when nobody answers."""
    if engine.config and engine.config.worker:
        with contextlib.suppress(WorkerError), engine.worker.client() as client:
            return client.counters().ports
    return {}


def graph(engine: Engine) -> dict[str, Any]:
    """Nodes in the order in which frames meet them; NotStartedError when there is no graph."""
    if not (engine.config and engine.config.worker):
        raise NotStartedError("there is no graph: no port has `plane: dpdk`")
    state, reason, found = engine.worker.state(engine.worker.taken())
    if found is None or not found.started:
        because = f": {reason}" if reason else ""
        raise NotStartedError(f"there is no graph while the worker is {state.value}{because}")
    with engine.worker.client() as client:
        nodes = client.graph().nodes
    cycles = sum(node.cycles for node in nodes)
    return {
        "nodes": [
            {
                "name": node.name,
                "calls": node.calls,
                "packets": node.packets,
                "cycles": node.cycles,
                "packets_per_call": round(node.packets / node.calls, 2) if node.calls else None,
                "cycles_per_packet": round(node.cycles / node.packets, 1) if node.packets else None,
                "share": round(node.cycles / cycles, 4) if cycles else 0.0,
                "next": list(node.next),
            }
            for node in in_flow_order(nodes)
        ]
    }


def in_flow_order(nodes: Sequence[GraphNode]) -> list[GraphNode]:
    """Each after all that lead to it; where a graph has cycles, as it was listed."""
    left = {node.name: node for node in nodes}
    found: list[GraphNode] = []
    while left:
        targets = {name for node in left.values() for name in node.next if name != node.name}
        free = [node for name, node in left.items() if name not in targets]
        following = free or [next(iter(left.values()))]
        for node in following:
            found.append(left.pop(node.name))
    return found
