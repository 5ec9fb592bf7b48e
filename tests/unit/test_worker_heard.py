# SPDX-License-Identifier: GPL-2.0-or-later
"""Which bridges hear by a TAP what the worker floods, and in which order things happen."""

from dataclasses import replace

import pytest

from hybrid_gateway.model import (
    Observed,
    ObservedWorker,
    Step,
    StepKind,
    TakenPort,
    WorkerState,
    heard_bridge,
    heard_name,
)
from hybrid_gateway.plan import Planner
from hybrid_gateway.resolve import resolve
from tests.unit.fake_worker import FakeWorker
from tests.unit.test_worker_segments import CONFIG, OBSERVED, OWN, RUNNING
from tests.unit.vxlan_site import BRIDGE, LAN, with_link

TAP = heard_name(BRIDGE)
OF_HEARING = (StepKind.HEAR, StepKind.SEGMENTS, StepKind.STOP_HEARING)


def steps(observed: Observed) -> list[Step]:
    found = Planner(resolve(CONFIG, observed), observed).steps()
    return [step for step in found if step.kind in OF_HEARING]


def kinds(observed: Observed) -> list[StepKind]:
    return [step.kind for step in steps(observed)]


def given(observed: Observed) -> Observed:
    """The worker has what it is to have, and the TAP is there."""
    worker = resolve(CONFIG, observed).worker
    assert worker
    has = replace(observed.worker, segments=worker.segments, setup=worker.setup)
    return replace(observed, worker=has, heard=worker.heard, heard_left=worker.heard)


@pytest.mark.parametrize("name", ["gwh0", "gwh12", f"gwh{2**31 - 1}"])
def test_a_name_says_whose_it_is(name: str) -> None:
    bridge = heard_bridge(name)
    assert bridge is not None
    assert heard_name(bridge) == name
    assert len(name) <= 15


@pytest.mark.parametrize("name", ["gwh", "gwh01", "gwh1x", "gwh-1", "gwh²", "gwh 1", "12", "xgwh1"])
def test_other_names_do_not(name: str) -> None:
    assert heard_bridge(name) is None


def test_the_tap_comes_before_the_segment_that_names_it() -> None:
    hear, segments = steps(OBSERVED)

    assert (hear.kind, hear.subject, hear.value) == (StepKind.HEAR, TAP, BRIDGE)
    assert segments.kind is StepKind.SEGMENTS
    assert kinds(given(OBSERVED)) == []


def test_one_that_is_not_whole_is_made_anew_and_opened_again() -> None:
    broken = replace(given(OBSERVED), heard=frozenset())

    assert kinds(broken) == [StepKind.HEAR, StepKind.SEGMENTS]


def test_without_a_port_of_the_worker_there_is_nothing_to_hear() -> None:
    """The segment is the worker's to receive all the same."""
    apart = with_link("lan0", OBSERVED, master=0)
    worker = resolve(CONFIG, apart).worker

    assert worker
    assert [segment.heard for segment in worker.segments] == [""]
    assert kinds(apart) == [StepKind.SEGMENTS]
    was = replace(given(OBSERVED), links=apart.links)
    assert kinds(was) == [StepKind.SEGMENTS, StepKind.STOP_HEARING]


def test_the_tap_of_a_device_that_had_another_name_is_found() -> None:
    """A port by its PCI address has a TAP by the name that its device had."""
    taken = TakenPort("lan0", "enp1s0", "0000:01:00.0", "0000:01:00.0")
    ports = (replace(CONFIG.ports[0], vdev=None, pci="0000:01:00.0"), CONFIG.ports[1])
    links = tuple(
        replace(link, name="enp1s0") if link.ifindex == LAN else link for link in OBSERVED.links
    )
    worker = replace(RUNNING, taken=(taken, *RUNNING.taken[1:]))
    wanted = resolve(replace(CONFIG, ports=ports), replace(OBSERVED, links=links, worker=worker))

    assert wanted.worker
    assert wanted.worker.heard == {BRIDGE}


@pytest.mark.parametrize("state", [WorkerState.ABSENT, WorkerState.GIVEN_BACK])
def test_without_a_worker_it_goes(state: WorkerState) -> None:
    left = replace(OBSERVED, worker=ObservedWorker(state), heard_left=frozenset({BRIDGE, 99}))

    assert [(step.kind, step.value) for step in steps(left)] == [
        (StepKind.STOP_HEARING, BRIDGE),
        (StepKind.STOP_HEARING, 99),
    ]


def test_a_worker_that_may_be_back_finds_it() -> None:
    there = given(OBSERVED)
    starting = replace(there.worker, state=WorkerState.STARTING, setup=None, segments=())

    assert kinds(replace(there, worker=starting)) == []


def test_what_a_dead_agent_left_goes() -> None:
    left = replace(given(OBSERVED), heard_left=frozenset({BRIDGE, LAN}))

    assert [(step.kind, step.subject) for step in steps(left)] == [
        (StepKind.STOP_HEARING, heard_name(LAN))
    ]


def test_one_that_cannot_be_made_is_left_for_later() -> None:
    """Its bridge floods by itself meanwhile."""
    worker = FakeWorker().view
    worker.cannot_hear(TAP, "no such device")
    observed = replace(OBSERVED, worker=replace(RUNNING, unheard=worker.look(OWN).unheard))
    wanted = resolve(CONFIG, observed)

    assert wanted.worker
    assert [segment.heard for segment in wanted.worker.segments] == [""]
    assert wanted.warnings == (
        f"{TAP}: no such device; what is for groups in its bridge is the kernel's to flood",
    )
    again = worker.unheard[TAP].again
    assert not worker.retry(again - 1.0)
    assert worker.retry(again)
    assert worker.look(OWN).unheard == ()
    worker.cannot_hear(TAP, "no such device")
    assert worker.unheard[TAP].again > again, "longer, the second time"
    worker.forgive()
    assert worker.look(OWN).unheard == ()
