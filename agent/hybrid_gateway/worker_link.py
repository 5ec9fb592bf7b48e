# SPDX-License-Identifier: GPL-2.0-or-later
"""The DPDK worker's socket, and the process behind it."""

import contextlib
import logging
import time
from pathlib import Path

from .errors import WorkerAbsentError, WorkerError, WorkerTimeoutError
from .model import WorkerState
from .worker_client import WorkerClient, WorkerStatus, nobody
from .worker_process import Process
from .worker_trust import Trust

log = logging.getLogger(__name__)

MUTE_SECONDS = 5.0
"""A worker that did not answer is not asked again for so long, but on request."""
ATTEMPTS = 4
"""On request; a machine that is busy with something else may take that long."""


class WorkerLink(Trust):
    """Asks it, awaits it, ends it."""

    def __init__(self, socket: Path, verdict: Path) -> None:
        super().__init__(verdict)
        self._socket = socket
        self._mute_until = 0.0
        self._last: WorkerStatus | None = None
        """What it said last, until it is gone."""
        self.followed = 0
        """The process whose end somebody is certain to see."""
        self.held: dict[int, WorkerClient] = {}
        """Connections to workers that were started while another one was followed, by process."""

    def client(self) -> WorkerClient:
        """A connection of its own, for a few calls; a context manager."""
        return WorkerClient(self._socket)

    def status(self, *, attempts: int = 1) -> WorkerStatus:
        """WorkerTimeoutError at once from a worker that did not answer a moment ago."""
        if time.monotonic() < self._mute_until:
            raise WorkerTimeoutError("the worker runs and does not answer")
        for left in reversed(range(attempts)):
            try:
                with self.client() as client:
                    self._last = client.status()
                return self._last
            except WorkerAbsentError:
                self._last = None
                raise
            except WorkerTimeoutError:
                if not left:
                    self._mute_until = time.monotonic() + MUTE_SECONDS
                    raise
        raise AssertionError

    def forget(self) -> None:
        """It has ended: the next one is asked, whether or not this one answered."""
        self._mute_until, self._last = 0.0, None

    def retry(self, now: float) -> bool:
        """Also when one that did not answer, and of which nothing is known, may be asked again."""
        unknown = self._last is None and 0.0 < self._mute_until <= now
        if unknown:
            self._mute_until = 0.0
        return super().retry(now) or unknown

    def hold(self, client: WorkerClient) -> bool:
        """Keeps the connection to a worker that is being started: whoever follows it will see its
        end, however soon that comes. False: somebody follows it, and the connection may go."""
        pid = client.peer()
        return pid != self.followed and self.held.setdefault(pid, client) is client

    def watched(self) -> WorkerClient:
        """A connection on which nothing but the worker's end is to be expected: the first that was
        held, or a new one."""
        first = next(iter(self.held), None)
        return self.client() if first is None else self.held.pop(first)

    def wait(self, seconds: float, *, fresh: bool = False) -> None:
        """Until one listens, which with `fresh` has not been started; WorkerAbsentError if not."""
        end = time.monotonic() + seconds
        while True:
            try:
                with self.client() as client:
                    if not (client.status().started and fresh):
                        return
            except WorkerAbsentError:
                pass
            if time.monotonic() >= end:
                raise WorkerAbsentError(nobody(self._socket))
            time.sleep(0.02)

    def rouse(self) -> None:
        """One that runs and does not answer is killed."""
        self._mute_until = 0.0
        try:
            self.status(attempts=ATTEMPTS)
        except WorkerTimeoutError:
            self.end()
        except WorkerError:
            pass

    def put_down(self) -> None:
        """One that was given up, and may hold devices that the kernel is to have, ends."""
        self.rouse()
        if self.judgement and self.judgement.state is WorkerState.GIVEN_BACK:
            with contextlib.suppress(WorkerError):
                if self.status().started:
                    self.end()

    def end(self) -> None:
        """Has its process end and waits until it has; kills one that does not do so itself."""
        with self.client() as client:
            try:
                process = Process(client.peer())
            except WorkerAbsentError:
                return
            self.leaving.add(process.pid)
            try:
                client.stop()
            except WorkerAbsentError:
                pass
            except WorkerError as error:
                log.warning("%s: it is killed", error)
                process.kill()
            process.wait()
            self.forget()
