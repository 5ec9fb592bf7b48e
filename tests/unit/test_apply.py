# SPDX-License-Identifier: GPL-2.0-or-later
"""Steps are done in order, and undone in reverse when one fails."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from _gw_native import ffi

from hybrid_gateway import sysctl
from hybrid_gateway.apply import Executor
from hybrid_gateway.apply.host import HostSteps
from hybrid_gateway.bpf import DataPlane, LoadReport, SavedSessions
from hybrid_gateway.bpf.carry import Tally
from hybrid_gateway.errors import KernelError, RefusedError
from hybrid_gateway.mirror import Mirror
from hybrid_gateway.model import Offload, Sizes, StepKind, Sysctl, Wanted, Written
from hybrid_gateway.netlink import Netlink
from hybrid_gateway.nft import Nft
from hybrid_gateway.plan import Planner
from hybrid_gateway.resolve import resolve
from hybrid_gateway.restore import RestoreFile
from hybrid_gateway.worker_view import WorkerView
from tests.unit.site import CONFIG, OBSERVED
from tests.unit.test_plan import done


class Recorder:
    """Stands for everything that touches the system; notes each call that changes something."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.fail_at = ""
        self.links: dict[int, str] = {}
        self.reused = False
        self.replacing = False
        self.restored = False
        self.table = ""

    def note(self, call: str) -> None:
        self.calls.append(call)
        if call == self.fail_at:
            self.fail_at = ""
            raise RefusedError("no", code="test.refused")

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *values: self.note(name)  # noqa: ARG005

    def load(self, sizes: object) -> LoadReport:
        assert sizes
        self.note("load")
        return LoadReport(self.reused, "")

    def carry(self) -> None:
        if self.replacing:
            self.note("carry")

    def commit(self) -> list[str]:
        if not self.replacing:
            return []
        self.note("commit")
        return ["7 sessions carried over"]

    def rollback(self) -> bool:
        if self.replacing:
            self.note("rollback")
        return self.replacing

    def set_settings(self, settings: Any) -> None:
        self.note("set_settings" if settings.enabled else "set_settings off")

    def restore(self, blocks: Iterable[Any]) -> Tally:
        self.note(f"restore {len(list(blocks))} blocks")
        return Tally([0, 3, 0, 2, 0, 0])

    def mark_restored(self) -> None:
        self.restored = True

    def attached(self) -> dict[int, str]:
        return dict(self.links)

    def attach(self, ifindex: int, name: str, outside: bool) -> str:
        self.note(f"attach {name}{' outside' if outside else ''}")
        self.links[ifindex] = "native"
        return "native"

    def detach(self, ifindex: int, name: str) -> None:
        self.note(f"detach {name}")
        self.links.pop(ifindex, None)

    def fingerprint(self) -> str:
        return self.table

    def write(self, table: object, sets: object) -> str:
        self.note("write table" if table and not sets else "?")
        return "abc"

    def set_vnis(self, entries: Iterable[Any]) -> list[Any]:
        self.note("set_vnis")
        return list(entries)

    def remove(self) -> None:
        self.note("remove")

    def manage(self, hop: Any) -> None:
        self.note(f"manage {hop.address}")

    def unmanage(self, hop: Any) -> None:
        self.note(f"unmanage {hop.address}")


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder()
    values = {s.name: s.value for s in OBSERVED.sysctls}

    def write(name: str, value: str) -> None:
        recorder.note(f"{name.removeprefix('net.ipv4.')}={value}")
        values[name] = value

    def switch(offload: Offload, on: bool) -> None:
        recorder.note(f"{offload.device} {'on' if on else 'off'}")

    monkeypatch.setattr(sysctl, "read", values.__getitem__)
    monkeypatch.setattr(sysctl, "write", write)
    monkeypatch.setattr(sysctl, "PROC", Path("/nonexistent"))  # no devices
    monkeypatch.setattr(HostSteps, "_switch", staticmethod(switch))
    return recorder


@pytest.fixture
def executor(system: Recorder, tmp_path: Path) -> Executor:
    return Executor(
        cast(DataPlane, system),
        cast(Netlink, system),
        cast(Nft, system),
        cast(Mirror, system),
        RestoreFile(tmp_path / "state.json"),
        cast(WorkerView, system),
        tmp_path / "pins",
    )


