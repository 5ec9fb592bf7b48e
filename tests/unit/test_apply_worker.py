# SPDX-License-Identifier: GPL-2.0-or-later
"""Steps on the DPDK worker, with undo; and what the agent finds when it looks at it."""

import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from hybrid_gateway import worker_facts
from hybrid_gateway.apply import Executor
from hybrid_gateway.bpf import DataPlane
from hybrid_gateway.devices import networkd
from hybrid_gateway.errors import (
    ConfigError,
    DeviceError,
    NoHugepagesError,
    NoSuchDeviceError,
    RefusedError,
    WorkerAbsentError,
    WorkerError,
    WorkerTimeoutError,
)
from hybrid_gateway.mirror import Mirror
from hybrid_gateway.model import (
    Config,
    Observed,
    Plane,
    Polling,
    Port,
    RouteLimits,
    RunningPort,
    Step,
    StepKind,
    TakenPort,
    Wanted,
    Worker,
    WorkerSetup,
    WorkerState,
)
from hybrid_gateway.netlink import Netlink
from hybrid_gateway.nft import Nft
from hybrid_gateway.plan import Planner
from hybrid_gateway.resolve import resolve
from hybrid_gateway.restore import RestoreFile
from hybrid_gateway.worker_client import WorkerClient
from hybrid_gateway.worker_facts import options_of
from hybrid_gateway.worker_trust import OWNER, RETRY_SECONDS, Judgement
from hybrid_gateway.worker_view import NOBODY, Caller, NoWorkerError, WorkerView
from tests.unit.fake_worker import PHYSICAL, FakeClient, FakeWorker
from tests.unit.test_apply import Recorder
from tests.unit.test_cli import ROOT

P0 = Port("p0", plane=Plane.DPDK, line=3, vdev="net_null0")
P1 = Port("p1", plane=Plane.DPDK, line=4, vdev="net_null1")
MB = 1 << 20
CONFIG = Config(1, "/etc/gw/gateway.yaml", (P0, P1), worker=Worker((0,), 64 * MB, line=5))
UP = [f"reserve {64 * MB}", "start", "take p0", "take p1", "add p0", "add p1", "wait 5"]


@pytest.fixture
def worker() -> FakeWorker:
    return FakeWorker()


@pytest.fixture
def view(worker: FakeWorker) -> WorkerView:
    return worker.view


@pytest.fixture
def executor(view: WorkerView, tmp_path: Path) -> Executor:
    system = Recorder()
    return Executor(
        cast(DataPlane, system),
        cast(Netlink, system),
        cast(Nft, system),
        cast(Mirror, system),
        RestoreFile(tmp_path / "state.json"),
        view,
        tmp_path / "pins",
    )


def steps(config: Config | None, view: WorkerView) -> Sequence[Step]:
    observed = Observed(worker=view.look(config, asked=1))
    wanted = resolve(config, observed) if config else Wanted()
    return Planner(wanted, observed).steps()


def no_device() -> NoSuchDeviceError:
    return NoSuchDeviceError("port p1: there is no device net_null1")


def changed(config: Config, **what: object) -> Config:
    assert config.worker
    return replace(config, worker=replace(config.worker, **what))  # type: ignore[arg-type]


# ---- what is done ---------------------------------------------------------------------


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
        (
            "add p1",
            ["remove p1", "remove p0", "give back p1", "give back p0", "end", "release"],
        ),
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


# ---- looking --------------------------------------------------------------------------


def test_what_is_found(worker: FakeWorker, view: WorkerView, executor: Executor) -> None:
    executor.run(steps(CONFIG, view))

    found = view.look(CONFIG)

    assert found.state is WorkerState.RUNNING
    assert found.setup == WorkerSetup((0,), 64 * MB)
    assert found.ports == tuple(
        RunningPort(port.name, port.name, port.where, Polling.ADAPTIVE) for port in (P0, P1)
    )
    assert found.taken == tuple(TakenPort(p.name, p.name, p.where, p.where) for p in (P0, P1))
    assert found.reserved == 64 * MB
    assert not found.missing
    assert not found.physical
    worker.runs = False
    assert view.look(CONFIG).state is WorkerState.STARTING
    assert view.look(CONFIG, asked=1).state is WorkerState.ABSENT


def test_nobody_and_nothing(worker: FakeWorker, view: WorkerView) -> None:
    worker.runs = False

    assert view.look(CONFIG).state is WorkerState.ABSENT


