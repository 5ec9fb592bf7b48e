# SPDX-License-Identifier: GPL-2.0-or-later
"""What status and show say of the DPDK worker and its ports."""

from collections.abc import Iterator, Sequence
from typing import Any

from . import text

Port = dict[str, Any]
MIB = 1 << 20


def is_its(port: Port) -> bool:
    """Whether a port of an answer is the worker's."""
    return port.get("plane") == "dpdk"


def ports(found: Sequence[Port]) -> str:
    """A table; empty without ports of the worker."""
    rows = [
        (
            port["name"],
            port["device"],
            port.get("ifindex"),
            text.yes_no(port.get("up")),
            _of(port, "driver") or ("nobody" if port.get("taken") else "the kernel's"),
            _speed(_of(port, "speed")),
            _of(port, "polling"),
            _of(port, "core"),
            port.get("l3_device"),
        )
        for port in found
        if is_its(port)
    ]
    head = ("PORT", "DEVICE", "INDEX", "UP", "DRIVER", "SPEED", "POLLING", "CORE", "ADDRESSES ON")
    return text.table(head, rows, numbers=(2, 7))


def traffic(found: Sequence[Port]) -> str:
    """A table of frames; empty when the worker has no port."""
    names = ("rx_packets", "tx_packets", "to_kernel", "from_kernel")
    rows = [
        (port["name"], *(text.number(port["dpdk"][name]) for name in names), _lost(port["dpdk"]))
        for port in found
        if is_its(port) and port.get("dpdk")
    ]
    head = ("PORT", "RECEIVED", "SENT", "TO KERNEL", "FROM KERNEL", "LOST OR WRONG")
    return text.table(head, rows, numbers=range(1, 6))


def _lost(figures: dict[str, Any]) -> str:
    names = ("rx_missed", "rx_errors", "rx_no_buffer", "tx_errors")
    return text.number(sum(figures[name] for name in names))


def _of(port: Port, name: str) -> Any:
    return (port.get("dpdk") or {}).get(name)


def _speed(megabits: int | None) -> str | None:
    if not megabits:
        return None
    return f"{megabits / 1000:g} Gb/s" if megabits >= 1000 else f"{megabits} Mb/s"


def describe(worker: dict[str, Any] | None) -> str:
    """Its lines in `status`."""
    return text.pairs(_lines(worker)) if worker else ""


def _lines(worker: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield "worker", "; ".join(_state(worker))
    memory = worker.get("hugepages") or {}
    if memory.get("got") is not None:
        needed = f"; {_mib(memory['minimum'])} needed at least"
        yield "hugepages", _mib(memory["got"]) + (needed if memory.get("minimum") else "")
    mirror = worker.get("mirror")
    if mirror:
        yield "mirror", ", ".join(_mirror(mirror))
    if left := worker.get("left_out"):
        yield "left out", "; ".join(f"{one['port']}, {_again(one['retry_in'])}" for one in left)
    if worker.get("crashes"):
        yield "crashes", f"{worker['crashes']} within the last minute"


def _state(worker: dict[str, Any]) -> Iterator[str]:
    process = f" (process {worker['pid']})" if worker.get("pid") else ""
    reason = f": {worker['reason']}" if worker.get("reason") else ""
    yield f"{text.state(worker['state'])}{process}{reason}"
    cores = worker.get("cores") or []
    if cores:
        yield f"core{'s' if len(cores) > 1 else ''} {', '.join(map(str, cores))}"
        yield f"polling {worker['polling']}"
    waits = worker.get("waits_for")
    if waits == "return":
        yield "tried again when it is back"
    elif waits:
        yield _again(worker.get("retry_in"))


def _again(seconds: int | None) -> str:
    if seconds is None:
        return "tried again by gwctl apply"
    return f"tried again in {text.duration(seconds)}, or by gwctl apply"


def _mirror(mirror: dict[str, Any]) -> Iterator[str]:
    neighbours = mirror["neighbours4"] + mirror["neighbours6"]
    yield f"{text.number(mirror['routes4'])} IPv4 and {text.number(mirror['routes6'])} IPv6 routes"
    yield text.count(mirror["nexthops"], "next hop")
    yield text.count(neighbours, "neighbour")
    yield text.count(mirror["stations"], "station")
    if not mirror["synchronised"]:
        yield "not complete yet"


def _mib(size: int) -> str:
    return f"{size // MIB} MB"
