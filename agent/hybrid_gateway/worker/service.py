# SPDX-License-Identifier: GPL-2.0-or-later
"""What the worker can be asked for. Nothing in here blocks the loop: calls of C have threads."""

import asyncio
import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from typing import Any, TypeVar

from ..access import Access
from ..api.methods import Method
from ..errors import MirrorTimeoutError, NotStartedError, UsageError, WorkerError
from ..worker_values import (
    Places,
    PortStatus,
    Ways,
    WorkerCounters,
    WorkerGraph,
    WorkerOptions,
    WorkerPort,
    WorkerSegment,
    WorkerStatus,
    decoded,
)
from .gate import Worker

T = TypeVar("T")

METHODS: Mapping[str, Method] = {
    "status": Method("status", Access.READ),
    "start": Method("start", Access.WRITE, {"options": {}}),
    "port.add": Method("port_add", Access.WRITE, {"port": {}}),
    "port.remove": Method("port_remove", Access.WRITE, {"name": ""}),
    "counters": Method("counters", Access.READ),
    "graph": Method("graph", Access.READ),
    "mirror.explain": Method("mirror_explain", Access.READ, {"addresses": [], "flow": 0}),
    "mirror.locate": Method("mirror_locate", Access.READ, {"bridge": 0, "macs": []}),
    "mirror.wait": Method("mirror_wait", Access.READ, {"milliseconds": 2000}),
    "segments.set": Method("segments_set", Access.WRITE, {"segments": []}),
    "stop": Method("stop", Access.WRITE),
}
"""Those that write run one at a time, see api."""

WAIT_MAX_MS = 60_000
WAIT_SLICE_MS = 500
"""The longest that the end of the process waits for a call about the mirror."""


class Service:
    """One worker: not started, then started, then ended with `end`."""

    def __init__(self, done: Callable[[], None]) -> None:
        """`done` is called when it has been asked to stop, or can do nothing more."""
        self._done = done
        self._options: WorkerOptions | None = None
        self._worker: Worker | None = None
        self._ending = False
        self.failed = False
        """It could not start. EAL cannot try again: that takes another process."""
        # EAL's main thread, which is to be the same from its start to its end.
        self._control = ThreadPoolExecutor(1, "control")
        self._readers = ThreadPoolExecutor(2, "reader")

    async def status(self) -> WorkerStatus:
        worker = self._worker
        if worker is None:
            return WorkerStatus(os.getpid(), started=False)
        return await self._read(
            lambda: WorkerStatus(
                pid=os.getpid(),
                started=True,
                options=self._options,
                memory=worker.memory(),
                mirror=worker.mirror(),
                ports=worker.ports(),
                segments=worker.segments(),
                lcores=worker.lcores(),
            )
        )

    async def start(self, options: dict[str, Any]) -> None:
        wanted = decoded(WorkerOptions, options)
        try:
            await self._change(lambda: self._begin(wanted))
        except WorkerError:
            if self._worker is None:
                self.failed = True
                self._done()
            raise
        # The data path's CPUs are its own, if there are others; threads to come inherit this.
        if rest := os.sched_getaffinity(0) - set(wanted.cores):
            os.sched_setaffinity(0, rest)

    def _begin(self, options: WorkerOptions) -> None:
        worker = Worker(options)
        self._options = options
        self._worker = worker

    async def port_add(self, port: dict[str, Any]) -> PortStatus:
        wanted, worker = decoded(WorkerPort, port), self._started()
        return await self._change(lambda: worker.add_port(wanted))

    async def port_remove(self, name: str) -> None:
        worker = self._started()
        await self._change(lambda: worker.remove_port(name))

    async def counters(self) -> WorkerCounters:
        worker = self._started()
        return WorkerCounters(await self._read(worker.counters))

    async def graph(self) -> WorkerGraph:
        worker = self._started()
        return WorkerGraph(await self._read(worker.graph))

    async def segments_set(self, segments: list[Any]) -> None:
        """All of them; after an error those before are in force."""
        worker = self._started()
        wanted = [
            decoded(WorkerSegment, segment, f"segments[{index}]")
            for index, segment in enumerate(segments)
        ]
        await self._change(lambda: worker.set_segments(wanted))

    async def mirror_explain(self, addresses: list[str], flow: int) -> Ways:
        """For tests and traces."""
        worker = self._started()
        if not 0 <= flow <= 0xFFFFFFFF:
            raise UsageError(f"flow: {flow} is no hash of 32 bits")
        try:
            wanted = [ip_address(address) for address in addresses]
        except ValueError as error:
            raise UsageError(f"addresses: {error}") from error
        return Ways(await self._read(lambda: worker.explain(wanted, flow)))

    async def mirror_locate(self, bridge: int, macs: list[str]) -> Places:
        """For tests and traces."""
        worker = self._started()
        if not 0 < bridge <= 0x7FFFFFFF or not all(isinstance(mac, str) for mac in macs):
            raise UsageError("want the ifindex of a bridge, and MAC addresses")
        return Places(await self._read(lambda: worker.locate(bridge, macs)))

    async def mirror_wait(self, milliseconds: int) -> None:
        """In slices, so that the process can end meanwhile."""
        if not 0 <= milliseconds <= WAIT_MAX_MS:
            raise UsageError(f"milliseconds: want 0 to {WAIT_MAX_MS}")
        worker = self._started()
        deadline = time.monotonic() + milliseconds / 1000
        while True:
            left = max(0, int((deadline - time.monotonic()) * 1000))
            patience = min(left, WAIT_SLICE_MS)
            try:
                return await self._read(lambda: worker.wait_for_mirror(patience))  # noqa: B023
            except MirrorTimeoutError:
                if self._ending or left <= WAIT_SLICE_MS:
                    raise

    def stop(self) -> None:
        self._done()

    async def end(self) -> None:
        """Gives back ports, memory and cores. Calls under way end before, others are refused."""
        self._ending = True
        await asyncio.to_thread(self._readers.shutdown)
        await asyncio.get_running_loop().run_in_executor(self._control, self._finish)
        self._control.shutdown()

    def _finish(self) -> None:
        if self._worker:
            self._worker.stop()

    def _started(self) -> Worker:
        if self._worker is None:
            raise NotStartedError("the worker waits for `start`")
        return self._worker

    async def _change(self, call: Callable[[], T]) -> T:
        self._refuse_at_the_end()
        return await asyncio.get_running_loop().run_in_executor(self._control, call)

    async def _read(self, call: Callable[[], T]) -> T:
        self._refuse_at_the_end()
        return await asyncio.get_running_loop().run_in_executor(self._readers, call)

    def _refuse_at_the_end(self) -> None:
        if self._ending:
            raise NotStartedError("the worker is ending")