def test_a_judgement_counts_until_the_owner_asks(view: WorkerView) -> None:
    view.judgement = Judgement(WorkerState.GIVEN_BACK, "it died")

    assert view.look(CONFIG).state is WorkerState.GIVEN_BACK
    assert view.look(CONFIG, asked=1).state is WorkerState.RUNNING
    view.forgive()
    assert view.look(CONFIG).state is WorkerState.RUNNING


def test_a_slow_worker_is_as_it_was(
    worker: FakeWorker, view: WorkerView, executor: Executor
) -> None:
    executor.run(steps(CONFIG, view))
    before = view.look(CONFIG)
    worker.fails["status"] = WorkerTimeoutError("too slow")

    found = view.look(CONFIG)

    assert found == replace(before, reason="too slow")
    # It is not asked again for a while, unless somebody wants to know.
    assert view.look(CONFIG).reason == "the worker runs and does not answer"
    assert view.look(CONFIG, asked=2) == before


def test_a_device_that_has_no_name_yet(
    view: WorkerView, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At boot the agent sees a device before udev has renamed it."""
    port = replace(P0, vdev=None, pci="0000:04:00.0")
    config = replace(CONFIG, ports=(port,))
    netdev = tmp_path / "pci" / "0000:04:00.0" / "virtio0" / "net" / "eth0"
    netdev.mkdir(parents=True)
    (netdev / "ifindex").write_text("7\n")
    monkeypatch.setattr(worker_facts, "PCI_DEVICES", tmp_path / "pci")
    monkeypatch.setattr(worker_facts, "UDEV", tmp_path / "udev")
    monkeypatch.setattr(networkd, "is_here", lambda: True)

    assert not view.look(config).missing
    (tmp_path / "udev" / "data").mkdir(parents=True)
    (tmp_path / "udev" / "control").touch()
    assert view.look(config).missing == {"p0"}
    (tmp_path / "udev" / "data" / "n7").touch()
    assert not view.look(config).missing


def test_a_worker_of_another_version(
    worker: FakeWorker, view: WorkerView, executor: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It forwards as it did: nothing is done about it but to say so."""
    executor.run(steps(CONFIG, view))
    monkeypatch.setattr(WorkerClient, "_call", lambda *_: {"pid": 1, "started": True, "new": 2})
    with pytest.raises(WorkerError, match=r"version \(.*there is no new\): `systemctl") as caught:
        WorkerClient(Path("/nowhere")).status()
    assert caught.value.code == "worker.version"
    worker.fails["status"] = caught.value

    found = view.look(CONFIG)

    assert (found.state, found.reason) == (WorkerState.STARTING, caught.value.message)
    wanted = resolve(CONFIG, Observed(worker=found))
    assert Planner(wanted, Observed(worker=found)).steps() == ()
    worker.fails["status"] = caught.value
    with pytest.raises(WorkerError, match="another version"):
        view.look(CONFIG, asked=1)


def test_a_device_that_is_gone(worker: FakeWorker, view: WorkerView) -> None:
    gone = replace(CONFIG, ports=(replace(P0, vdev="net_af_packet0,iface=gone9"), P1))

    assert view.look(gone).missing == {"p0"}
    pulled = replace(P0, vdev=None, pci="ffff:ff:1f.7")
    assert view.look(replace(gone, ports=(pulled, P1))).missing == {"p0"}
    worker.refused["p1"] = DeviceError("of no interest here")
    assert view.look(gone).physical == set()


def test_a_device_without_an_iommu(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, view: WorkerView
) -> None:
    (tmp_path / PHYSICAL).mkdir()
    monkeypatch.setattr("hybrid_gateway.worker_facts.PCI_DEVICES", tmp_path)
    config = replace(CONFIG, ports=(replace(P0, vdev=None, pci=PHYSICAL), P1))

    assert view.look(config).physical == {"p0"}


def test_options() -> None:
    setup = WorkerSetup((1, 2), 64 * MB, RouteLimits(10, 20), pci=True, physical=True)

    options = options_of(setup)

    assert (options.cores, options.memory_mb) == ((1, 2), 64)
    assert (options.routes4, options.routes6) == (10, 20)
    assert (options.no_pci, options.iova_pa) == (False, True)


def test_without_a_worker_nothing_of_it_is_imported() -> None:
    code = (
        "import sys; from pathlib import Path; from hybrid_gateway.worker_view import WorkerView;"
        "found = WorkerView(*map(Path, ('/none', '/none', '/none'))).look(None);"
        "assert found.state.value == 'absent' and not found.taken;"
        "assert 'hybrid_gateway.devices.handover' not in sys.modules"
    )

    path = f"{ROOT}/agent:{ROOT}/build/lib"
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": path})


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


# ---- what stands in the way -----------------------------------------------------------


def check(
    view: WorkerView, caller: Caller = NOBODY, accepted: frozenset[str] = frozenset()
) -> None:
    view.check(CONFIG, view.look(CONFIG, asked=1), accepted, caller)


def test_devices_that_cannot_be_had(worker: FakeWorker, view: WorkerView) -> None:
    worker.refused = {
        "p0": DeviceError("is in use", code="device.busy"),
        "p1": DeviceError("has no driver", code="device.no-driver"),
    }

    with pytest.raises(ConfigError) as caught:
        check(view)

    assert str(caught.value).splitlines() == [
        "/etc/gw/gateway.yaml:3: ports.p0.vdev: is in use",
        "/etc/gw/gateway.yaml:4: ports.p1.vdev: has no driver",
    ]
    assert [problem.code for problem in caught.value.problems] == [
        "device.busy",
        "device.no-driver",
    ]


def test_one_device_by_two_names(worker: FakeWorker, view: WorkerView) -> None:
    worker.same = {"net_null1": "net_null0"}

    with pytest.raises(ConfigError) as caught:
        check(view)

    assert str(caught.value) == (
        "/etc/gw/gateway.yaml:4: ports.p1.vdev: net_null1 is port p0 already: both are net_null0"
    )


def test_a_core_that_is_not_online(view: WorkerView) -> None:
    config = changed(CONFIG, cores=(0, 7777))
    observed = replace(view.look(config), online=(0, 1))

    with pytest.raises(ConfigError) as caught:
        view.check(config, observed, frozenset(), NOBODY)

    assert str(caught.value) == (
        "/etc/gw/gateway.yaml:5: worker.cores: CPU 7777 is not online; 0, 1 are"
    )


def test_at_boot_nobody_can_be_asked(worker: FakeWorker, view: WorkerView) -> None:
    worker.refused["p1"] = RefusedError("the last default route leaves by it")

    view.shun_refused(CONFIG, frozenset())

    found = Observed(worker=view.look(CONFIG))
    wanted = resolve(CONFIG, found)
    assert wanted.worker
    assert [port.name for port in wanted.worker.ports] == ["p0"]
    assert wanted.warnings == ("port p1: the kernel has it: the last default route leaves by it",)
    assert not view.retry(1e12)


# ---- what fails while nobody is there to see -------------------------------------------


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


def test_the_only_way_in(worker: FakeWorker, view: WorkerView) -> None:
    worker.refused["p1"] = RefusedError("the SSH session comes by it", code="device.session")

    with pytest.raises(RefusedError) as caught:
        check(view)

    assert str(caught.value) == (
        "/etc/gw/gateway.yaml:4: ports.p1.vdev: the SSH session comes by it"
    )
    assert caught.value.exit_code == 1
    check(view, Caller(force=True))
    check(view, accepted=view.accepted_by(CONFIG))
    with pytest.raises(RefusedError):
        check(view, accepted=frozenset({"p1=net_null7"}))  # that was another device


def test_a_worker_that_is_not_there(worker: FakeWorker, view: WorkerView) -> None:
    """Whoever asks does not have to wait: that is for the agent to do beside everything else."""
    check(view)
    worker.runs = False
    with pytest.raises(NoWorkerError, match=r"^no worker listens on /nowhere: systemctl status"):
        check(view)


def test_what_was_accepted_outlives_the_boot(tmp_path: Path) -> None:
    file = RestoreFile(tmp_path / "state.json")
    file.accept(frozenset({"p0=net_null0"}))
    text = (tmp_path / "state.json").read_text()
    (tmp_path / "state.json").write_text(text.replace('"place": "', '"place": "elsewhere/'))

    again = RestoreFile(tmp_path / "state.json")

    assert again.accepted == {"p0=net_null0"}
    again.remove()
    assert not RestoreFile(tmp_path / "state.json").accepted
