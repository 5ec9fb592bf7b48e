# SPDX-License-Identifier: GPL-2.0-or-later
"""What a worker without traffic costs, and what it costs the traffic that comes then."""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from ipaddress import IPv4Address
from statistics import median

from hybrid_gateway.model import Polling
from tests.bench.dpdk.boxes import Bench, box
from tests.bench.dpdk.frames import frame
from tests.bench.dpdk.ramp import measure_ramp
from tests.bench.dpdk.replay import put_first
from tests.bench.dpdk.stamps import packet_socket, receive_stamped
from tests.bench.generator import CPU
from tests.bench.group import LIMIT
from tests.bench.measure import MeasurementError, Note
from tests.bench.process import busy_percent
from tests.bench.report import Figure, progress
from tests.dpdk.wires import Cable

PORTS = 4
IDLE_SECONDS = 10.0
SAMPLES = 200
REST_SECONDS = 0.02
"""Between two frames: an adaptive port sleeps after much less."""
LOST_SECONDS = 1.0
DESTINATION = "203.0.113.9"
# The limits that the gateway has set itself.
IDLE_LIMIT_PERCENT, WAKEUP_LIMIT_US = 3.0, 200.0
LEAST_PERCENT, LEAST_US = 0.01, 0.1
"""What cannot be told from nothing."""


def measure(note: Note) -> list[Figure]:
    with box("idle") as bench:
        for number in range(PORTS):
            bench.port(f"p{number}", f"198.51.{number}.1/24")
        bench.settle()
        progress("dpdk.idle")
        percent = idle_percent(bench)
    figures = [Figure("dpdk.idle", percent, "%", LIMIT, IDLE_LIMIT_PERCENT)]
    figures.append(_wakeup(note))
    figures.append(measure_ramp(note))
    return figures


def idle_percent(bench: Bench) -> float:
    """Of one core."""
    return max(busy_percent(bench.worker.pid, IDLE_SECONDS), LEAST_PERCENT)


def _wakeup(note: Note) -> Figure:
    """The first frame after a rest, against a worker that does not rest; microseconds."""
    with box("wakeup") as bench, ExitStack() as stack:
        put_first(bench.worker.pid, CPU)
        cables = routed(bench)
        latency = Latency(bench, cables, stack)
        rested = _of_mode(bench, cables, Polling.ADAPTIVE, latency)
        awake = _of_mode(bench, cables, Polling.BUSY, latency)
    note(
        f"dpdk.wakeup: {rested:.1f} us through a worker that rested, {awake:.1f} us through one "
        "that never does; af_packet, whose socket says that a frame is there"
    )
    return Figure("dpdk.wakeup", max(rested - awake, LEAST_US), "us", LIMIT, WAKEUP_LIMIT_US)


def routed(bench: Bench) -> tuple[Cable, Cable]:
    """Two ports, and a host behind the second one."""
    cables = bench.port("p0", "192.0.2.254/24"), bench.port("p1", "203.0.113.1/24")
    bench.neighbour(cables[1], DESTINATION)
    bench.settle()
    return cables


def _of_mode(
    bench: Bench, cables: Sequence[Cable], polling: Polling, latency: Callable[[], float]
) -> float:
    progress(f"dpdk.wakeup: {polling.value}")
    for cable in cables:
        bench.client.remove_port(cable.name)
        bench.add(cable, polling)
    bench.settle()
    return median(latency() for _ in range(SAMPLES))


class Latency:
    """Microseconds from a system call that sends to the kernel's receipt at the other end."""

    def __init__(self, bench: Bench, cables: tuple[Cable, Cable], stack: ExitStack) -> None:
        first, second = cables
        self._sender = stack.enter_context(packet_socket(bench.far, first.name))
        self._receiver = stack.enter_context(packet_socket(bench.far, second.name, stamped=True))
        self._receiver.settimeout(LOST_SECONDS)
        self._frame = partial(frame, 4, int(IPv4Address(DESTINATION)), to=first.mac)
        self._number = 0

    def __call__(self) -> float:
        time.sleep(REST_SECONDS)
        self._number += 1
        sent = self._frame(number=self._number)
        began = time.clock_gettime_ns(time.CLOCK_REALTIME)
        self._sender.send(sent)
        try:
            while True:
                received, at = receive_stamped(self._receiver)
                # But for its MAC addresses and TTL it is the same one.
                if received[42:] == sent[42:] and received[34:38] == sent[34:38]:
                    return (at - began) / 1000
        except TimeoutError:
            raise MeasurementError("dpdk.wakeup: a frame was lost") from None
