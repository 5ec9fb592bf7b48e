# SPDX-License-Identifier: GPL-2.0-or-later
"""Saves the sessions every minute and at the end, beside everything else that the agent does."""

import asyncio
import logging

from ..errors import GwError
from .engine import Engine

log = logging.getLogger(__name__)

SAVE_SECONDS = 60.0


class Saver:
    """Reads and writes in a thread, one at a time; only starting it needs the loop."""

    def __init__(
        self, engine: Engine, loop: asyncio.AbstractEventLoop, seconds: float = SAVE_SECONDS
    ) -> None:
        self._engine = engine
        self._loop = loop
        self._seconds = seconds
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._timer = self._loop.call_later(self._seconds, self._again)

    async def stop(self) -> None:
        """Once more, and no more after that."""
        if self._timer:
            self._timer.cancel()
        if self._task:
            await self._task
        await self._save()

    def _again(self) -> None:
        if self._task is None or self._task.done():
            self._task = self._loop.create_task(self._save())
        self.start()

    async def _save(self) -> None:
        try:
            save = self._engine.snapshot()
            if save:
                await self._loop.run_in_executor(None, save)
            self._engine.unsaved = ""
        except (GwError, OSError) as error:
            problem = f"sessions were not saved: {error}"
            if problem != self._engine.unsaved:
                log.warning("%s", problem)
            self._engine.unsaved = problem
