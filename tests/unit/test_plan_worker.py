# SPDX-License-Identifier: GPL-2.0-or-later
"""Plans of the DPDK worker: in order, empty once they are done, and back again."""

from dataclasses import replace

import pytest

from hybrid_gateway.model import (
    IP_FORWARD,
    Config,
    Link,
    Observed,
    ObservedWorker,
    Plane,
    Polling,
    Port,
    RouteLimits,
    Sysctl,
    TakenPort,
    Wanted,
    WantedWorker,
    Worker,
    WorkerSetup,
    WorkerState,
)
from hybrid_gateway.plan import Planner
from hybrid_gateway.resolve import check_devices, resolve
from tests.unit import site
from tests.unit.worker_site import CONFIG, MB, NOTHING, SFP0, SFP1, TAKEN0, done

ALL = [
    "reserve-memory hugepages",
    "start-worker worker",
    "take sfp0",
    "take sfp1",
    "add-port sfp0",
    "add-port sfp1",
]


def plan(config: Config | None, observed: ObservedWorker) -> list[str]:
    whole = Observed(worker=observed)
    wanted = resolve(config, whole) if config else Wanted()
    return [f"{s.kind.value} {s.subject}" for s in Planner(wanted, whole).steps()]


def wanted(config: Config = CONFIG, observed: ObservedWorker = NOTHING) -> WantedWorker:
    found = resolve(config, Observed(worker=observed)).worker
    assert found
    return found


DONE = done(wanted())


def with_worker(**what: object) -> Config:
    assert CONFIG.worker
    return replace(CONFIG, worker=replace(CONFIG.worker, **what))  # type: ignore[arg-type]


# ---- what should be -------------------------------------------------------------------


def test_what_follows_from_the_configuration() -> None:
    found = wanted(with_worker(cores=(1, 2), polling=Polling.BUSY, routes=RouteLimits(1000, 20)))

    assert found.setup == WorkerSetup((1, 2), 256 * MB, RouteLimits(1000, 20), pci=True)
    assert [(p.name, p.polling) for p in found.ports] == [
        ("sfp0", Polling.BUSY),
        ("sfp1", Polling.BUSY),
    ]


def test_the_highest_core_is_the_default() -> None:
    assert wanted().setup.cores == (3,)


def test_a_port_may_be_polled_in_its_own_way() -> None:
    config = replace(CONFIG, ports=(replace(SFP0, polling=Polling.INTERRUPT), SFP1))

    assert [port.polling.value for port in wanted(config).ports] == ["interrupt", "adaptive"]


def test_virtual_ports_need_no_pci() -> None:
    config = replace(CONFIG, ports=(SFP1,))

    assert not wanted(config).setup.pci
    # Taking it away would be a restart for nothing.
    assert wanted(config, DONE).setup.pci


def test_one_device_without_an_iommu_decides_for_all() -> None:
    observed = replace(NOTHING, physical=frozenset({"sfp0"}))

    assert wanted(CONFIG, observed).setup.physical


# ---- plans ----------------------------------------------------------------------------


def test_from_nothing_everything_in_order() -> None:
    assert plan(CONFIG, NOTHING) == ALL


def test_nothing_is_left_to_do() -> None:
    assert plan(CONFIG, DONE) == []


def test_back_to_nothing() -> None:
    assert plan(None, DONE) == [
        "remove-port sfp0",
        "remove-port sfp1",
        "give-back sfp0",
        "give-back sfp1",
        "stop-worker worker",
        "release-memory hugepages",
    ]
    assert plan(None, done(None)) == []


def test_one_port_more_and_one_less() -> None:
    one = replace(CONFIG, ports=(SFP0,))

    assert plan(CONFIG, done(wanted(one))) == ["take sfp1", "add-port sfp1"]
    assert plan(one, DONE) == ["remove-port sfp1", "give-back sfp1"]


def test_another_device_for_a_port() -> None:
    other = replace(CONFIG, ports=(replace(SFP0, device="enp5s0"), SFP1))

    assert plan(other, DONE) == [
        "remove-port sfp0",
        "give-back sfp0",
        "take sfp0",
        "add-port sfp0",
    ]


def test_polled_in_another_way_it_stays_taken() -> None:
    other = replace(CONFIG, ports=(SFP0, replace(SFP1, polling=Polling.BUSY)))

    assert plan(other, DONE) == ["remove-port sfp1", "add-port sfp1"]


@pytest.mark.parametrize(
    "config", [with_worker(cores=(1,)), with_worker(routes=RouteLimits(100_000))]
)
def test_another_process_for_other_cores(config: Config) -> None:
    """The devices stay taken: their TAPs have the addresses meanwhile."""
    assert plan(config, DONE) == [
        "remove-port sfp0",
        "remove-port sfp1",
        "stop-worker worker",
        "reserve-memory hugepages",
        "start-worker worker",
        "add-port sfp0",
        "add-port sfp1",
    ]


def test_less_memory_goes_back_before_it_is_asked_for() -> None:
    assert plan(with_worker(hugepages=128 * MB), DONE)[2:5] == [
        "stop-worker worker",
        "release-memory hugepages",
        "reserve-memory hugepages",
    ]


