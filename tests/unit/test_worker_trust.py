# SPDX-License-Identifier: GPL-2.0-or-later
"""What is thought of the worker, and of what failed while nobody was there to see."""

import time
from pathlib import Path

from hybrid_gateway.apply import Executor
from hybrid_gateway.model import Step, StepKind, WorkerState
from hybrid_gateway.worker_trust import OWNER, RETRY_SECONDS, Judgement
from hybrid_gateway.worker_view import WorkerView
from tests.unit.fake_worker import FakeWorker
from tests.unit.worker_plan import CONFIG, steps


def test_a_judgement_counts_until_the_owner_asks(view: WorkerView) -> None:
    view.judgement = Judgement(WorkerState.GIVEN_BACK, "it died")

    assert view.look(CONFIG).state is WorkerState.GIVEN_BACK
    assert view.look(CONFIG, asked=1).state is WorkerState.RUNNING
    view.forgive()
    assert view.look(CONFIG).state is WorkerState.RUNNING


def test_a_port_that_fails_is_left_out_for_a_while(view: WorkerView) -> None:
    take, other = (step for step in steps(CONFIG, view) if step.kind is StepKind.TAKE)

    assert view.failed(take, "no such device")
    assert view.failed(other, "nor has it one")
    assert not view.failed(take, "again")
    assert view.look(CONFIG).shunned == (("p0", "again"), ("p1", "nor has it one"))
    assert view.look(CONFIG, asked=1).shunned == ()
    now = time.monotonic()
    assert view.retry(now + RETRY_SECONDS + 1)
    assert view.look(CONFIG).shunned == (("p0", "again"),), "it has failed twice"
    assert view.retry(now + 2 * RETRY_SECONDS + 1)
    assert view.look(CONFIG).shunned == ()


def test_a_worker_that_does_not_start_is_given_up_for_a_while(view: WorkerView) -> None:
    start = next(step for step in steps(CONFIG, view) if step.kind is StepKind.START_WORKER)

    assert view.failed(start, "too few hugepages")
    assert view.look(CONFIG).state is WorkerState.GIVEN_BACK
    assert not view.failed(start, "still too few")
    assert view.retry(time.monotonic() + 1000)
    assert view.look(CONFIG).state is WorkerState.RUNNING


def test_what_only_the_owner_lifts_outlives_the_agent(tmp_path: Path) -> None:
    def view() -> WorkerView:
        return WorkerView(tmp_path / "socket", tmp_path / "record", tmp_path / "run" / "verdict")

    view().give_up("too few hugepages", again=17.0)
    assert view().judgement is None
    view().give_up("it died", again=OWNER)

    assert view().judgement == Judgement(WorkerState.GIVEN_BACK, "it died", OWNER)
    view().forgive()
    assert view().judgement is None


def test_one_that_was_given_up_has_no_devices_any_more(
    worker: FakeWorker, view: WorkerView, executor: Executor
) -> None:
    executor.run(steps(CONFIG, view))
    worker.calls.clear()
    view.give_up("it does not let go of a port")

    view.put_down()

    assert worker.calls == ["end"]
    worker.calls.clear()
    view.put_down()  # the next one has not been started
    assert worker.calls == []


def test_what_is_not_the_workers_is_no_reason(view: WorkerView) -> None:
    assert not view.failed(None, "nothing at all")
    assert not view.failed(Step(StepKind.TABLE, "inet gw", ""), "nftables is broken")
    assert view.judgement is None
