# SPDX-License-Identifier: GPL-2.0-or-later
"""Calls of the DPDK worker over its socket; they block, and not for long."""

import dataclasses
import socket
from collections.abc import Iterable
from enum import Enum
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any, Self, TypeVar

from .errors import UsageError, WorkerAbsentError, WorkerError, WorkerTimeoutError, worker_error
from .jsonrpc import Connection
from .worker_values import (
    ENDED,
    GraphNode,
    LcoreStatus,
    MemoryStatus,
    MirrorStatus,
    Place,
    Places,
    PortStatus,
    Way,
    Ways,
    WorkerCounters,
    WorkerGraph,
    WorkerOptions,
    WorkerPort,
    WorkerSegment,
    WorkerStatus,
    decoded,
)

__all__ = [
    "GraphNode",
    "LcoreStatus",
    "MemoryStatus",
    "MirrorStatus",
    "PortStatus",
    "Way",
    "WorkerClient",
    "WorkerCounters",
    "WorkerGraph",
    "WorkerOptions",
    "WorkerPort",
    "WorkerStatus",
]

T = TypeVar("T")

READ_SECONDS = 2.0
START_SECONDS = 15.0
"""EAL clears the hugepages that it takes: a gigabyte in half a second."""
PORT_SECONDS = 10.0
"""A NIC is reset, and a queue that does not drain is waited for."""


class WorkerClient:
    """One connection to a worker; a context manager.

    Every call may raise WorkerAbsentError (nobody listens, or it ended meanwhile),
    WorkerTimeoutError, or what the worker answered: a WorkerError, of the class that its meaning
    has in errors.py.
    """

    def __init__(self, socket: Path) -> None:
        self._path = socket
        self._connection = Connection(socket)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._connection.close()

    def connected(self) -> socket.socket:
        """The connection's socket, to watch: readable between calls means that the worker ends."""
        try:
            return self._connection.connected(READ_SECONDS)
        except OSError as error:
            raise self._absent(error) from error

    def peer(self) -> int:
        """Its process, also of one that does not answer."""
        try:
            return self._connection.peer(READ_SECONDS)
        except OSError as error:
            raise self._absent(error) from error

    def farewell(self) -> bool:
        """Of a connection that is readable between calls: whether the worker says that it ends, in
        good order, with nothing in its hands any more. WorkerAbsentError when it hung up."""
        try:
            return self._connection.notification() == ENDED
        except OSError as error:
            raise self._absent(error) from error

    def status(self) -> WorkerStatus:
        return _value(WorkerStatus, self._call("status"))

    def start(self, options: WorkerOptions) -> None:
        """EAL, lcores, graph and mirror; once in the life of a worker."""
        self._call("start", START_SECONDS, options=_plain(options))

    def add_port(self, port: WorkerPort) -> PortStatus:
        answer = self._call("port.add", PORT_SECONDS, port=_plain(port))
        return _value(PortStatus, answer)

    def remove_port(self, name: str) -> None:
        """Its TAP stays, without carrier. NoSuchPortError when there is none of that name."""
        self._call("port.remove", PORT_SECONDS, name=name)

    def set_segments(self, segments: Iterable[WorkerSegment]) -> None:
        """All VXLAN segments, in place of those before; after an error those are in force."""
        self._call("segments.set", segments=[_plain(segment) for segment in segments])

    def counters(self) -> WorkerCounters:
        return _value(WorkerCounters, self._call("counters"))

    def graph(self) -> WorkerGraph:
        return _value(WorkerGraph, self._call("graph"))

    def wait_for_mirror(self, seconds: float = READ_SECONDS) -> None:
        """Until what the kernel has said before is in the tables; MirrorTimeoutError if not."""
        self._call("mirror.wait", seconds + READ_SECONDS, milliseconds=int(seconds * 1000))

    def explain(
        self, addresses: Iterable[IPv4Address | IPv6Address | str], flow: int = 0
    ) -> tuple[Way, ...]:
        """Where a packet to each would go; `flow` chooses among several next hops."""
        wanted = [str(address) for address in addresses]
        answer = self._call("mirror.explain", addresses=wanted, flow=flow)
        return _value(Ways, answer).ways

    def locate(self, bridge: int, macs: Iterable[str]) -> tuple[Place, ...]:
        """Where the tables have each station of a bridge, which an ifindex names."""
        answer = self._call("mirror.locate", bridge=bridge, macs=list(macs))
        return _value(Places, answer).places

    def stop(self) -> None:
        """Asks it to end; it answers first, and has ended when the connection is closed."""
        self._call("stop")

    def _call(self, method: str, timeout: float = READ_SECONDS, **params: Any) -> Any:
        try:
            answer = self._connection.call(method, params, timeout)
        except TimeoutError as error:
            message = f"the worker did not answer {method} within {timeout:g} s"
            raise WorkerTimeoutError(message) from error
        except ConnectionAbortedError as error:
            raise WorkerAbsentError(f"the worker ended during {method}") from error
        except OSError as error:
            raise self._absent(error) from error
        if "result" in answer:
            return answer["result"]
        raise _typed(answer.get("error"))

    def _absent(self, error: OSError) -> WorkerError:
        if isinstance(error, (FileNotFoundError, ConnectionRefusedError)):
            return WorkerAbsentError(nobody(self._path))
        return WorkerAbsentError(f"{self._path}: the worker cannot be asked: {error.strerror}")


def nobody(path: Path) -> str:
    """What there is to say without a worker on that socket."""
    return f"no worker listens on {path}: systemctl status gw-worker"


def _value(kind: type[T], answer: object) -> T:
    """An agent that was upgraded may find a worker that was not, and forwards."""
    try:
        return decoded(kind, answer)
    except UsageError as error:
        raise WorkerError(
            f"the worker is of another version ({error.message}): `systemctl restart gw-worker` "
            "starts the new one",
            code="worker.version",
        ) from error


def _typed(error: Any) -> WorkerError:
    data = error.get("data") if isinstance(error, dict) else None
    if isinstance(data, dict):
        return worker_error(str(data.get("message")), str(data.get("code")), data.get("where"))
    message = error.get("message") if isinstance(error, dict) else error
    return WorkerError(f"the worker refused the call: {message}", code="worker.protocol")


def _plain(value: Any) -> dict[str, Any]:
    """Of options, ports and segments, which are flat."""
    pairs = dataclasses.asdict(value).items()
    return {name: one.value if isinstance(one, Enum) else one for name, one in pairs}