def test_a_worker_that_died_is_waited_for() -> None:
    died = replace(DONE, state=WorkerState.STARTING, setup=None, ports=(), reason="it died")

    assert plan(CONFIG, died) == []
    assert resolve(CONFIG, Observed(worker=died)).warnings == (
        "the worker is waited for: it died; nothing moves on its ports (sfp0, sfp1)",
    )


def test_the_next_one_takes_its_ports_again() -> None:
    """With the TAPs as they stand."""
    back = replace(DONE, setup=None, ports=())

    assert plan(CONFIG, back) == [
        "reserve-memory hugepages",
        "start-worker worker",
        "add-port sfp0",
        "add-port sfp1",
    ]


@pytest.mark.parametrize("state", [WorkerState.ABSENT, WorkerState.GIVEN_BACK])
def test_without_a_worker_the_kernel_has_its_devices(state: WorkerState) -> None:
    gone = replace(DONE, state=state, setup=None, ports=(), reason="it died 3 times")

    assert plan(CONFIG, gone) == [
        "give-back sfp0",
        "give-back sfp1",
        "release-memory hugepages",
    ]
    (warning,) = resolve(CONFIG, Observed(worker=gone)).warnings
    assert warning.endswith(": it died 3 times; the kernel has its ports (sfp0, sfp1)")


def test_a_port_whose_device_vanished_leaves_the_rest_alone() -> None:
    vanished = replace(DONE, missing=frozenset({"sfp0"}))

    assert plan(CONFIG, vanished) == ["remove-port sfp0", "give-back sfp0"]
    assert resolve(CONFIG, Observed(worker=vanished)).warnings == (
        "port sfp0: enp4s0 does not exist at the moment",
    )


def test_what_was_taken_by_halves_is_given_back_first() -> None:
    halves = replace(NOTHING, taken=(replace(TAKEN0, device=""),))

    assert plan(CONFIG, halves) == ["give-back sfp0", *ALL]


def test_a_line_more_in_the_file_changes_nothing() -> None:
    moved = replace(CONFIG, ports=(replace(SFP0, line=9), replace(SFP1, line=10)))

    assert plan(moved, DONE) == []


# ---- beside XDP -----------------------------------------------------------------------


def test_a_device_comes_back_before_xdp_may_have_it() -> None:
    """What bears its name until then is a TAP."""
    config = replace(site.CONFIG, worker=None)
    lan1 = replace(TAKEN0, name="sfp0", tap="lan1")
    observed = replace(site.OBSERVED, worker=replace(DONE, taken=(lan1,), ports=DONE.ports[:1]))

    found = resolve(config, observed)
    steps = [f"{s.kind.value} {s.subject}" for s in Planner(found, observed).steps()]

    assert steps[:4] == [
        "remove-port sfp0",
        "give-back sfp0",
        "stop-worker worker",
        "release-memory hugepages",
    ]
    assert "attach lan0" in steps
    assert "attach lan1" not in steps
    assert "port lan1: the worker has lan1" in found.warnings


def test_xdp_lets_go_before_the_worker_takes() -> None:
    config = replace(site.CONFIG, ports=(*site.CONFIG.ports, SFP0), worker=Worker(line=9))
    observed = replace(site.OBSERVED, worker=NOTHING, attached=((9, "native"),))

    steps = [s.kind.value for s in Planner(resolve(config, observed), observed).steps()]

    assert steps.index("detach") < steps.index("take")
    assert steps[-4:] == ["reserve-memory", "start-worker", "take", "add-port"]


@pytest.mark.parametrize(("value", "warned"), [("0", True), ("1", False)])
def test_a_kernel_that_does_not_forward_is_pointed_out(value: str, warned: bool) -> None:
    observed = Observed(worker=DONE, sysctls=(Sysctl(IP_FORWARD, value, "0"),))

    warnings = resolve(CONFIG, observed).warnings

    assert warnings == (
        ("net.ipv4.ip_forward is 0: the worker forwards no IPv4",) if warned else ()
    )


# ---- what is the same device ----------------------------------------------------------


@pytest.mark.parametrize(
    ("port", "same"),
    [
        (Port("sfp0", "enp4s0"), True),
        (Port("sfp0", "enp5s0"), False),
        # The same one by another name is taken anew: who knows what that name means later.
        (Port("sfp0", pci="0000:04:00.0"), False),
    ],
)
def test_a_device_by_its_name(port: Port, same: bool) -> None:
    assert TAKEN0.serves(port) is same


@pytest.mark.parametrize(
    "port",
    [
        replace(SFP0, line=0),
        replace(SFP1, line=0),
        Port("sfp2", plane=Plane.DPDK, pci="0000:04:00.0"),
        Port("sfp3", plane=Plane.DPDK, vdev="net_null0"),
    ],
)
def test_what_was_taken_can_be_taken_again(port: Port) -> None:
    eal = "0000:04:00.0" if port.device else port.where.replace("iface=veth1", "iface=veth1-wire")

    taken = TakenPort(port.name, "tap0", eal, port.where, wire=port.iface is not None)

    assert taken.serves(port)
    assert taken.port == port
    assert taken.virtual is (port.name == "sfp3")


def test_links_are_not_asked_of_the_workers_ports() -> None:
    check_devices(CONFIG, Observed(links=(Link(1, "lo", bytes(6)),), worker=NOTHING))
