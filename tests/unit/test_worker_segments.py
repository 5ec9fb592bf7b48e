# SPDX-License-Identifier: GPL-2.0-or-later
"""VXLAN segments that the worker is given: which, when, and what becomes of a refusal."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from hybrid_gateway.apply import Executor
from hybrid_gateway.errors import WorkerError
from hybrid_gateway.model import (
    Config,
    Df,
    Encapsulation,
    ObservedWorker,
    Plane,
    Port,
    Segment,
    Sources,
    Step,
    StepKind,
    TakenPort,
    Vxlan,
    Worker,
    WorkerState,
    heard_name,
)
from hybrid_gateway.plan import Planner
from hybrid_gateway.resolve import check_devices, resolve
from hybrid_gateway.resolve_worker import SEGMENTS_MAX, STATIONS, TUNNELS, worker_of
from hybrid_gateway.worker_facts import options_of, segment_of, setup_of
from hybrid_gateway.worker_trust import RETRY_SECONDS
from hybrid_gateway.worker_values import WorkerSegment
from hybrid_gateway.worker_view import WorkerView
from tests.unit import vxlan_site
from tests.unit.fake_worker import FakeWorker
from tests.unit.vxlan_site import LAN, LOCAL, PEER, TUNNEL, WAN

PORTS = (
    Port("lan0", plane=Plane.DPDK, line=2, vdev="net_af_packet0,iface=lan0"),
    Port("wan0", plane=Plane.DPDK, line=3, vdev="net_af_packet1,iface=wan0"),
)
CONFIG = Config(1, "gateway.yaml", PORTS, vxlan=(Vxlan("vni100", line=5),), worker=Worker((0,)))
TAKEN = tuple(
    TakenPort(port.name, port.name, port.on(f"{port.name}-wire"), port.where, wire=True)
    for port in PORTS
)
OWN = replace(
    CONFIG,
    ports=(
        Port("lan0", plane=Plane.DPDK, line=2, vdev="net_null0"),
        Port("wan0", plane=Plane.DPDK, line=3, vdev="net_null1"),
    ),
)
"""With devices that are there whenever they are asked for."""
RUNNING = ObservedWorker(WorkerState.RUNNING, online=(0,), taken=TAKEN)
OBSERVED = replace(vxlan_site.OBSERVED, worker=RUNNING)


def only_worker(steps: Sequence[Step]) -> tuple[Step, ...]:
    """A test has no kernel to do the others in."""
    return tuple(
        step
        for step in steps
        if step.kind
        in (
            StepKind.RESERVE_MEMORY,
            StepKind.START_WORKER,
            StepKind.TAKE,
            StepKind.ADD_PORT,
            StepKind.SEGMENTS,
            StepKind.STOP_WORKER,
            StepKind.REMOVE_PORT,
            StepKind.GIVE_BACK,
        )
    )


def steps(view: WorkerView, config: Config = OWN, asked: int = 1) -> tuple[Step, ...]:
    hearing = frozenset({vxlan_site.BRIDGE})
    observed = replace(vxlan_site.OBSERVED, worker=view.look(config, asked=asked), heard=hearing)
    return only_worker(Planner(resolve(config, observed), observed).steps())


# ---- which ----------------------------------------------------------------------------


def test_ports_of_the_worker_alone_will_do() -> None:
    check_devices(CONFIG, OBSERVED)
    wanted = resolve(CONFIG, OBSERVED)

    assert wanted.worker
    tap = heard_name(vxlan_site.BRIDGE)
    assert wanted.worker.segments == tuple(replace(s, heard=tap) for s in wanted.segments)
    assert [segment.vni for segment in wanted.segments] == [100]
    assert (wanted.worker.setup.tunnels, wanted.worker.setup.stations) == (TUNNELS, STATIONS)
    # The kernel judges senders of what it puts together, and cuts what it sends itself.
    assert wanted.table
    assert [one.vni for one in wanted.table.sources] == [100]
    assert [one.ifindex for one in wanted.tunnels] == [TUNNEL]
    assert wanted.attachments == ()
    assert {one.ifindex: (one.worker, one.port) for one in wanted.devices} == {
        LAN: (True, False),
        WAN: (True, False),
        vxlan_site.BRIDGE: (False, False),
        TUNNEL: (False, False),
    }
    assert [one.name for one in wanted.mirrored if one.xdp] == []
    assert wanted.warnings == ()


def test_a_worker_that_is_away_is_no_mistake() -> None:
    """Its ports are where they were; what is wrong is said once."""
    away = replace(OBSERVED, worker=ObservedWorker(WorkerState.GIVEN_BACK, "it died"))

    assert resolve(CONFIG, away).warnings == (
        "the worker was given up: it died; the kernel has its ports (lan0, wan0)",
    )


def test_bridge_ports_alone_will_not() -> None:
    taken = vxlan_site.with_link("wan0", OBSERVED, master=vxlan_site.BRIDGE)

    assert vxlan_site.refused(CONFIG, taken) == [
        "gateway.yaml:5: vxlan: no port is one of its own, by which VXLAN could arrive: "
        "all of `ports` are ports of bridges"
    ]


def test_without_vxlan_there_is_no_room_for_it() -> None:
    found = worker_of(replace(CONFIG, vxlan=()), RUNNING)

    assert found
    assert (found.setup.tunnels, found.setup.stations, found.segments) == (0, 0, ())
    before = replace(RUNNING, setup=replace(found.setup, tunnels=TUNNELS, stations=STATIONS))
    kept = worker_of(replace(CONFIG, vxlan=()), before)
    assert kept
    assert kept.setup == before.setup, "to lose it is no reason to start anew"


@pytest.mark.parametrize("change", [{"external": True}, {"vlan": 10}])
def test_what_the_worker_does_not_know_is_the_kernels(change: dict[str, object]) -> None:
    (segment,) = resolve(CONFIG, OBSERVED).segments
    other = replace(segment, vni=200, **change)  # type: ignore[arg-type]

    found = worker_of(CONFIG, RUNNING, (segment, other))

    assert found
    assert found.segments == (segment,)


def test_more_than_there_is_room_for() -> None:
    (segment,) = resolve(CONFIG, OBSERVED).segments
    many = tuple(replace(segment, vni=vni) for vni in range(1, SEGMENTS_MAX + 3))

    found = worker_of(CONFIG, RUNNING, many)

    assert found
    assert found.segments == many[:SEGMENTS_MAX]


def test_as_the_worker_is_told() -> None:
    segment = Segment(
        ifindex=5,
        name="vni100",
        vni=100,
        bridge=4,
        bridge_name="br0",
        port=4790,
        family=4,
        local=LOCAL,
        arrives=(LOCAL,),
        learns=True,
        sources=Sources.LISTED,
        listed=(PEER,),
        encapsulation=Encapsulation(ttl=9, tos=8, df=Df.INHERIT, label=7, mtu=1400),
        link=3,
    )

    assert segment_of(segment) == WorkerSegment(
        ifindex=5,
        bridge=4,
        vni=100,
        family=4,
        port=4790,
        first_port=32768,
        last_port=60999,
        mtu=1400,
        ttl=9,
        tos=8,
        label=7,
        link=3,
        local=str(LOCAL),
        arrivals=(str(LOCAL),),
        sources=(str(PEER),),
        listed=True,
        fragment=True,
        learns=True,
        checksum=True,
        df_inherit=True,
    )
    assert segment_of(replace(segment, local=None, sources=Sources.ANY)).local == ""
    assert segment_of(replace(segment, sources=Sources.ANY)).any_source


# ---- when -----------------------------------------------------------------------------


def test_it_is_given_them_when_it_has_its_ports(
    worker: FakeWorker, view: WorkerView, executor: Executor
) -> None:
    executor.run(steps(view))

    assert worker.options
    assert (worker.options.tunnels, worker.options.stations) == (TUNNELS, STATIONS)
    assert worker.calls[-3:] == ["add wan0", "segments 100", "wait 5"]
    status = view.client().status()
    assert setup_of(status) == setup_of(replace(status, options=options_of(setup_of(status))))  # type: ignore[arg-type]
    assert steps(view) == ()


def test_another_worker_is_given_them_again(
    worker: FakeWorker, view: WorkerView, executor: Executor
) -> None:
    executor.run(steps(view))
    worker.die()

    executor.run(steps(view))

    assert [one.vni for one in worker.segments] == [100]
    assert steps(view) == ()


def test_what_another_agent_gave_it_is_given_once_more(
    view: WorkerView, executor: Executor
) -> None:
    """Nobody knows what it was."""
    executor.run(steps(view))
    view.given = None

    assert [step.kind for step in steps(view)] == [StepKind.SEGMENTS]
    executor.run(steps(view))
    assert steps(view) == ()


def test_a_segment_that_goes(worker: FakeWorker, view: WorkerView, executor: Executor) -> None:
    executor.run(steps(view))
    worker.calls.clear()

    executor.run(steps(view, replace(OWN, vxlan=())))

    assert worker.calls == ["segments", "wait 5"]
    assert steps(view, replace(OWN, vxlan=())) == ()


# ---- a refusal ------------------------------------------------------------------------


def test_a_refusal_undoes_the_whole_plan_of_an_owner(
    worker: FakeWorker, view: WorkerView, executor: Executor
) -> None:
    executor.run(steps(view))
    worker.calls.clear()
    worker.fails["segments"] = WorkerError("no")

    with pytest.raises(WorkerError, match="segments segments: no"):
        executor.run(steps(view, replace(OWN, vxlan=())))

    assert [one.vni for one in worker.segments] == [100]


def test_ports_go_on_without_segments(
    worker: FakeWorker, view: WorkerView, executor: Executor
) -> None:
    """When nobody is there to see; it is asked again later."""
    worker.fails["segments 100"] = WorkerError("too many")
    (failed,) = executor.run(steps(view), apart=True)

    assert sorted(worker.ports) == ["lan0", "wan0"]
    assert view.failed(failed.step, failed.error.message)
    observed = replace(vxlan_site.OBSERVED, worker=view.look(OWN))
    wanted = resolve(OWN, observed)
    assert only_worker(Planner(wanted, observed).steps()) == ()
    assert wanted.warnings == ("the worker does no VXLAN: too many",)

    again = view.segments_refused
    assert again
    assert not view.retry(again.again - RETRY_SECONDS / 2)
    assert view.retry(again.again)
    executor.run(steps(view, asked=0), apart=True)
    assert [one.vni for one in worker.segments] == [100]
