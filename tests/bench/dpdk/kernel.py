# SPDX-License-Identifier: GPL-2.0-or-later
"""The worker on devices of the kernel, against the kernel's own forwarding between them.

Frames come from another core than the one that forwards them, as they do where a NIC brings them:
the kernel has a NAPI thread there, the worker its lcore. Each forwards what it can; it is offered
more and more, for with too much offered both do less than they could.
"""

import os
import time
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self

from hybrid_gateway.lab.namespaces import entered
from hybrid_gateway.worker_client import WorkerOptions
from tests.bench.dpdk.boxes import MEMORY_MB
from tests.bench.dpdk.hugepages import SIZE_KB, Hugepages
from tests.bench.dpdk.replay import CONTROL_CPU, Times, thread_on, thread_times
from tests.bench.dpdk.worker import Worker
from tests.bench.generator import Flows, Sender, Traffic
from tests.bench.group import LIMIT
from tests.bench.measure import MeasurementError, Note, Series, in_turn
from tests.bench.path import (
    INSIDE,
    INSIDE_ADDRESS,
    NEXT_HOP,
    OUTSIDE_ADDRESS,
    MeasuredPath,
    inside_netns,
    run,
)
from tests.bench.report import Figure, progress
from tests.dpdk.wires import DEAF

NAPI = "napi/lan0-"
FORWARDING_CPU = CONTROL_CPU
"""The generator has the other one."""
MILLIONS = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
"""A second, that are offered."""
SECONDS, WARM_SECONDS = 0.3, 0.15
FLOWS = Flows(endpoints=1000, ports_per_host=40)
KERNEL, AF_PACKET, AF_XDP = "kernel", "af_packet", "af_xdp"
NAME = "dpdk.ip4.kernel"
TIMES = {AF_PACKET: 1.0, AF_XDP: 1.5}
"""What of the kernel's rate must be reached at least."""


@dataclass(frozen=True)
class Case:
    name: str = NAME


@dataclass(frozen=True)
class Carried:
    """The best that a ladder of offers found, in time that the forwarding thread really had."""

    frames_a_second: float
    waited_share: float

    @property
    def ns_per_frame(self) -> float:
        return 1e9 / self.frames_a_second


class Offering(Sender):
    """Into gen0, at a rate; whatever counts is elsewhere."""

    def __init__(self, path: MeasuredPath) -> None:
        near = [path.names.generator, "--in-device", "gen0"]
        own = [path.names.generator, "--out-device", "gen0"]
        mac = path.mac(path.names.middle, "lan0")
        argv = ["generate", "--in-netns", *near, "--out-netns", *own, "--gateway-mac", mac]
        super().__init__([*argv, "--inside", INSIDE, "--protocol", "udp"])


class Forwards:
    """A path of its own, in whose middle something forwards."""

    thread: tuple[int, int]
    """Which does it: of a process, by its number."""

    def __init__(self, label: str) -> None:
        self.label = label
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        try:
            self.path = self._stack.enter_context(self.make_path())
            run(
                inside_netns(self.path.names.sink, ["nft", "-f", "-"]),
                stdin=DEAF.format(wire="sink0"),
            )
            mac = self.path.mac(self.path.names.sink, "sink0")
            self.install(self._stack)
            self.path.middle("ip", "neighbour", "replace", NEXT_HOP, "lladdr", mac, "dev", "wan0")
            self.settle()
            self._offering = self._stack.enter_context(Offering(self.path))
            self._sender = self._stack.enter_context(ThreadPoolExecutor(1))
            with entered(self.path.names.sink):
                self._devices: IO[str] = self._stack.enter_context(
                    Path("/proc/thread-self/net/dev").open()
                )
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @abstractmethod
    def make_path(self) -> MeasuredPath: ...

    @abstractmethod
    def install(self, stack: ExitStack) -> None: ...

    def settle(self) -> None:
        """Until what was said last is known."""

    def complaints(self) -> Iterator[str]:
        """Why what was carried since the last time is not what is to be measured."""
        yield from ()

    def run(self) -> Carried:
        carried = [self._carried(millions * 1e6) for millions in MILLIONS]
        best = max(carried, key=lambda one: one.frames_a_second)
        wrong = list(self.complaints())
        if wrong or not best.frames_a_second:
            what = ", ".join(wrong) or "nothing was forwarded"
            raise MeasurementError(f"{NAME}, {self.label}: {what}")
        return best

    def _carried(self, offered: float) -> Carried:
        frames = int(offered * (SECONDS + 2 * WARM_SECONDS))
        sent = self._sender.submit(
            self._offering.send, Traffic(frames, FLOWS, gap_ns=int(1e9 / offered))
        )
        time.sleep(WARM_SECONDS)
        before, times, deferred = self._arrived(), *self._times()
        time.sleep(SECONDS)
        arrived = self._arrived() - before
        times, deferred = (
            after.since(then) for after, then in zip(self._times(), (times, deferred), strict=True)
        )
        sent.result()
        ran = times.ran + deferred.ran
        return Carried(arrived * 1e9 / ran if ran else 0.0, times.waited_share)

    def _times(self) -> tuple[Times, Times]:
        """Of the thread, and of the one that does for it what the kernel puts off."""
        (deferred,) = threads_called(f"ksoftirqd/{FORWARDING_CPU}\n")
        return thread_times(*self.thread), thread_times(deferred, deferred)

    def _arrived(self) -> int:
        self._devices.seek(0)
        for line in self._devices:
            name, _, counters = line.partition(":")
            if name.strip() == "sink0":
                return int(counters.split()[1])
        raise RuntimeError("sink0 has gone")


