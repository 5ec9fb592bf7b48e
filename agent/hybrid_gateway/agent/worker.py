# SPDX-License-Identifier: GPL-2.0-or-later
"""Follows the DPDK worker: what becomes of its ports when it dies, and when it is back."""

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Callable

from ..errors import WorkerAbsentError, WorkerError, WorkerTimeoutError
from ..model import WorkerState
from ..observe import Part
from ..worker_client import WorkerClient
from ..worker_trust import OWNER, Judgement
from .engine import Engine

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.1
"""Between two attempts to reach a worker whose ports wait for it."""
IDLE_SECONDS = 1.0
"""Between two attempts where nothing waits."""
PING_SECONDS = 5.0
MISSED_MAX = 5
"""A worker that leaves so many questions in a row unanswered is as good as dead, and killed: ports
and all are then treated as after any other death. Not so long a time: an agent that was asleep
itself, or had no CPU, has asked nothing."""
RESTART_SECONDS = 3.0
"""A worker that died is waited for so long."""
CRASHES_MAX = 3
CRASHES_SECONDS = 60.0
"""So many deaths within so long are enough: the kernel has the ports until the next apply."""


class WorkerFollower:
    """Holds a connection to the worker, whose end tells of its death at once; never waits for it.

    `attempt` runs what may fail: the follower's, whose errors are in the status.
    """

    def __init__(
        self,
        engine: Engine,
        loop: asyncio.AbstractEventLoop,
        attempt: Callable[[Callable[[], None]], None],
    ) -> None:
        self._engine = engine
        self._view = engine.worker
        self._loop = loop
        self._attempt = attempt
        self._client: WorkerClient | None = None
        self._socket = -1
        self._pid = 0
        self._orderly = False
        """Whether it has said that it ends: nobody has to have asked it to."""
        self._timer: asyncio.TimerHandle | None = None
        self._deadline: float | None = None
        """When a worker that died is given up, by the loop's clock."""
        self._ping: asyncio.Task[None] | None = None

    def start(self) -> None:
        if self._view.taken() and not self._connect():
            # It died before this agent began, or with the last one.
            self._await("it is not there")
        self._look_later()
        self._ping = self._loop.create_task(self._keep_pinging())

    def stop(self) -> None:
        if self._timer:
            self._timer.cancel()
        if self._ping:
            self._ping.cancel()
        self._disconnect()

    # ---- the connection ---------------------------------------------------------------

    def _connect(self) -> bool:
        client = self._view.watched()
        try:
            connection = client.connected()
            self._pid = client.peer()
        except WorkerAbsentError:
            client.close()
            return False
        self._client, self._socket, self._orderly = client, connection.fileno(), False
        self._view.followed = self._pid
        # The others have ended, and their numbers may be another's one day.
        self._view.leaving.intersection_update({self._pid, *self._view.held})
        self._loop.add_reader(self._socket, self._attempt, self._heard)
        return True

    def _disconnect(self) -> None:
        if self._client:
            self._loop.remove_reader(self._socket)
            self._client.close()
        self._client = None

    def _heard(self) -> None:
        """Nothing is ever asked by this connection, so that only a farewell and its end come."""
        assert self._client
        try:
            self._orderly |= self._client.farewell()
        except WorkerAbsentError:
            self._ended()

    def _ended(self) -> None:
        pid = self._pid
        self._disconnect()
        self._view.forget()
        self._look_later(0.0)
        told = pid in self._view.leaving
        self._view.leaving.discard(pid)
        if not (self._view.taken() and self._engine.config):
            if not told:
                self._engine.reconcile(Part.WORKER)
        elif told or self._orderly:
            # To be started anew. The next one may not come, or not start: nobody else waits for it.
            self._await(f"it ended (process {pid})")
        else:
            self._died(pid)

    # ---- whether it is alive ----------------------------------------------------------

    async def _keep_pinging(self) -> None:
        """In a thread: nobody else has to wait for a worker that hangs."""
        pid, missed = 0, 0
        while True:
            await asyncio.sleep(PING_SECONDS)
            if self._client is None:
                continue
            if pid != self._pid:
                pid, missed = self._pid, 0
            if await self._loop.run_in_executor(None, _answers, self._view.client()):
                missed = 0
            elif self._client and pid == self._pid:
                missed += 1
                if missed == MISSED_MAX:
                    log.error("the worker (process %d) does not answer: it is killed", pid)
                    with contextlib.suppress(ProcessLookupError):  # it has just ended
                        os.kill(pid, signal.SIGKILL)

    # ---- what becomes of its ports ----------------------------------------------------

    def _died(self, pid: int) -> None:
        log.error("the worker (process %d) died", pid)
        now = self._loop.time()
        crashes = self._view.crashes
        crashes[:] = [*(then for then in crashes if now - then < CRASHES_SECONDS), now]
        if len(crashes) >= CRASHES_MAX:
            times = f"{len(crashes)} times within {CRASHES_SECONDS:.0f} s"
            self._give_up(f"it died {times}", again=OWNER)
        else:
            self._await(f"it died (process {pid})")

    def _await(self, reason: str) -> None:
        judged = self._view.judgement
        if judged and judged.state is WorkerState.GIVEN_BACK:
            # What of its ports is left could not be given back: the next look tries again.
            self._engine.reconcile(Part.ALL)
            return
        self._view.judgement = Judgement(WorkerState.STARTING, reason)
        self._deadline = self._loop.time() + RESTART_SECONDS
        self._engine.reconcile(Part.WORKER)

    def _give_up(self, reason: str, *, again: float | None = None) -> None:
        log.error("the worker is given up: %s", reason)
        self._deadline = None
        self._view.give_up(reason, again=again)
        self._engine.reconcile(Part.ALL)

    def _look_later(self, seconds: float | None = None) -> None:
        if seconds is None:
            seconds = LOOK_SECONDS if self._deadline is not None else IDLE_SECONDS
        if self._timer:
            self._timer.cancel()
        self._timer = self._loop.call_later(seconds, self._attempt, self._look)

    def _look(self) -> None:
        self._timer = None
        try:
            if self._client is None and self._connect():
                self._returned()
            elif self._deadline is not None and self._loop.time() >= self._deadline:
                self._give_up(f"it did not come back within {RESTART_SECONDS:.0f} s")
            elif self._view.retry(self._loop.time()):
                self._engine.reconcile(Part.ALL)
        finally:
            self._look_later()

    def _returned(self) -> None:
        """One that was given up for good stays so."""
        self._deadline = None
        if self._view.judgement and self._view.judgement.again is not None:
            return
        self._view.judgement = None
        self._engine.reconcile(Part.ALL)


def _answers(client: WorkerClient) -> bool:
    with client:
        try:
            client.status()
        except (WorkerAbsentError, WorkerTimeoutError):
            return False
        except WorkerError:
            pass  # an answer, though none that we understand
    return True