WANTED = resolve(CONFIG, OBSERVED)
STEPS = Planner(WANTED, OBSERVED).steps()
FORWARD = [
    "load",
    "follow",
    "ip_local_reserved_ports=8080,20000-49999",
    "write table",
    "wan0 off",
    "set_addresses",
    "set_statics",
    "set_inside_prefixes",
    "set_vnis",
    "set_devices",
    "set_settings",
    "attach wan0 outside",
    "attach lan0",
    "attach lan1",
    "manage 203.0.113.1",
    "ip_forward=1",  # not before the guard stands
]


def test_all_of_a_plan(system: Recorder, executor: Executor) -> None:
    executor.run(STEPS)
    assert system.calls == FORWARD
    assert executor.written == done(WANTED).written


def test_a_failure_undoes_what_was_done(
    system: Recorder, executor: Executor, tmp_path: Path
) -> None:
    system.fail_at = "attach lan1"
    with pytest.raises(RefusedError, match="attach lan1: no") as caught:
        executor.run(STEPS)

    assert caught.value.code == "test.refused"
    assert system.calls[FORWARD.index("attach lan1") + 1 :] == [
        "detach lan1",  # whatever of it was attached before it failed
        "detach lan0",
        "detach wan0",
        "wan0 on",
        "remove",  # the nftables table
        "ip_local_reserved_ports=8080",
        "stop",  # the mirror, before its maps go
        "remove",  # the programs
        "stop",
    ]
    assert not RestoreFile(tmp_path / "state.json").changes
    assert executor.written.sizes is None
    assert executor.written.table is None
    assert executor.written.attachments == ()


def test_a_failure_returns_to_what_was_written_before(system: Recorder, executor: Executor) -> None:
    executor.run(STEPS)
    before = executor.written
    system.calls.clear()
    system.fail_at = "manage 203.0.113.1"
    tables = {StepKind.ADDRESSES, StepKind.SETTINGS, StepKind.TABLE, StepKind.MANAGE}
    with pytest.raises(RefusedError):
        executor.run([step for step in STEPS if step.kind in tables])

    names = ["write table", "set_addresses", "set_settings"]
    assert system.calls == [*names, "manage 203.0.113.1", *reversed(names)]
    assert executor.written == before


def test_programs_of_an_earlier_agent_stay_when_a_plan_fails(
    system: Recorder, executor: Executor, tmp_path: Path
) -> None:
    (tmp_path / "pins").mkdir()
    system.reused = True
    system.table = "xyz"
    system.links = {2: "native", 3: "native", 4: "native"}
    system.fail_at = "manage 203.0.113.1"
    with pytest.raises(RefusedError):
        executor.run(STEPS)

    assert not [call for call in system.calls if call.startswith("detach")]
    assert "remove" not in system.calls  # neither the table nor the programs
    assert executor.written.table is None


def test_sessions_go_over_before_the_ports(system: Recorder, executor: Executor) -> None:
    system.replacing = True
    executor.run(STEPS)

    kept = [call for call in system.calls if call in ("set_settings", "carry", "commit")]
    assert kept == ["set_settings", *["carry"] * 3, "commit"]
    assert system.calls.index("carry") < system.calls.index("attach wan0 outside")
    assert system.calls[-1] == "commit"
    assert executor.notes == ("7 sessions carried over",)


@pytest.mark.parametrize("fault", ["set_settings", "carry", "attach lan1", "commit"])
def test_what_was_in_force_comes_back(system: Recorder, executor: Executor, fault: str) -> None:
    executor.run(STEPS)
    before = executor.written
    system.replacing = True
    system.fail_at = fault
    with pytest.raises(RefusedError):
        executor.run(Planner(replace(WANTED, sizes=Sizes(999, 1)), done(WANTED)).steps())

    assert system.calls[-2:] == ["rollback", "follow"]
    assert executor.written == before
    assert not [call for call in system.calls if call.startswith("detach")]


@pytest.fixture
def sessions(executor: Executor, tmp_path: Path) -> SavedSessions:
    """A file of two, as an earlier boot left it, where the executor looks."""
    file = SavedSessions(tmp_path / "sessions")
    block = ffi.new("struct gw_saved[]", 2)
    file.write([(block, 2)], file.writing())
    executor.keep_sessions(file)
    return file


