# SPDX-License-Identifier: GPL-2.0-or-later
"""What following the kernel's routes costs: time, memory."""

import time
from statistics import median

from hybrid_gateway.worker_client import WorkerPort
from tests.bench.dpdk import tables
from tests.bench.dpdk.boxes import MEMORY_MB, Bench, box, options
from tests.bench.dpdk.frames import frame
from tests.bench.dpdk.ours import links, routes
from tests.bench.dpdk.tables import Table
from tests.bench.dpdk.worker import await_routes
from tests.bench.group import LIMIT
from tests.bench.measure import Note
from tests.bench.process import resident_megabytes
from tests.bench.report import Figure, progress

ROUTES = 100_000
ROUNDS = 5
# The limits that the gateway has set itself.
SECONDS_LIMIT, RESIDENT_LIMIT_MB = 3.0, 90.0
PORT, FROM = "p0", "p1"


def measure(note: Note) -> list[Figure]:
    """100 k routes told by `ip -batch`, and read by a worker that starts when they are there."""
    table = tables.real(4, ROUTES)
    with box("mirror") as bench:
        cables = [bench.port(PORT), bench.port(FROM, "192.0.2.254/24")]
        bench.ip(*links(table, PORT))
        bench.settle()
        told, mirrored = _load_in_turn(bench, table)
        resident = resident_megabytes(bench.worker.pid)
        memory = bench.client.status().memory
        assert memory
        dumped = [_dump(bench, number) for number in range(ROUNDS)]
        _forwards(bench, table)
    del cables
    note(
        f"mirror.routes.100k: of {median(mirrored):.2f} s the kernel itself took "
        f"{median(told):.2f}; `.dump` is from a worker's start to its tables' end"
    )
    return [
        Figure("mirror.routes.100k", median(mirrored), "s", LIMIT, SECONDS_LIMIT),
        Figure("mirror.routes.100k.dump", median(dumped), "s", LIMIT, SECONDS_LIMIT),
        Figure("worker.rss", resident, "MB", LIMIT, RESIDENT_LIMIT_MB),
        Figure("worker.hugepages", memory.hugepages_bytes / 2**20, "MB", LIMIT, MEMORY_MB),
    ]


def _load_in_turn(bench: Bench, table: Table) -> tuple[list[float], list[float]]:
    """Seconds until the kernel has them, and until the worker has; they stay after the last."""
    told, mirrored = [], []
    lines = list(routes(table, PORT))
    for number in range(ROUNDS):
        progress(f"mirror.routes.100k: {number + 1} of {ROUNDS}")
        if number:
            bench.ip(*(line.replace("route add", "route del") for line in lines))
            bench.settle(30)
        began = time.monotonic()
        bench.ip(*lines)
        told.append(time.monotonic() - began)
        await_routes(bench.client, table.family, ROUTES)
        mirrored.append(time.monotonic() - began)
    return told, mirrored


def _dump(bench: Bench, number: int) -> float:
    """With a new worker in the place of the one that runs."""
    progress(f"mirror.routes.100k.dump: {number + 1} of {ROUNDS}")
    bench.client.close()
    bench.worker.end()
    bench.worker.start()
    began = time.monotonic()
    bench.client.start(options())
    for cable in bench.ports.values():
        bench.client.add_port(WorkerPort(cable.name, cable.name, cable.device))
    await_routes(bench.client, 4, ROUTES)
    return time.monotonic() - began


def _forwards(bench: Bench, table: Table) -> None:
    """What is in the tables is what is done: a frame for each of some destinations."""
    via, at = bench.ports[FROM], bench.ports[PORT]
    sent = [
        frame(4, destination, number, via.mac)
        for number, destination in enumerate(table.destinations(100))
    ]
    counting = bench.counting(FROM)
    bench.burst(sent, via=via.far, at=at.far)
    counting.expect(FORWARD_IP4=len(sent))
