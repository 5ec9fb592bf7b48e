# SPDX-License-Identifier: GPL-2.0-or-later
"""What becomes of the worker's ports when it dies, and when it is back."""

import asyncio
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Self, cast

import pytest

from hybrid_gateway.agent import worker as following
from hybrid_gateway.agent.engine import Engine
from hybrid_gateway.agent.worker import CRASHES_SECONDS, WorkerFollower
from hybrid_gateway.errors import WorkerAbsentError, WorkerError, WorkerTimeoutError
from hybrid_gateway.model import WorkerState
from hybrid_gateway.observe import Part
from hybrid_gateway.worker_trust import OWNER, Judgement

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


@pytest.fixture
def site() -> Iterator[Site]:
    found = Site()
    yield found
    for end in found.ends:
        end.close()


@pytest.fixture
def follower(site: Site) -> WorkerFollower:
    site.start()
    loop = cast(asyncio.AbstractEventLoop, site.clock)
    found = WorkerFollower(cast(Engine, site), loop, lambda action: action())
    found.start()
    site.looks.clear()
    return found


@pytest.mark.usefixtures("follower")
def test_a_worker_that_runs_is_left_alone(site: Site) -> None:
    site.clock.pass_time(3600)

    assert site.looks == []


@pytest.mark.usefixtures("follower")
def test_back_in_time_it_takes_its_ports_again(site: Site) -> None:
    site.die()
    assert site.looks == [(Part.WORKER, STARTING)]
    site.clock.pass_time(2.5)
    assert site.has_ports

    site.start()
    site.clock.pass_time(0.2)

    assert site.looks[1:] == [(Part.ALL, None)]
    site.clock.pass_time(10)
    assert site.judgement is None
    assert site.has_ports


@pytest.mark.usefixtures("follower")
def test_not_back_in_time_the_kernel_has_its_ports(site: Site) -> None:
    site.die()
    site.clock.pass_time(3.2)

    assert site.looks[1:] == [(Part.ALL, GIVEN_BACK)]
    assert site.judgement
    assert site.judgement.reason == "it did not come back within 3 s"
    assert not site.has_ports


@pytest.mark.usefixtures("follower")
def test_back_later_it_gets_them_all_the_same(site: Site) -> None:
    site.die()
    site.clock.pass_time(100)
    site.start()
    site.clock.pass_time(1.1)

    assert site.judgement is None
    assert site.has_ports


def crash(site: Site, after: float) -> None:
    site.clock.pass_time(after)
    site.die()
    site.start()
    site.clock.pass_time(0.2)


@pytest.mark.usefixtures("follower")
def test_three_crashes_in_a_minute_are_enough(site: Site) -> None:
    for _ in range(2):
        crash(site, 20)
        assert site.has_ports
    crash(site, 10)

    assert not site.has_ports
    assert site.judgement == Judgement(GIVEN_BACK, "it died 3 times within 60 s", OWNER)
    site.clock.pass_time(3600)
    crash(site, 0)
    assert not site.has_ports


@pytest.mark.usefixtures("follower")
def test_three_crashes_in_more_than_a_minute_are_not(site: Site) -> None:
    for _ in range(10):
        crash(site, CRASHES_SECONDS / 2 + 1)

    assert site.has_ports


@pytest.mark.usefixtures("follower")
def test_the_owner_gives_it_another_chance(site: Site) -> None:
    for _ in range(3):
        crash(site, 1)
    site.judgement, site.has_ports = None, True  # gwctl apply
    site.crashes.clear()

    crash(site, 1)

    assert site.has_ports


@pytest.mark.usefixtures("follower")
def test_one_that_was_told_to_end_did_not_crash(site: Site) -> None:
    site.leaving.add(site.pid)

    site.die()

    assert site.crashes == []
    assert site.leaving == set()
    site.start()
    site.clock.pass_time(10)
    assert site.judgement is None
    assert site.has_ports


@pytest.mark.usefixtures("follower")
def test_one_that_ends_in_good_order_did_not_crash(site: Site) -> None:
    """`systemctl restart gw-worker`, as often as anybody likes; the next one may crash."""
    for _ in range(5):
        site.end()
        assert site.looks[-1] == (Part.WORKER, STARTING)
        site.start()
        site.clock.pass_time(0.2)
        assert site.has_ports
    assert site.crashes == []

    site.die()

    assert len(site.crashes) == 1


@pytest.mark.usefixtures("follower")
def test_nor_is_it_waited_for_longer_than_one_that_did(site: Site) -> None:
    """It was to start anew, and did not."""
    site.leaving.add(site.pid)

    site.die()
    site.clock.pass_time(3.2)

    assert site.crashes == []
    assert site.judgement
    assert site.judgement.reason == "it did not come back within 3 s"
    assert not site.has_ports


@pytest.mark.usefixtures("follower")
def test_one_that_ended_for_good_is_not_waited_for(site: Site) -> None:
    site.leaving.add(site.pid)
    site.has_ports = False

    site.die()
    site.clock.pass_time(10)

    assert site.looks == []
    assert site.judgement is None


@pytest.mark.usefixtures("follower")
def test_one_that_was_given_up_stays_so(site: Site) -> None:
    """Though a port of it could not be given back."""
    given_up = Judgement(GIVEN_BACK, "it died 3 times within 60 s", OWNER)
    site.judgement = given_up

    site.die()
    site.start()
    site.clock.pass_time(10)

    assert site.judgement == given_up
    assert (Part.ALL, GIVEN_BACK) in site.looks


@pytest.mark.usefixtures("follower")
def test_one_without_ports_did_no_harm(site: Site) -> None:
    site.has_ports = False

    site.die()

    assert site.crashes == []
    assert site.looks == [(Part.WORKER, None)]


def test_it_died_with_the_agent_before(site: Site) -> None:
    loop = cast(asyncio.AbstractEventLoop, site.clock)
    WorkerFollower(cast(Engine, site), loop, lambda action: action()).start()

    assert site.judgement == Judgement(STARTING, "it is not there")
    site.clock.pass_time(3.2)
    assert not site.has_ports


def test_it_may_come_after_the_agent(site: Site) -> None:
    site.has_ports = False
    loop = cast(asyncio.AbstractEventLoop, site.clock)
    WorkerFollower(cast(Engine, site), loop, lambda action: action()).start()
    site.clock.pass_time(60)
    assert site.looks == []

    site.start()
    site.clock.pass_time(1.1)

    assert site.looks == [(Part.ALL, None)]
    assert site.has_ports


@pytest.mark.usefixtures("follower")
def test_what_failed_is_tried_again(site: Site) -> None:
    site.due = site.clock.time() + 1

    site.clock.pass_time(2.1)

    assert site.looks == [(Part.ALL, None)]


def test_nothing_is_left_at_the_end(site: Site, follower: WorkerFollower) -> None:
    follower.stop()

    assert site.clock.readers == {}
    assert all(timer.cancelled for timer in site.clock.timers)


def test_who_answers_is_alive() -> None:
    """Whatever it says: one of another version is not killed."""

    @dataclass
    class Client:
        error: WorkerError

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def status(self) -> None:
            raise self.error

    def answers(error: WorkerError) -> bool:
        return following._answers(cast(Any, Client(error)))

    assert answers(WorkerError("of another version"))
    assert not answers(WorkerTimeoutError("too slow"))
    assert not answers(WorkerAbsentError("gone"))
