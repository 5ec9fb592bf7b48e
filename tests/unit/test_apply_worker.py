# SPDX-License-Identifier: GPL-2.0-or-later
"""Steps on the DPDK worker, with undo."""

import time
from typing import cast

import pytest

from hybrid_gateway.apply import Executor
from hybrid_gateway.errors import (
    DeviceError,
    NoHugepagesError,
    NoSuchDeviceError,
    WorkerAbsentError,
    WorkerTimeoutError,
)
from hybrid_gateway.model import Observed, RouteLimits, Wanted
from hybrid_gateway.plan import Planner
from hybrid_gateway.resolve import resolve
from hybrid_gateway.worker_trust import RETRY_SECONDS
from hybrid_gateway.worker_view import WorkerView
from tests.unit.fake_worker import FakeClient, FakeWorker
from tests.unit.worker_plan import CONFIG, MB, UP, changed, no_device, steps


def test_up_and_down(worker: FakeWorker, view: WorkerView, executor: Executor) -> None:
    executor.run(steps(CONFIG, view))
    assert worker.calls == UP
    assert steps(CONFIG, view) == ()

    worker.calls.clear()
    executor.run(steps(None, view))
    assert worker.calls == [
        "remove p0",
        "remove p1",
        "give back p0",
        "give back p1",
        "end",
        "release",
    ]
    assert steps(None, view) == ()


def test_its_own_end_is_no_crash(worker: FakeWorker, view: WorkerView, executor: Executor) -> None:
    executor.run(steps(CONFIG, view))
    pid = worker.pid

    executor.run(steps(changed(CONFIG, routes=RouteLimits(1000)), view))

    assert pid in view.leaving
    assert worker.pid not in view.leaving


def test_no_end_of_a_worker_is_missed(
    worker: FakeWorker, view: WorkerView, executor: Executor
) -> None:
    """Of one that nobody follows yet, the connection that started it is kept."""
    executor.run(steps(CONFIG, view))
    assert cast(FakeClient, view.watched()).has_started
    assert not cast(FakeClient, view.watched()).has_started, "once"

    view.followed = worker.pid + 1  # the next one
    executor.run(steps(changed(CONFIG, routes=RouteLimits(1000)), view))

    assert not cast(FakeClient, view.watched()).has_started


@pytest.mark.parametrize(
    ("fails", "undone"),
    [
        ("start", ["end", "release"]),
        ("take p1", ["give back p0", "end", "release"]),
        ("add p1", ["remove p1", "remove p0", "give back p1", "give back p0", "end", "release"]),
    ],
)
def test_all_or_nothing(
    worker: FakeWorker, view: WorkerView, executor: Executor, fails: str, undone: list[str]
) -> None:
    worker.fails[fails] = no_device()

    with pytest.raises(NoSuchDeviceError, match="there is no device net_null1"):
        executor.run(steps(CONFIG, view))

    assert worker.calls == [*UP[: UP.index(fails) + 1], *undone]
    assert (worker.devices, worker.ports, worker.options, worker.pages) == ({}, {}, None, 0)


@pytest.mark.parametrize(
    ("fails", "calls"),
    [
        ("take p0", [*UP[:4], "add p1", "wait 5"]),
        ("add p0", [*UP[:5], "remove p0", "give back p0", "add p1", "wait 5"]),
        ("start", [*UP[:2], "end", "release"]),
        (UP[0], UP[:1]),
    ],
)
def test_what_fails_apart_does_not_keep_the_rest(
    worker: FakeWorker, view: WorkerView, executor: Executor, fails: str, calls: list[str]
) -> None:
    """At a look that nobody asked for."""
    worker.fails[fails] = no_device()

    (failed,) = executor.run(steps(CONFIG, view), apart=True)

    assert worker.calls == calls
    assert str(failed.error) == "port p1: there is no device net_null1"
    assert view.failed(failed.step, "no such device")
    again = view.look(CONFIG)
    wanted = resolve(CONFIG, Observed(worker=again))
    assert Planner(wanted, Observed(worker=again)).steps() == (), "it works without"


def test_a_worker_that_dies_meanwhile_is_nobodys_fault_but_its_own(
    worker: FakeWorker, view: WorkerView, executor: Executor
) -> None:
    """Or of the port that was being added; what others have is for the next worker."""
    worker.fails["add p0"] = WorkerAbsentError("the worker ended during port.add")

    (failed,) = executor.run(steps(CONFIG, view), apart=True)

    assert failed.step.subject == "p0"
    assert worker.calls == [*UP[:5], "remove p0", "give back p0", "wait 5"]
    assert set(worker.devices) == {"p1"}


