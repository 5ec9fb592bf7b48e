# SPDX-License-Identifier: GPL-2.0-or-later
"""Events that were lost: afterwards all tables say what the kernel's say."""

import os
import re
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import pytest

from hybrid_gateway.lab import namespaces
from hybrid_gateway.worker_values import WorkerSegment
from tests.dpdk.harness import SMALL, Bench
from tests.dpdk.kernel_routes import KernelRoutes
from tests.dpdk.test_mirror_random import Changes, compare, populate, try_all
from tests.dpdk.vxlan import ifindexes
from tests.lib.gateway import eventually

pytestmark = [pytest.mark.dpdk, pytest.mark.slow]

MANY = 90_000
"""Routes whose events are more than the mirror's socket can hold."""
KINDS = {
    *("local", "broadcast", "anycast", "multicast", "unicast"),
    *("blackhole", "unreachable", "prohibit", "throw"),
}
STATION = "02:00:00:00:0c:0c"
REMOTE = "02:00:00:00:0c:0d"
VTEPS = "198.51.100.201", "198.51.100.202"


@contextmanager
def asleep(bench: Bench) -> Iterator[None]:
    """The worker's threads, all of them: events wait in its socket, until there is no room."""
    os.kill(bench.worker.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(bench.worker.pid, signal.SIGCONT)


def kernel_prefixes(bench: Bench, version: int) -> set[str]:
    """Of all tables, without those of a link or of groups, by `ip`."""
    found = set()
    lines = bench.run("ip", f"-{version}", "route", "show", "table", "all").splitlines()
    for line in lines:
        words = line.split()
        if line.startswith("\t") or not words:
            continue
        text = words[1] if words[0] in KINDS else words[0]
        if version == 4 or not text.startswith(("ff", "fe80:")):
            found.add(text.removesuffix("/32" if version == 4 else "/128"))
    return found


def kernel_neighbours(bench: Bench, version: int) -> int:
    """Those with a MAC address of one host, on devices of the worker."""
    # Without `nud all` those that need no ARP are not shown.
    lines = bench.run("ip", f"-{version}", "neigh", "show", "nud", "all").splitlines()
    return sum(
        line.split()[2] in ("p0", "p1", "br0")
        and re.search(r" lladdr .[02468ace]:", line) is not None
        and " lladdr 00:00:00:00:00:00 " not in line
        and not line.rstrip().endswith("FAILED")
        for line in lines
    )


def kernel_stations(bench: Bench) -> int:
    """Of the bridge, without groups."""
    lines = bench.run("bridge", "fdb", "show", "br", "br0").splitlines()
    return sum("master br0" in line and not line.startswith(("33:33", "01:")) for line in lines)


def agrees(bench: Bench) -> bool:
    bench.settle(30)
    status = bench.client.status().mirror
    assert status
    mirrored = (
        *(status.routes4, status.routes6),
        *(status.neighbours4, status.neighbours6, status.stations),
    )
    wanted = (
        *(len(kernel_prefixes(bench, version)) for version in (4, 6)),
        *(kernel_neighbours(bench, version) for version in (4, 6)),
        kernel_stations(bench),
    )
    return mirrored == wanted


def make_vxlan(bench: Bench) -> None:
    """In br0, which p2 is in too."""
    bench.ip(
        "link add vx0 type vxlan id 100 dstport 4789 local 198.51.100.1 nolearning",
        "link set vx0 master br0 up",
    )
    devices = ifindexes(bench)
    segment = WorkerSegment(
        devices["vx0"], devices["br0"], 100, 4, 4789, 49152, 65535, 1500, 64, local="198.51.100.1"
    )
    bench.client.set_segments([segment])


def put_remote(bench: Bench, vtep: str) -> None:
    """The station is behind that VTEP, and nobody else is named."""
    bench.run("bridge", "fdb", "replace", REMOTE, "dev", "vx0", "dst", vtep, "self", "static")
    bench.run("bridge", "fdb", "replace", REMOTE, "dev", "vx0", "master", "static")


def remote(bench: Bench) -> tuple[str, int]:
    """Where the worker has it, and how many VTEPs may send."""
    bench.settle(30)
    (place,) = bench.client.locate(ifindexes(bench)["br0"], [REMOTE])
    (segment,) = bench.client.status().segments
    return place.vtep, segment.vteps


def test_all_tables_after_lost_events() -> None:
    options = replace(SMALL, routes4=MANY + 4096, memory_mb=256, tunnels=16)
    changes = Changes(77)
    with Bench.running("lost", options) as bench, ExitStack() as stack:
        kernel = KernelRoutes(bench.gw, stack)
        populate(bench)
        bench.run("bridge", "fdb", "add", STATION, "dev", "p2", "master", "static")
        make_vxlan(bench)
        put_remote(bench, VTEPS[0])
        for _ in range(3):
            try_all(bench.gw, list(changes.some()))
        eventually(lambda: agrees(bench), "the tables say what the kernel's say")
        assert remote(bench) == (VTEPS[0], 1)
        bridge = bench.run("ip", "-o", "link", "show", "dev", "br0").split(":")[0]
        resyncs = status_resyncs(bench)

        with asleep(bench):
            many = (f"{11 + (i >> 16)}.{i >> 8 & 255}.{i & 255}.0/24" for i in range(MANY))
            namespaces.ip_batch(bench.gw, [f"route add blackhole {prefix}" for prefix in many])
            # Nobody hears of these, nor that the bridge is another one.
            for _ in range(3):
                try_all(bench.gw, list(changes.some()))
            bench.ip(
                "link del br0",
                f"link add br0 index {bridge} type bridge",
                "link set p2 master br0",
                "link set br0 up",
                "address add 192.0.2.1/24 dev br0",
                "link set vx0 master br0",
            )
            put_remote(bench, VTEPS[1])

        eventually(lambda: agrees(bench), "the tables say what the kernel's say")
        assert status_resyncs(bench) > resyncs
        assert remote(bench) == (VTEPS[1], 1)
        compare(bench, kernel, [*changes.addresses(4), *changes.addresses(6)])


def status_resyncs(bench: Bench) -> int:
    status = bench.client.status().mirror
    assert status
    return status.resyncs
