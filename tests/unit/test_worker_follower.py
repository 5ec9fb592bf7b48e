# SPDX-License-Identifier: GPL-2.0-or-later
"""What becomes of the worker's ports when it dies, and when it is back."""

import asyncio
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self, cast

import pytest

from hybrid_gateway.agent import worker as following
from hybrid_gateway.agent.engine import Engine
from hybrid_gateway.agent.worker import CRASHES_SECONDS, WorkerFollower
from hybrid_gateway.errors import WorkerAbsentError, WorkerError, WorkerTimeoutError
from hybrid_gateway.observe import Part
from hybrid_gateway.worker_trust import OWNER, Judgement
from tests.unit.follower_site import GIVEN_BACK, STARTING, Site


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


def killed(monkeypatch: pytest.MonkeyPatch, site: Site, answers: list[bool]) -> list[int]:
    """The processes that are killed when these are their answers; each is followed by another."""
    left = iter(answers)
    found: list[int] = []

    async def run() -> None:
        loop = asyncio.get_running_loop()
        follower = WorkerFollower(cast(Engine, site), loop, lambda action: action())

        def answer(_: object) -> bool:
            one = next(left, None)
            if one is None:
                loop.call_soon_threadsafe(over.set)
            return bool(one)

        def kill(pid: int, _: int) -> None:
            found.append(pid)
            site.start()
            follower._heard()
            follower._look()

        monkeypatch.setattr(following, "_answers", answer)
        monkeypatch.setattr(os, "kill", kill)
        over = asyncio.Event()
        follower.start()
        await over.wait()
        follower.stop()

    site.start()
    monkeypatch.setattr(following, "PING_SECONDS", 0.0)
    asyncio.run(run())
    return found


def test_a_worker_that_hangs_is_killed(monkeypatch: pytest.MonkeyPatch, site: Site) -> None:
    assert killed(monkeypatch, site, [True, *[False] * following.MISSED_MAX]) == [101]


def test_so_is_the_next_one(monkeypatch: pytest.MonkeyPatch, site: Site) -> None:
    """It is followed by the time of the next question."""
    silent = [False] * following.MISSED_MAX

    assert killed(monkeypatch, site, [*silent, *silent]) == [101, 102]


def test_one_that_is_slow_now_and_then_is_not(monkeypatch: pytest.MonkeyPatch, site: Site) -> None:
    slow = [*[False] * (following.MISSED_MAX - 1), True]

    assert killed(monkeypatch, site, [*slow, *slow, True]) == []