def test_a_device_that_does_not_come_back(
    worker: FakeWorker, view: WorkerView, executor: Executor
) -> None:
    """Nothing waits for it; it is tried again later, or when the owner asks."""
    executor.run(steps(CONFIG, view))
    worker.fails["give back p0"] = DeviceError("its driver is not loaded")

    executor.run(steps(None, view))

    assert set(worker.devices) == {"p0"}
    assert view.away["p0"].reason == "its driver is not loaded"
    assert view.look(None).taken == ()
    assert [step.subject for step in steps(None, view)] == ["p0"]
    assert view.retry(time.monotonic() + RETRY_SECONDS + 1)
    executor.run(Planner(Wanted(), Observed(worker=view.look(None))).steps())
    assert (worker.devices, view.away) == ({}, {})


def test_a_device_that_was_away_and_is_taken_again(
    worker: FakeWorker, view: WorkerView, executor: Executor
) -> None:
    """It is no stranger any more: nothing is done to it at the next look."""
    executor.run(steps(CONFIG, view))
    worker.fails["give back p0"] = DeviceError("its driver is not loaded")
    executor.run(steps(None, view))

    executor.run(steps(CONFIG, view))
    worker.die()
    executor.run(steps(CONFIG, view))

    observed = Observed(worker=view.look(CONFIG))
    assert Planner(resolve(CONFIG, observed), observed).steps() == ()
    assert view.away == {}, "status says so for no longer than it is"


def test_a_device_that_somebody_else_gave_back(
    worker: FakeWorker, view: WorkerView, executor: Executor
) -> None:
    """gw-handback, for example: detach does not fail with it."""
    executor.run(steps(CONFIG, view))
    worker.fails["give back p0"] = DeviceError("its driver is not loaded")
    executor.run(steps(None, view))
    worker.devices.clear()

    view.look(None)

    assert view.away == {}


def test_the_port_that_failed_is_named(
    worker: FakeWorker, view: WorkerView, executor: Executor
) -> None:
    worker.fails["add p1"] = no_device()

    with pytest.raises(NoSuchDeviceError) as caught:
        executor.run(steps(CONFIG, view))

    assert str(caught.value) == "add-port p1: port p1: there is no device net_null1"


def test_a_setup_that_fails_brings_the_last_one_back(
    worker: FakeWorker, view: WorkerView, executor: Executor
) -> None:
    executor.run(steps(CONFIG, view))
    before = (worker.options, dict(worker.ports), dict(worker.devices))
    plan = steps(changed(CONFIG, routes=RouteLimits(1_000_000)), view)
    worker.fails["start"] = NoHugepagesError("64 MB are not enough")

    with pytest.raises(NoHugepagesError):
        executor.run(plan)

    assert (worker.options, worker.ports, worker.devices) == before


def test_a_worker_that_does_not_come_back(
    worker: FakeWorker, view: WorkerView, executor: Executor
) -> None:
    executor.run(steps(CONFIG, view))
    plan = steps(changed(CONFIG, cores=(0, 1)), view)
    worker.comes_back = False

    with pytest.raises(WorkerAbsentError, match=r"^start-worker worker: nobody within 20 s$"):
        executor.run(plan)


def test_a_mirror_that_lags_is_told_of(
    worker: FakeWorker, view: WorkerView, executor: Executor
) -> None:
    worker.fails["wait 5"] = WorkerTimeoutError("too slow")

    executor.run(steps(CONFIG, view))

    assert executor.notes == ("the worker's tables are not complete yet: too slow",)


def test_what_was_undone_is_not_waited_for(
    worker: FakeWorker, view: WorkerView, executor: Executor
) -> None:
    worker.fails["add p1"] = no_device()
    with pytest.raises(NoSuchDeviceError):
        executor.run(steps(CONFIG, view))
    worker.calls.clear()

    executor.run(())

    assert worker.calls == []
    assert executor.notes == ()


def test_one_that_does_not_come_back_is_waited_for_once(
    worker: FakeWorker, view: WorkerView, executor: Executor, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing moves on its ports meanwhile, and nobody else is served."""
    executor.run(steps(CONFIG, view))
    worker.comes_back = False

    with pytest.raises(WorkerAbsentError, match="nobody within 20 s"):
        executor.run(steps(changed(CONFIG, hugepages=128 * MB), view))

    assert "nobody within 0 s" in caplog.text
    worker.runs = True
    executor.run(steps(changed(CONFIG, hugepages=128 * MB), view))
    assert steps(changed(CONFIG, hugepages=128 * MB), view) == ()
