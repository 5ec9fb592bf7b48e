# SPDX-License-Identifier: GPL-2.0-or-later
"""`--profile`: what each node of the worker's graph takes a frame.

Nodes read the time-stamp counter once for each burst, and it goes on while something else has the
core: that share is taken off. What the walk between them takes is the difference to the whole.
"""

import time

from hybrid_gateway.worker_client import GraphNode, WorkerClient
from tests.bench.dpdk.ours import OurWorker
from tests.bench.dpdk.replay import RUN_SECONDS, WARM_SECONDS, Forwarder
from tests.bench.report import aligned, number

Counted = dict[str, GraphNode]


def profile(name: str, baseline: Forwarder, ours: OurWorker) -> str:
    """One run, as a table."""
    io_ns = baseline.run().ns_per_frame
    client = ours.worker.client
    with ours.running():
        time.sleep(WARM_SECONDS)
        before, times = _read(client), ours.times()
        time.sleep(RUN_SECONDS)
        after, times = _read(client), ours.times().since(times)
        status = client.status()
    hz = status.lcores[0].hz
    rows = [(name, "bursts", "frames a burst", "cycles a frame", "ns a frame")]
    frames = after["rx"].packets - before["rx"].packets
    total = 0.0
    for node in after.values():
        then = before[node.name]
        calls, packets = node.calls - then.calls, node.packets - then.packets
        if not packets:
            continue
        cycles = (node.cycles - then.cycles) / frames * (1 - times.waited_share)
        total += cycles
        rows.append(_row(node.name, f"{calls:,}", number(packets / calls), cycles, hz))
    rows.append(_row("all nodes", "", "", total, hz))
    rows.append(_row("the thread", "", "", times.ran / frames * hz / 1e9, hz))
    rows.append(_row("testpmd io", "", "", io_ns * hz / 1e9, hz))
    return aligned(rows, right=(1, 2, 3, 4))


def _row(
    name: str, calls: str, burst: str, cycles: float, hz: int
) -> tuple[str, str, str, str, str]:
    return name, calls, burst, number(cycles), number(cycles * 1e9 / hz)


def _read(client: WorkerClient) -> Counted:
    return {node.name: node for node in client.graph().nodes}
