# SPDX-License-Identifier: GPL-2.0-or-later
"""What forwards replayed frames on one core, and what that takes it.

All contenders of a case stand at the same time, and all but the one that is measured are stopped.
"""

import os
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.bench.generator import CPU
from tests.bench.measure import MeasurementError

CONTROL_CPU = CPU - 1
WARM_SECONDS, RUN_SECONDS = 0.3, 1.0


@dataclass(frozen=True)
class Replay:
    """What is replayed, and what the table it is routed by takes."""

    name: str
    pcap: Path
    frames: int  # in the file; each is a buffer of the port while it is replayed


@dataclass(frozen=True)
class Times:
    """Of one thread, since it began; nanoseconds."""

    ran: int
    waited: int  # while something else had its core

    def since(self, before: "Times") -> "Times":
        return Times(self.ran - before.ran, self.waited - before.waited)

    @property
    def waited_share(self) -> float:
        return self.waited / max(self.ran + self.waited, 1)


@dataclass(frozen=True)
class Forwarded:
    """One run."""

    frames: int
    times: Times

    @property
    def ns_per_frame(self) -> float:
        return self.times.ran / self.frames

    @property
    def waited_share(self) -> float:
        return self.times.waited_share


def thread_times(pid: int, tid: int) -> Times:
    ran, waited, _ = Path(f"/proc/{pid}/task/{tid}/schedstat").read_text().split()
    return Times(int(ran), int(waited))


def thread_on(pid: int, cpu: int) -> int:
    """The one thread of a process that may run on this processor alone."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        allowed = (task / "status").read_text().partition("Cpus_allowed_list:")[2].split()[0]
        if allowed == str(cpu):
            found.append(int(task.name))
    if len(found) != 1:
        raise MeasurementError(f"{len(found)} threads of process {pid} on processor {cpu}")
    return found[0]


def put_first(pid: int, cpu: int) -> None:
    """What else wants the core waits for the process's thread there, for as long as it is busy."""
    os.sched_setscheduler(thread_on(pid, cpu), os.SCHED_FIFO, os.sched_param(1))


class Forwarder(ABC):
    """A process that forwards for as long as it runs, at once after entering the context."""

    pid: int

    def __init__(self, label: str, replay: Replay) -> None:
        self.label = label
        self.replay = replay
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        try:
            self.start(self._stack)
            self._thread = thread_on(self.pid, CPU)
            os.kill(self.pid, signal.SIGSTOP)
        except BaseException:
            self._stack.close()
            raise
        # First of what is undone: a stopped process would not end.
        self._stack.callback(os.kill, self.pid, signal.SIGCONT)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @abstractmethod
    def start(self, stack: ExitStack) -> None:
        """Starts and furnishes it, and sets `pid`; `stack` takes all of it away again."""

    @abstractmethod
    def forwarded(self) -> int:
        """Frames that have left so far."""

    def times(self) -> Times:
        """Of the thread that forwards."""
        return thread_times(self.pid, self._thread)

    def complaints(self) -> Iterator[str]:
        """Why what it has done is not what is to be measured."""
        yield from ()

    def run(self) -> Forwarded:
        with self.running():
            time.sleep(WARM_SECONDS)
            frames, times = self.forwarded(), self.times()
            time.sleep(RUN_SECONDS)
            frames, times = self.forwarded() - frames, self.times().since(times)
            wrong = list(self.complaints())
        if wrong or not frames:
            what = ", ".join(wrong) or "nothing was forwarded"
            raise MeasurementError(f"{self.replay.name}, {self.label}: {what}")
        return Forwarded(frames, times)

    @contextmanager
    def running(self) -> Iterator[None]:
        os.kill(self.pid, signal.SIGCONT)
        try:
            yield
        finally:
            os.kill(self.pid, signal.SIGSTOP)


def eal_cores(control: int = CONTROL_CPU, data: int = CPU) -> Sequence[str]:
    """One core works and the other one waits for orders."""
    return ["--lcores", f"{control},{data}", "--main-lcore", str(control)]
