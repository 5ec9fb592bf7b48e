# SPDX-License-Identifier: GPL-2.0-or-later
"""A worker, an engine and a loop that are only told of, for whoever follows the worker."""

import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

from hybrid_gateway.errors import WorkerAbsentError
from hybrid_gateway.model import WorkerState
from hybrid_gateway.observe import Part
from hybrid_gateway.worker_trust import Judgement

GIVEN_BACK, STARTING = WorkerState.GIVEN_BACK, WorkerState.STARTING


class Timer:
    def __init__(self, due: float, action: Callable[[], None]) -> None:
        self.due, self.action, self.cancelled = due, action, False

    def cancel(self) -> None:
        self.cancelled = True


class Clock:
    """The loop, whose time passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.timers: list[Timer] = []
        self.readers: dict[int, Callable[[], None]] = {}

    def time(self) -> float:
        return self.now

    def call_later(self, seconds: float, call: Callable[..., None], *values: Any) -> Timer:
        self.timers.append(Timer(self.now + seconds, lambda: call(*values)))
        return self.timers[-1]

    def add_reader(self, file: int, call: Callable[..., None], *values: Any) -> None:
        self.readers[file] = lambda: call(*values)

    def remove_reader(self, file: int) -> None:
        del self.readers[file]

    def create_task(self, coroutine: Any) -> Any:
        coroutine.close()  # pinging needs a real loop, and threads
        return Timer(0, lambda: None)

    def pass_time(self, seconds: float) -> None:
        end = self.now + seconds
        while due := [t for t in self.timers if not t.cancelled and t.due <= end]:
            first = min(due, key=lambda timer: timer.due)
            self.timers.remove(first)
            self.now = max(self.now, first.due)
            first.action()
        self.now = end


@dataclass
class Site:
    """The worker, what the agent thinks of it, and the looks that this brings about."""

    clock: Clock = field(default_factory=Clock)
    runs: bool = False
    has_ports: bool = True
    judgement: Judgement | None = None
    crashes: list[float] = field(default_factory=list)
    leaving: set[int] = field(default_factory=set)
    looks: list[tuple[Part, WorkerState | None]] = field(default_factory=list)
    config: object = "some"
    pid: int = 100
    followed: int = 0
    held: tuple[int, ...] = ()
    orderly: bool = False
    due: float | None = None
    ends: list[socket.socket] = field(default_factory=list)

    @property
    def worker(self) -> Self:
        return self

    def taken(self) -> tuple[str, ...]:
        return ("sfp0",) * self.has_ports

    def give_up(self, reason: str, *, again: float | None) -> bool:
        self.judgement = Judgement(GIVEN_BACK, reason, again)
        return True

    def retry(self, now: float) -> bool:
        if self.due is None or self.due > now:
            return False
        self.due = None
        return True

    def reconcile(self, parts: Part) -> None:
        self.looks.append((parts, self.judgement.state if self.judgement else None))
        if self.judgement and self.judgement.state is GIVEN_BACK:
            self.has_ports = False
        elif self.runs and self.judgement is None:
            self.has_ports = True

    def forget(self) -> None:
        pass

    def client(self) -> Self:
        return self

    def watched(self) -> Self:
        return self

    def connected(self) -> socket.socket:
        if not self.runs:
            raise WorkerAbsentError("the worker does not run")
        near, far = socket.socketpair()
        self.ends += [near, far]
        return near

    def peer(self) -> int:
        return self.pid

    def farewell(self) -> bool:
        if self.orderly:
            self.orderly = False
            return True
        raise WorkerAbsentError("it hung up")

    def close(self) -> None:
        pass

    def start(self) -> None:
        self.runs, self.pid = True, self.pid + 1

    def die(self) -> None:
        self.runs = False
        (call,) = self.clock.readers.values()
        call()

    def end(self) -> None:
        """In good order: it says so, and hangs up."""
        self.orderly = True
        (call,) = self.clock.readers.values()
        call()
        self.die()
