# SPDX-License-Identifier: GPL-2.0-or-later
"""How gw-agent begins and ends."""

import asyncio
from collections.abc import Callable
from ipaddress import IPv4Address
from pathlib import Path
from typing import NoReturn, cast

import pytest

from hybrid_gateway import instance
from hybrid_gateway.agent import daemon
from hybrid_gateway.agent.calls import Agent, caller, patient
from hybrid_gateway.agent.engine import Engine, Prepared
from hybrid_gateway.errors import DeviceError, UsageError
from hybrid_gateway.worker_view import NoWorkerError

Main = Callable[..., int]


@pytest.fixture
def main(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Main:
    monkeypatch.setattr(instance, "RUN_DIR", tmp_path / "run")

    def called(*arguments: str) -> int:
        monkeypatch.setattr("sys.argv", ["gw-agent", "--instance", "unit", *arguments])
        return daemon.main()

    return called


def test_an_unexpected_fault_is_one_line(
    main: Main, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> NoReturn:
        raise ZeroDivisionError("by nought")

    monkeypatch.setattr(daemon, "Engine", broken)
    assert main() == 1
    said = capsys.readouterr().err
    assert said == "gw-agent: unexpected ZeroDivisionError: by nought; --verbose shows more\n"


# ---- patience with the worker ----------------------------------------------------------


def tried(monkeypatch: pytest.MonkeyPatch, fails: int, seconds: float) -> tuple[object, int]:
    """What comes of an action that finds no worker so often, and how often it was tried."""
    monkeypatch.setattr(f"{patient.__module__}.AGAIN_SECONDS", 0.0)
    prepared = cast(Prepared, object())
    calls = 0

    def action() -> Prepared:
        nonlocal calls
        calls += 1
        if calls <= fails:
            raise NoWorkerError("nobody listens")
        return prepared

    return asyncio.run(patient(action, seconds)) is prepared, calls


def test_a_worker_that_restarts_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert tried(monkeypatch, 3, 60.0) == (True, 4)


def test_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NoWorkerError):
        tried(monkeypatch, 1, 0.0)


def test_sessions_are_addresses() -> None:
    assert caller(["192.0.2.7"]).sessions == (IPv4Address("192.0.2.7"),)
    with pytest.raises(UsageError, match="sessions: "):
        caller(["nobody"])


# ---- the end ---------------------------------------------------------------------------


class Detaching:
    """An engine that cannot detach, or does so and leaves a device behind."""

    def __init__(self, *, done: bool) -> None:
        self.config = None if done else object()

    def detach(self) -> NoReturn:
        raise DeviceError("port sfp0: its driver is not loaded", code="device.away")


@pytest.mark.parametrize("done", [True, False])
def test_a_detached_agent_ends(*, done: bool) -> None:
    """Then gw-handback may try again what is left; one that still forwards stays."""
    ended = asyncio.Event()
    agent = Agent(cast(Engine, Detaching(done=done)), ended)

    with pytest.raises(DeviceError):
        agent.shutdown(detach=True)

    assert ended.is_set() is done
