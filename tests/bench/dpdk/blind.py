# SPDX-License-Identifier: GPL-2.0-or-later
"""Resting where nothing says that a frame is there: the same as of other ports, through memif.

testpmd is at the other end, and has the other core.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields
from statistics import median
from tempfile import TemporaryDirectory

from hybrid_gateway.model import Polling
from tests.bench.dpdk import ramp
from tests.bench.dpdk.boxes import Bench, box
from tests.bench.dpdk.frames import FRAME
from tests.bench.dpdk.replay import CONTROL_CPU, put_first
from tests.bench.dpdk.resting import (
    DESTINATION,
    IDLE_LIMIT_PERCENT,
    LEAST_PERCENT,
    LEAST_US,
    PORTS,
    SAMPLES,
    Latency,
    idle_percent,
)
from tests.bench.dpdk.stamps import packet_socket
from tests.bench.dpdk.testpmd import Testpmd
from tests.bench.generator import CPU
from tests.bench.group import LIMIT
from tests.bench.measure import Note
from tests.bench.path import inside_netns
from tests.bench.report import Figure, progress
from tests.dpdk.wires import Cable

BUFFERS = 16384
BURSTS = 7
BURST_SECONDS = 0.05
WAKEUP_LIMIT_US = 2000.0
MODES = (Polling.ADAPTIVE, Polling.BUSY)
SENDER = "192.0.2.9"


@dataclass(frozen=True)
class _Partner:
    """What testpmd has beside the memif, and is told."""

    vdevs: Sequence[str]
    options: Sequence[str]


@dataclass(frozen=True, slots=True)
class BlindCable(Cable):
    """Whose wire is testpmd's, from where the worker has the frames by shared memory."""

    socket: str = ""

    @property
    def device(self) -> str:
        where = f"socket={self.socket},socket-abstract=no"
        return f"net_memif_{self.name},role=client,{where},mac={self.mac}"

    @property
    def served(self) -> str:
        """The other end of the memif."""
        return f"net_memif_{self.name},role=server,socket={self.socket},socket-abstract=no"


def measure(note: Note) -> Iterator[Figure]:
    yield _idle()
    yield _wakeup(note)
    yield _ramp(note)


def _cable(bench: Bench, stack: ExitStack, name: str, address: str) -> BlindCable:
    """Its socket has a folder of its own."""
    made = bench.cable(name, address)
    parts = {field.name: getattr(made, field.name) for field in fields(made)}
    folder = stack.enter_context(TemporaryDirectory(prefix="gwbench-"))
    return BlindCable(**parts, socket=f"{folder}/memif")


def _served(bench: Bench, cpu: int, vdevs: Sequence[str], *own: str) -> Testpmd:
    """A testpmd in the worker's namespace, all of it on one core."""
    eal = ["--no-huge", "--lcores", f"0@{cpu},1@{cpu}", "--main-lcore", "0"]
    buffers = f"--total-num-mbufs={BUFFERS}"
    return Testpmd(vdevs, eal, [buffers, *own], inside_netns(bench.gw, []))


def _idle() -> Figure:
    with box("idle") as bench, ExitStack() as stack:
        cables = [
            _cable(bench, stack, f"p{number}", f"198.51.{number}.1/24") for number in range(PORTS)
        ]
        # It does not forward, and sleeps.
        partner = _served(bench, CONTROL_CPU, [cable.served for cable in cables])
        stack.enter_context(partner).sent()
        for cable in cables:
            bench.add(cable)
        progress("dpdk.idle.blind")
        percent = idle_percent(bench)
    return Figure("dpdk.idle.blind", max(percent, LEAST_PERCENT), "%", LIMIT, IDLE_LIMIT_PERCENT)


@contextmanager
def _linked(
    name: str, cpu: int, polling: Polling, own: Callable[[BlindCable], _Partner]
) -> Iterator[tuple[Bench, Testpmd, BlindCable, Cable]]:
    """A worker on one core and its partner on the other, each new: a memif's server is not always
    ready for a second client. Two ports, and a host behind the second one."""
    with box(name, cpu) as bench, ExitStack() as stack:
        put_first(bench.worker.pid, cpu)
        first = _cable(bench, stack, "p0", "192.0.2.254/24")
        second = bench.cable("p1", "203.0.113.1/24")
        other = CPU + CONTROL_CPU - cpu
        partner = own(first)
        served = _served(bench, other, [*partner.vdevs, first.served], *partner.options)
        testpmd = stack.enter_context(served)
        testpmd.sent()
        for cable in (first, second):
            bench.add(cable, polling)
        bench.neighbour(second, DESTINATION)
        bench.settle()
        yield bench, testpmd, first, second


def _wakeup(note: Note) -> Figure:
    rested, awake = (_latency(polling) for polling in MODES)
    note(
        f"dpdk.wakeup.blind: {rested:.1f} us through a worker that rested, {awake:.1f} us through "
        "one that never does; by memif, which never says that a frame is there"
    )
    return Figure("dpdk.wakeup.blind", max(rested - awake, LEAST_US), "us", LIMIT, WAKEUP_LIMIT_US)


def _latency(polling: Polling) -> float:
    """The median, in microseconds, from the far end of a cable through testpmd and the worker."""
    progress(f"dpdk.wakeup.blind: {polling.value}")

    def bridge(first: BlindCable) -> _Partner:
        return _Partner([f"net_af_packet0,iface={first.wire}"], ["--forward-mode=io"])

    with (
        ExitStack() as stack,
        _linked("wakeup", CPU, polling, bridge) as (bench, testpmd, first, second),
    ):
        testpmd.say("start")
        testpmd.sent()
        latency = Latency(bench, (first, second), stack)
        return median(latency() for _ in range(SAMPLES))


def _ramp(note: Note) -> Figure:
    """From the order to send; what the sender itself takes then is what it takes where the worker
    never rests."""
    (rested, rate), (awake, _) = (_bursts(polling) for polling in MODES)
    note(
        f"dpdk.ramp.blind: {rested:.2f} ms after the order to send through a worker that rested, "
        f"{awake:.2f} ms through one that never does; the full rate is {rate / 1e6:.2f} M frames "
        "a second, from memif to af_packet"
    )
    added = max(rested - awake, ramp.WINDOW_NS / 1e6)
    return Figure("dpdk.ramp.blind", added, "ms", LIMIT, ramp.LIMIT_MS)


def _bursts(polling: Polling) -> tuple[float, float]:
    """Milliseconds until the rate was full, and what it was; medians."""

    def source(first: BlindCable) -> _Partner:
        frames = [f"--eth-peer=0,{first.mac}", f"--tx-ip={SENDER},{DESTINATION}"]
        mode = ["--forward-mode=txonly", "--port-topology=loop", f"--txpkts={FRAME}"]
        return _Partner([], [*frames, *mode])

    found = []
    with _linked("ramp", CONTROL_CPU, polling, source) as (bench, testpmd, _, second):
        for number in range(BURSTS):
            progress(f"dpdk.ramp.blind: {polling.value}, {number + 1} of {BURSTS}")
            time.sleep(ramp.REST_SECONDS)
            with packet_socket(bench.far, second.name, stamped=True) as left:
                began = time.clock_gettime_ns(time.CLOCK_REALTIME)
                testpmd.say("start")
                time.sleep(BURST_SECONDS)
                testpmd.say("stop")
                testpmd.sent()
                found.append(ramp.full_after(ramp.arrivals(left), began))
    milliseconds, rate = (median(values) for values in zip(*found, strict=True))
    return milliseconds, rate