class KernelForwards(Forwards):
    """Receives in a thread of its own, which has the core."""

    def make_path(self) -> MeasuredPath:
        return MeasuredPath(self.label)

    def install(self, stack: ExitStack) -> None:
        del stack
        before = threads_called(NAPI)
        switch = "echo 1 >/sys/class/net/lan0/threaded"
        run(["ip", "netns", "exec", self.path.names.middle, "sh", "-c", switch])
        (pid,) = threads_called(NAPI) - before
        os.sched_setaffinity(pid, {FORWARDING_CPU})
        self.thread = pid, pid


def threads_called(beginning: str) -> set[int]:
    """Threads of the kernel, by the beginning of their names."""
    found = set()
    for process in Path("/proc").glob("[0-9]*/comm"):
        try:
            if process.read_text().startswith(beginning):
                found.add(int(process.parent.name))
        except OSError:
            continue  # it has ended meanwhile
    return found


class WiredPath(MeasuredPath):
    """lan0 and wan0 are TAPs, and the ports' cables are called lan0-wire and wan0-wire."""

    def furnish(self) -> None:
        middle = self.names.middle
        for name, address in (("lan0", INSIDE_ADDRESS), ("wan0", OUTSIDE_ADDRESS)):
            mac, wire = self.mac(middle, name), f"{name}-wire"
            for words in (
                ["link", "set", name, "down"],
                ["link", "set", name, "name", wire],
                ["link", "set", wire, "up"],
                ["tuntap", "add", "dev", name, "mode", "tap"],
                ["link", "set", name, "address", mac],
                ["link", "set", name, "up"],
                ["address", "add", address, "dev", name],
            ):
                run(["ip", "-n", middle, *words])
            run(inside_netns(middle, ["nft", "-f", "-"]), stdin=DEAF.format(wire=wire))
        self.sysctl("net.ipv4.ip_forward", 1)
        for name in ("all", "lan0", "wan0"):
            self.sysctl(f"net.ipv4.conf.{name}.rp_filter", 0)


class WorkerForwards(Forwards):
    """Ours, by one of DPDK's drivers for devices of the kernel, which is its label."""

    def make_path(self) -> MeasuredPath:
        return WiredPath(self.label)

    def install(self, stack: ExitStack) -> None:
        options = WorkerOptions(cores=(FORWARDING_CPU,), memory_mb=MEMORY_MB, no_pci=True)
        self._worker = stack.enter_context(Worker(self.path.names.middle, options))
        self.thread = self._worker.pid, thread_on(self._worker.pid, FORWARDING_CPU)
        self._punted = 0
        for number, name in enumerate(("lan0", "wan0")):
            self._worker.add_port(name, f"net_{self.label}{number},iface={name}-wire")
        self.path.middle("ip", "route", "replace", "default", "via", NEXT_HOP, "dev", "wan0")

    def settle(self) -> None:
        self._worker.client.wait_for_mirror()

    def complaints(self) -> Iterator[str]:
        """What the kernel did for it."""
        counters = self._worker.counters("lan0")
        before, self._punted = self._punted, _punted(counters)
        if more := self._punted - before:
            yield f"{more} frames went to the kernel"


def _punted(counters: Mapping[str, int]) -> int:
    return sum(count for name, count in counters.items() if name.startswith("PUNT_"))


def measure(rounds: int, note: Note) -> list[Figure]:
    pages = 2 * MEMORY_MB * 1024 // SIZE_KB
    with ExitStack() as stack:
        stack.enter_context(Hugepages(pages))
        contenders: list[Forwards] = [
            stack.enter_context(KernelForwards(KERNEL)),
            stack.enter_context(WorkerForwards(AF_PACKET)),
            stack.enter_context(WorkerForwards(AF_XDP)),
        ]
        progress(NAME)
        runs = {contender.label: contender.run for contender in contenders}
        series = in_turn(Case(), runs, rounds, note)
    return list(_figures(series))


def _figures(series: Series) -> Iterator[Figure]:
    kernel = series.rate(KERNEL) / 1e6
    for label, times in TIMES.items():
        rate = series.rate(label) / 1e6
        name = f"{NAME}.{label}"
        yield Figure(name, rate, "Mpps", "kernel forwarding", kernel, better="higher")
        yield Figure(f"{name}.times", rate / kernel, "x", LIMIT, times, better="higher")
