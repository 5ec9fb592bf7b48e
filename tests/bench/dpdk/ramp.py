# SPDX-License-Identifier: GPL-2.0-or-later
"""How long it takes from the first frame after a rest until frames leave as fast as they can."""

import socket
import time
from contextlib import ExitStack
from statistics import median

from tests.bench.dpdk.boxes import Bench, box
from tests.bench.dpdk.replay import CONTROL_CPU, put_first
from tests.bench.dpdk.stamps import packet_socket, receive_stamped
from tests.bench.generator import Flows, Sender, Traffic
from tests.bench.group import LIMIT
from tests.bench.measure import MeasurementError, Note
from tests.bench.path import INSIDE, inside_netns, run
from tests.bench.report import Figure, progress
from tests.dpdk.wires import Cable

BURSTS = 11
FRAMES = 300_000
"""Of a burst, at more than any port takes."""
REST_SECONDS = 0.1
WINDOW_NS = 250_000
FULL = 0.9
"""Share of the later rate."""
DESTINATIONS, NEXT_HOP = "11.0.0.0/8", "203.0.113.9"
LIMIT_MS = 2.0


class Burst(Sender):
    """Frames into the far end of a cable; what comes out at the other one is counted there."""

    def __init__(self, bench: Bench, cable: Cable) -> None:
        end = [bench.far, "--in-device", cable.name]
        own = [bench.far, "--out-device", cable.name]
        argv = ["generate", "--in-netns", *end, "--out-netns", *own, "--gateway-mac", cable.mac]
        super().__init__([*argv, "--inside", INSIDE, "--protocol", "udp"])


def measure_ramp(note: Note) -> Figure:
    """The generator has the core that the worker has elsewhere."""
    with box("ramp", CONTROL_CPU) as bench, ExitStack() as stack:
        put_first(bench.worker.pid, CONTROL_CPU)
        first, second = bench.port("p0", "192.0.2.254/24"), bench.port("p1", "203.0.113.1/24")
        bench.neighbour(second, NEXT_HOP)
        bench.ip(f"route add {DESTINATIONS} via {NEXT_HOP}")
        bench.settle()
        # veth takes what XDP sends it only so.
        run(inside_netns(bench.gw, ["ethtool", "-K", first.wire, "gro", "on"]))
        burst = stack.enter_context(Burst(bench, first))
        found = []
        for number in range(BURSTS):
            progress(f"dpdk.ramp: {number + 1} of {BURSTS}")
            found.append(_one(bench, burst, first, second))
    milliseconds, rate = (median(values) for values in zip(*found, strict=True))
    note(f"dpdk.ramp: the full rate is {rate / 1e6:.2f} M frames a second, by af_packet")
    return Figure("dpdk.ramp", milliseconds, "ms", LIMIT, LIMIT_MS)


def _one(bench: Bench, burst: Burst, first: Cable, second: Cable) -> tuple[float, float]:
    """Milliseconds until the end of the first full window, and frames a second afterwards."""
    time.sleep(REST_SECONDS)
    with (
        packet_socket(bench.gw, first.wire, stamped=True) as came,
        packet_socket(bench.far, second.name, stamped=True) as left,
    ):
        # One frame tells when the burst began, and then it is full.
        came.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        burst.send(Traffic(FRAMES, Flows(endpoints=1000, ports_per_host=40)))
        came.settimeout(1.0)
        began = receive_stamped(came)[1]
        return full_after(arrivals(left), began)


def arrivals(made: socket.socket) -> list[int]:
    made.settimeout(0.05)
    stamps = []
    try:
        while True:
            stamps.append(receive_stamped(made)[1])
    except TimeoutError:
        return stamps


def full_after(stamps: list[int], began: int) -> tuple[float, float]:
    windows: dict[int, int] = {}
    for stamp in stamps:
        number = (stamp - began) // WINDOW_NS
        windows[number] = windows.get(number, 0) + 1
    numbers = sorted(windows)
    # The last one is not whole.
    later = [windows[number] for number in numbers[len(numbers) // 2 : -1]]
    if len(later) < 8:
        raise MeasurementError(f"dpdk.ramp: {len(stamps)} frames arrived, which are too few")
    steady = median(later)
    full = next(number for number in numbers if windows[number] >= FULL * steady)
    return (full + 1) * WINDOW_NS / 1e6, steady * 1e9 / WINDOW_NS
