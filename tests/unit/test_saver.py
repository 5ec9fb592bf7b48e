# SPDX-License-Identifier: GPL-2.0-or-later
"""Sessions are saved again and again, beside everything else, and once more at the end."""

import asyncio
import threading
from collections.abc import Callable
from typing import cast

import pytest

from hybrid_gateway.agent.engine import Engine
from hybrid_gateway.agent.saver import Saver


class Sessions:
    """Stands for the engine."""

    def __init__(self) -> None:
        self.unsaved = ""
        self.saved = 0
        self.fault: Exception | None = None
        self.wanted = True
        self.hold = threading.Event()
        self.hold.set()
        self.enough = threading.Event()
        self._at_work = threading.Lock()

    def snapshot(self) -> Callable[[], None] | None:
        return self.save if self.wanted else None

    def save(self) -> None:
        assert threading.current_thread() is not threading.main_thread()
        assert self._at_work.acquire(blocking=False), "two at a time"
        try:
            assert self.hold.wait(5)
            if self.fault:
                raise self.fault
            self.saved += 1
            if self.saved == 3:
                self.enough.set()
        finally:
            self._at_work.release()


def saver(sessions: Sessions, seconds: float) -> Saver:
    return Saver(cast(Engine, sessions), asyncio.get_running_loop(), seconds)


@pytest.fixture
def sessions() -> Sessions:
    return Sessions()


async def reached(event: threading.Event) -> None:
    assert await asyncio.to_thread(event.wait, 5)


def test_again_and_again(sessions: Sessions) -> None:
    async def run() -> None:
        at_work = saver(sessions, 0.001)
        at_work.start()
        await reached(sessions.enough)
        await at_work.stop()
        last = sessions.saved
        await asyncio.sleep(0)
        assert sessions.saved == last

    asyncio.run(run())


def test_at_the_end(sessions: Sessions) -> None:
    async def run() -> None:
        at_work = saver(sessions, 1000)
        at_work.start()
        await at_work.stop()

    asyncio.run(run())
    assert sessions.saved == 1


def test_a_slow_disk_is_waited_for_and_holds_nobody_up(sessions: Sessions) -> None:
    async def run() -> None:
        sessions.hold.clear()
        at_work = saver(sessions, 0.001)
        at_work.start()
        # The loop goes on, and the timer fires many times until then.
        asyncio.get_running_loop().call_later(0.05, sessions.hold.set)
        await reached(sessions.hold)
        await at_work.stop()

    asyncio.run(run())
    assert sessions.saved >= 2


def test_nothing_to_save(sessions: Sessions) -> None:
    sessions.wanted = False
    asyncio.run(_stopped(sessions))
    assert sessions.saved == 0


def test_a_full_disk_is_told_until_there_is_room(
    sessions: Sessions, caplog: pytest.LogCaptureFixture
) -> None:
    sessions.fault = OSError(28, "No space left on device")
    for _ in range(2):
        asyncio.run(_stopped(sessions))
    assert sessions.unsaved == "sessions were not saved: [Errno 28] No space left on device"
    assert len(caplog.records) == 1
    sessions.fault = None
    asyncio.run(_stopped(sessions))
    assert sessions.unsaved == ""


async def _stopped(sessions: Sessions) -> None:
    await saver(sessions, 1000).stop()
