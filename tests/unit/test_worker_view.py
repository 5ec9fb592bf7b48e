# SPDX-License-Identifier: GPL-2.0-or-later
"""What the agent finds when it looks at the worker, and what stands in the way."""

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from hybrid_gateway import worker_facts
from hybrid_gateway.apply import Executor
from hybrid_gateway.devices import networkd
from hybrid_gateway.errors import (
    ConfigError,
    DeviceError,
    RefusedError,
    WorkerError,
    WorkerTimeoutError,
)
from hybrid_gateway.model import (
    Observed,
    Polling,
    RouteLimits,
    RunningPort,
    TakenPort,
    WorkerSetup,
    WorkerState,
)
from hybrid_gateway.plan import Planner
from hybrid_gateway.resolve import resolve
from hybrid_gateway.restore import RestoreFile
from hybrid_gateway.worker_client import WorkerClient
from hybrid_gateway.worker_facts import options_of
from hybrid_gateway.worker_link import MUTE_SECONDS
from hybrid_gateway.worker_view import NOBODY, Caller, NoWorkerError, WorkerView
from tests.unit.fake_worker import PHYSICAL, FakeWorker
from tests.unit.test_cli import ROOT
from tests.unit.worker_plan import CONFIG, MB, P0, P1, changed, steps


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


def test_a_slow_worker_that_has_ended(
    worker: FakeWorker, view: WorkerView, executor: Executor
) -> None:
    """The next one is asked at once, and has nothing of what that one had."""
    executor.run(steps(CONFIG, view))
    view.look(CONFIG)
    worker.fails["status"] = WorkerTimeoutError("too slow")
    view.look(CONFIG)
    worker.die()

    view.forget()

    found = view.look(CONFIG)
    assert (found.state, found.reason, found.ports) == (WorkerState.RUNNING, "", ())


def test_one_that_has_never_answered_is_asked_again(worker: FakeWorker, view: WorkerView) -> None:
    """Nobody tells that it answers now; of one that is only slow something is known."""
    worker.fails["status"] = WorkerTimeoutError("too slow")
    assert view.look(CONFIG).state is WorkerState.STARTING
    assert not view.retry(time.monotonic())

    later = time.monotonic() + MUTE_SECONDS + 1
    assert view.retry(later)
    assert not view.retry(later), "once"
    assert view.look(CONFIG).state is WorkerState.RUNNING
    worker.fails["status"] = WorkerTimeoutError("too slow")
    assert view.look(CONFIG).reason == "too slow"
    assert not view.retry(later + MUTE_SECONDS)


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
