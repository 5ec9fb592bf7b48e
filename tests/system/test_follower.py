# SPDX-License-Identifier: GPL-2.0-or-later
"""A fault in the middle of following: told, and followed by another try."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from hybrid_gateway.agent import follower as module
from hybrid_gateway.agent.engine import Engine
from hybrid_gateway.agent.follower import Follower
from hybrid_gateway.instance import Instance
from hybrid_gateway.lab.namespaces import run
from hybrid_gateway.observe import Part

FAULT = "unexpected ZeroDivisionError: by nought; the agent's log has more"


@pytest.fixture
def engine(site: str, tmp_path: Path) -> Iterator[Engine]:
    """One without a configuration, whose `reconcile` the tests replace."""
    built = Engine(Instance(site), tmp_path / "gateway.yaml", tmp_path)
    yield built
    built.close()


class Looks:
    """Stands for `reconcile`: the first look fails, the others are noted."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.failed = asyncio.Event()
        self.again = asyncio.Event()
        self.state = ""
        self.parts = Part(0)

    def __call__(self, parts: Part) -> None:
        if not self.failed.is_set():
            self.failed.set()
            raise ZeroDivisionError("by nought")
        self.state, self.parts = self._engine.state, parts
        self._engine.error = None
        self.again.set()


def test_an_unexpected_fault_is_told_and_tried_again(
    site: str, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.2)

    async def followed() -> Looks:
        looks = Looks(engine)
        monkeypatch.setattr(engine, "reconcile", looks)
        follower = Follower(engine, asyncio.get_running_loop())
        follower.start()
        try:
            run(["ip", "-n", site, "addr", "add", "203.0.113.3/24", "dev", "wan0"])
            async with asyncio.timeout(5):
                await looks.failed.wait()
                await asyncio.sleep(0)  # the callback that raised has returned
                assert str(engine.error) == FAULT
                await looks.again.wait()
        finally:
            follower.stop()
        return looks

    looks = asyncio.run(followed())
    assert looks.state == "failed"
    assert looks.parts & Part.ALL == Part.ALL


def test_a_fault_while_neighbours_are_probed(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.1)

    async def probed() -> None:
        twice = asyncio.Event()
        calls = []

        def probe() -> float:
            calls.append(1)
            if len(calls) == 2:
                twice.set()
                return 60.0
            raise ZeroDivisionError("by nought")

        monkeypatch.setattr(engine.mirror, "probe", probe)
        monkeypatch.setattr(engine, "reconcile", lambda _: None)
        follower = Follower(engine, asyncio.get_running_loop())
        follower.start()
        try:
            assert str(engine.error) == FAULT
            async with asyncio.timeout(5):
                await twice.wait()
        finally:
            follower.stop()

    asyncio.run(probed())


def test_stations_are_read_before_they_are_reported(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel makes an entry that is reported as used, be it gone or elsewhere meanwhile."""
    calls = []

    def probe() -> float:
        calls.append("probe")
        return 60.0

    monkeypatch.setattr(engine.mirror, "read", lambda: calls.append("read"))
    monkeypatch.setattr(engine.mirror, "probe", probe)

    async def probed() -> None:
        follower = Follower(engine, asyncio.get_running_loop())
        follower.start()
        follower.stop()

    asyncio.run(probed())
    assert calls == ["read", "probe"]