@pytest.mark.usefixtures("sessions")
def test_what_was_saved_is_restored_before_anything_new(
    system: Recorder, executor: Executor
) -> None:
    executor.run(STEPS)
    at = system.calls.index("set_settings off")
    assert system.calls[at : at + 3] == ["set_settings off", "restore 1 blocks", "set_settings"]
    assert "attach wan0 outside" not in system.calls[:at]
    assert executor.notes == (
        "3 sessions restored",
        "2 sessions not restored: no room for them",
    )
    assert system.restored
    assert not executor.restoring


@pytest.mark.usefixtures("sessions")
def test_the_saved_wait_for_an_address(system: Recorder, executor: Executor) -> None:
    waiting = replace(WANTED, settings=replace(WANTED.settings, enabled=False, addresses=()))
    executor.run(Planner(waiting, OBSERVED).steps())
    assert executor.restoring
    assert not system.restored
    system.calls.clear()

    executor.run(Planner(WANTED, done(waiting)).steps())
    assert system.calls == ["set_settings off", "restore 1 blocks", "set_settings"]
    assert not executor.restoring
    assert system.restored


@pytest.mark.usefixtures("sessions")
def test_sessions_that_live_need_no_restoring(system: Recorder, executor: Executor) -> None:
    system.restored = True
    executor.run(STEPS)
    assert system.calls == FORWARD


@pytest.mark.usefixtures("sessions")
def test_nobody_asks_for_sessions_any_more(system: Recorder, executor: Executor) -> None:
    waiting = replace(WANTED, settings=replace(WANTED.settings, enabled=False, addresses=()))
    executor.run(Planner(waiting, OBSERVED).steps())
    executor.keep_sessions(None)
    executor.run(Planner(WANTED, done(waiting)).steps())
    assert not [call for call in system.calls if call.startswith("restore")]


def test_a_damaged_file_is_put_aside(
    system: Recorder, executor: Executor, sessions: SavedSessions
) -> None:
    sessions.path.write_bytes(sessions.path.read_bytes()[:-1])
    executor.run(STEPS)
    assert system.calls == [*FORWARD[:10], "set_settings off", *FORWARD[10:]]
    (note,) = executor.notes
    assert note == (
        f"sessions were not restored: {sessions.path}: truncated or damaged: its content has "
        "another checksum; it is sessions.bad now"
    )
    assert [sessions.exists(), sessions.damaged.exists()] == [False, True]


def test_originals_are_recorded_once(system: Recorder, executor: Executor, tmp_path: Path) -> None:
    assert system
    executor.run(STEPS)
    record = RestoreFile(tmp_path / "state.json").changes
    assert record.sysctls["net.ipv4.ip_forward"].original == "0"
    assert record.sysctls["net.ipv4.ip_local_reserved_ports"].original == "8080"
    assert {offload.on for offload in record.offloads} == {True}


def test_detaching(system: Recorder, executor: Executor, tmp_path: Path) -> None:
    executor.run(STEPS)
    system.calls.clear()
    executor.run(Planner(Wanted(), done(WANTED)).steps())

    assert system.calls == [
        "ip_forward=0",
        "detach lan0",
        "detach lan1",
        "detach wan0",
        "unmanage 203.0.113.1",
        "wan0 on",
        "remove",
        "ip_local_reserved_ports=8080",
    ]
    assert not RestoreFile(tmp_path / "state.json").changes


def test_a_device_that_went_meanwhile_is_no_error(
    system: Recorder, executor: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object) -> None:
        raise KernelError("netlink request 28", 19)

    monkeypatch.setattr(system, "manage", gone, raising=False)
    executor.run([step for step in STEPS if step.kind is StepKind.MANAGE])
    assert isinstance(executor.written, Written)


def test_a_setting_is_put_back_when_writing_it_fails(
    system: Recorder, executor: Executor, tmp_path: Path
) -> None:
    system.fail_at = "ip_forward=1"
    steps = [s for s in STEPS if isinstance(s.value, Sysctl)]
    with pytest.raises(RefusedError):
        executor.run(steps)
    assert not RestoreFile(tmp_path / "state.json").changes.sysctls
