# SPDX-License-Identifier: GPL-2.0-or-later
"""Whoever asks the worker is answered, whatever the mirror is busy with or waits for."""

from contextlib import suppress

import pytest

from hybrid_gateway.errors import MirrorTimeoutError
from tests.dpdk.harness import Bench
from tests.dpdk.rtnl_held import rtnl_held
from tests.lib.gateway import eventually

pytestmark = pytest.mark.dpdk

GATEWAY = "198.51.100.9"


def test_while_somebody_has_the_kernels_lock(own_bench: Bench) -> None:
    bench = own_bench
    p0 = bench.port("p0", "198.51.100.1/24")
    bench.neighbour(p0, GATEWAY)
    bench.ip(f"route add 10.0.0.0/8 via {GATEWAY}")
    bench.settle()
    # A link that changes is looked at twice; whoever waits for the mirror wants that at once.
    bench.ip("link set p0 down")
    with rtnl_held():
        with suppress(MirrorTimeoutError):
            bench.settle(0.2)
        for _ in range(20):
            # What waits for the lock too has no answer before it is let go, behind this block.
            bench.client.explain(["10.1.1.1"])
            assert bench.client.status().mirror
            bench.client.counters()

    bench.settle()
    assert bench.client.explain(["10.1.1.1"])[0].reason == "PUNT_NO_ROUTE"


def test_while_all_routes_are_dumped_again_and_again(own_bench: Bench) -> None:
    bench = own_bench
    p0 = bench.port("p0", "198.51.100.1/24")
    bench.neighbour(p0, GATEWAY)
    bench.ip(*(f"route add 10.{i >> 8}.{i & 255}.0/24 via {GATEWAY}" for i in range(3000)))
    bench.settle()
    before = mirrored(bench)
    for i in range(20):
        # An address that goes makes the mirror look at all routes.
        bench.ip(f"address add 192.0.2.{i}/32 dev p0", f"address del 192.0.2.{i}/32 dev p0")
        ways = bench.client.explain([f"10.{i}.{j}.1" for i in range(11) for j in range(200)])
        assert {way.mac for way in ways} == {p0.far_mac}
    eventually(lambda: mirrored(bench) == before, "all is as it was")


def mirrored(bench: Bench) -> tuple[int, int]:
    bench.settle()
    found = bench.client.status().mirror
    assert found
    return found.routes4, found.nexthops
