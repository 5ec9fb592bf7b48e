# SPDX-License-Identifier: GPL-2.0-or-later
"""64 VNIs with 64 VTEPs each and 50 000 stations behind them, by events and by a dump."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from hybrid_gateway.lab import namespaces
from hybrid_gateway.worker_values import SegmentStatus, WorkerSegment
from tests.dpdk.harness import Bench
from tests.dpdk.vxlan import (
    FIRST_PORT,
    LAST_PORT,
    LOCAL,
    MTU,
    NOBODY,
    PORT,
    TTL,
    ifindexes,
    underlay,
    with_tunnels,
)

pytestmark = [pytest.mark.dpdk, pytest.mark.slow]

VNIS, VTEPS, STATIONS = 64, 64, 50_000
OPTIONS = replace(with_tunnels(VNIS * VTEPS), stations=65536, memory_mb=256)
PATIENCE_SECONDS = 30.0
"""The kernel walks the whole FDB of the bridge for each of its ports and each piece of a dump."""


def vtep(number: int) -> str:
    return f"2001:db8:1::{0x100 + number:x}"


def home(station: int) -> tuple[int, int]:
    """The VNI and the VTEP of a station, by number."""
    return station % VNIS, station // VNIS % VTEPS


def mac(station: int) -> str:
    return f"02:00:01:{station >> 16:02x}:{station >> 8 & 255:02x}:{station & 255:02x}"


def entries() -> Iterator[str]:
    """As zebra writes them, for `bridge -batch`."""
    for vni in range(VNIS):
        for number in range(VTEPS):
            yield f"fdb append {NOBODY} dev vx{vni} dst {vtep(number)} self permanent"
    for station in range(STATIONS):
        vni, number = home(station)
        yield f"fdb add {mac(station)} dev vx{vni} dst {vtep(number)} self extern_learn"
        yield f"fdb add {mac(station)} dev vx{vni} master extern_learn"


def made(bench: Bench) -> list[WorkerSegment]:
    """One bridge with all VXLAN devices, for the worker has 32 ports at most."""
    bench.ip("link add br0 type bridge", "link set br0 up", "link set p0 master br0")
    for vni in range(VNIS):
        bench.ip(
            f"link add vx{vni} mtu {MTU} type vxlan id {1 + vni} dstport {PORT}"
            f" local {LOCAL[6]} nolearning",
            f"link set vx{vni} master br0 up",
        )
    devices = ifindexes(bench)
    return [
        WorkerSegment(
            *(devices[f"vx{vni}"], devices["br0"], 1 + vni, 6, PORT, FIRST_PORT, LAST_PORT, MTU),
            ttl=TTL,
            local=LOCAL[6],
            arrivals=(LOCAL[6],),
        )
        for vni in range(VNIS)
    ]


def wanted(segments: list[WorkerSegment]) -> tuple[SegmentStatus, ...]:
    counts = [0] * VNIS
    for station in range(STATIONS):
        counts[home(station)[0]] += 1
    return tuple(
        SegmentStatus(one.ifindex, one.vni, VTEPS, VTEPS, count, active=True, problem="")
        for one, count in zip(segments, counts, strict=True)
    )


def test_as_many_as_there_may_be() -> None:
    with Bench.running("ms", OPTIONS) as bench:
        underlay(bench)
        bench.port("p0")
        segments = made(bench)
        bench.client.set_segments(segments)
        bench.settle(PATIENCE_SECONDS)
        argv = namespaces.inside(bench.gw, ["bridge", "-batch", "-"])
        namespaces.run(argv, stdin="\n".join(entries()) + "\n")
        bench.settle(PATIENCE_SECONDS)
        assert bench.client.status().segments == wanted(segments)
        some = range(0, STATIONS, 97)
        places = bench.client.locate(segments[0].bridge, [mac(station) for station in some])
        assert [(place.vni - 1, place.vtep) for place in places] == [
            (home(station)[0], vtep(home(station)[1])) for station in some
        ]
        mirror = bench.client.status().mirror
        assert mirror
        assert (mirror.tunnels, mirror.resyncs, mirror.problem) == (VNIS * VTEPS, 0, "")

        bench.client.set_segments([])
        bench.client.set_segments(segments)
        bench.settle(PATIENCE_SECONDS)
        assert bench.client.status().segments == wanted(segments)
