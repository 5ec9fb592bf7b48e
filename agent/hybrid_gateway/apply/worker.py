# SPDX-License-Identifier: GPL-2.0-or-later
"""Steps on the DPDK worker: its memory, its process, its devices and its ports."""

import contextlib
import logging

from ..errors import GwError, WorkerError
from ..model import PortSetup, RunningPort, Segment, TakenPort, WorkerSetup
from ..worker_client import WorkerClient, WorkerPort
from ..worker_facts import options_of, segment_of
from ..worker_view import WorkerView
from .undo import Undo, nothing, void

log = logging.getLogger(__name__)

RETURN_SECONDS = 20.0
"""Until systemd has started the next worker after one that was told to end."""
MIRROR_SECONDS = 5.0
"""Until a new worker knows the kernel's routes; it forwards what it knows meanwhile."""


class WorkerSteps:
    """Each method does one step and returns how to undo it."""

    def __init__(self, view: WorkerView) -> None:
        self._view = view
        self.notes: list[str] = []
        self._changed = False
        self._patience = RETURN_SECONDS

    def begin(self) -> None:
        """A plan begins; what another one did is of no interest."""
        self.notes.clear()
        self._changed = False
        self._patience = RETURN_SECONDS

    # ---- memory and process -----------------------------------------------------------

    def reserve(self, size: int) -> Undo:
        before = self._view.hugepages.status().reserved
        self._view.hugepages.reserve(size)
        return self._view.hugepages.release if not before else nothing

    def release(self, before: int) -> Undo:
        self._view.hugepages.release()
        return lambda: void(self._view.hugepages.reserve(before))

    def start(self, setup: WorkerSetup) -> Undo:
        # Undone, a plan that has waited for nobody does not wait a second time.
        patience, self._patience = self._patience, 0.0
        self._view.wait(patience, fresh=True)
        self._patience = patience
        with contextlib.ExitStack() as stack:
            client = self._view.client()
            pid = client.peer()
            if not self._view.hold(client):
                stack.callback(client.close)
            try:
                client.start(options_of(setup))
            except WorkerError:
                # EAL cannot be started twice in a process, not even after it failed.
                self._view.leaving.add(pid)
                self._view.end()
                raise
        self._changed = True
        return self._view.end

    def stop(self, setup: WorkerSetup) -> Undo:
        self._view.end()
        return lambda: void(self.start(setup))

    # ---- devices and ports ------------------------------------------------------------

    def take(self, port: PortSetup) -> Undo:
        self._view.handover.take(port.port)
        self._view.away.pop(port.name, None)
        return lambda: self._view.handover.give_back(port.name)

    def give_back(self, taken: TakenPort) -> Undo:
        try:
            self._view.handover.give_back(taken.name)
        except GwError as error:
            # Its driver may take it one day: neither another port nor the plan waits for that.
            log.error("port %s: its device does not come back: %s", taken.name, error)
            self._view.stays_away(taken.name, error.message)
            return nothing
        self._view.away.pop(taken.name, None)
        # What was taken by halves was nobody's port yet.
        return (lambda: void(self._view.handover.take(taken.port))) if taken.device else nothing

    def add(self, port: PortSetup) -> Undo:
        taken = self._view.handover.taken()[port.name]
        with self._view.client() as client:
            self._add(client, WorkerPort(port.name, taken.tap, taken.eal, port.polling))
        return lambda: self._remove(port.name)

    def remove(self, port: RunningPort) -> Undo:
        self._remove(port.name)

        def undo() -> None:
            with self._view.client() as client:
                self._add(client, WorkerPort(port.name, port.tap, port.device, port.polling))

        return undo

    def _add(self, client: WorkerClient, port: WorkerPort) -> None:
        try:
            client.add_port(port)
        except WorkerError:
            # One that was too slow may have it in the end: then nothing of it must stay.
            with contextlib.suppress(WorkerError):
                client.remove_port(port.name)
            raise
        self._changed = True

    def _remove(self, name: str) -> None:
        with self._view.client() as client:
            client.remove_port(name)

    def segments(self, segments: tuple[Segment, ...]) -> Undo:
        before = self._view.given
        with self._view.client() as client:
            client.set_segments([segment_of(segment) for segment in segments])
            self._view.given = client.peer(), segments
        self._changed = True
        if before is None or before[0] != self._view.given[0]:
            return nothing
        return lambda: void(self.segments(before[1]))

    # ---- the end of a plan ------------------------------------------------------------

    def finish(self) -> None:
        """Everything is done: the worker knows what the kernel knows before anybody is told."""
        if not self._changed:
            return
        self._changed = False
        try:
            with self._view.client() as client:
                client.wait_for_mirror(MIRROR_SECONDS)
        except GwError as error:
            log.warning("%s", error)
            self.notes.append(f"the worker's tables are not complete yet: {error.message}")
