# SPDX-License-Identifier: GPL-2.0-or-later
"""What owners and daemons write into the kernel's tables, case by case: the worker says of it what
the kernel says, and once more after it has gone."""

from collections.abc import Iterator
from contextlib import ExitStack
from ipaddress import ip_address

import pytest

from hybrid_gateway.lab import namespaces
from tests.dpdk.harness import Bench
from tests.dpdk.kernel_routes import KernelRoutes
from tests.dpdk.test_mirror_random import compare, populate

pytestmark = pytest.mark.dpdk

FOUR, SIX = "198.51.100.10", "2001:db8:a0::10"
OTHER4, OTHER6 = "203.0.113.10", "2001:db8:a1::10"
BRIDGE4, BRIDGE6 = "192.0.2.10", "2001:db8:a2::10"
KNOWN = {"p0": (FOUR, SIX), "p1": (OTHER4, OTHER6), "br0": (BRIDGE4, BRIDGE6)}
PROBES = (
    *("10.0.0.0", "10.1.2.3", "10.255.255.255", "11.0.0.1", "198.51.100.77", "198.51.100.255"),
    *("2001:db8:f::", "2001:db8:f::1", "2001:db8:e::1", "2001:db8:a0::77", "2001:db8:a0::"),
)

CASES = {
    "weights": [f"route add 10.0.0.0/8 nexthop via {FOUR} weight 3 nexthop via {OTHER4} weight 1"],
    "weights of ipv6": [
        f"route add 2001:db8:f::/48 nexthop via {SIX} weight 3 nexthop via {OTHER6} weight 2"
    ],
    "a bridge and a port": [f"route add 10.0.0.0/8 nexthop via {BRIDGE4} nexthop via {OTHER4}"],
    "onlink": [
        "route add 10.0.0.0/8 via 100.99.0.1 dev p0 onlink",
        "neigh replace 100.99.0.1 lladdr 02:00:00:00:03:01 dev p0",
        "route add 2001:db8:f::/48 via 2001:db8:99::1 dev p1 onlink",
    ],
    "ipv4 by ipv6": [
        f"route add 10.0.0.0/8 via inet6 {SIX} dev p0",
        f"route add 11.0.0.0/8 nexthop via inet6 {OTHER6} dev p1 nexthop via {FOUR}",
    ],
    "a preferred source": [
        f"route add 10.0.0.0/8 via {FOUR} src 203.0.113.1",
        f"route add 2001:db8:f::/48 via {SIX} src 2001:db8:a1::1",
    ],
    "scope link": ["route add 10.0.0.0/8 dev p0 scope link", "route add 2001:db8:f::/48 dev p1"],
    "a route of its own mtu": [
        f"route add 10.0.0.0/8 via {FOUR} mtu 1400",
        f"route add 2001:db8:f::/48 via {SIX} mtu lock 1300",
    ],
    "metrics": [
        f"route add 10.0.0.0/8 via {FOUR} metric 200",
        f"route add 10.0.0.0/8 via {OTHER4} metric 100",
        f"route add 2001:db8:f::/48 via {OTHER6} metric 1",
        f"route add 2001:db8:f::/48 via {SIX} metric 2000",
    ],
    "appended and prepended": [
        f"route add 10.0.0.0/8 via {FOUR}",
        f"route append 10.0.0.0/8 via {OTHER4}",
        f"route prepend 10.0.0.0/8 via {BRIDGE4}",
    ],
    "replaced": [
        f"route add 10.0.0.0/8 via {FOUR}",
        f"route replace 10.0.0.0/8 nexthop via {OTHER4} nexthop via {BRIDGE4}",
        f"route add 2001:db8:f::/48 via {SIX}",
        "route replace unreachable 2001:db8:f::/48",
    ],
    "dead ends": [
        *("route add blackhole 10.0.0.0/8", "route add unreachable 10.1.0.0/16"),
        *("route add prohibit 11.0.0.0/8", "route add blackhole 2001:db8:f::/48"),
        "route add prohibit 2001:db8:e::/48",
    ],
    "objects": [
        *(f"nexthop add id 1 via {FOUR} dev p0", f"nexthop add id 2 via {OTHER4} dev p1"),
        *(f"nexthop add id 3 via {SIX} dev p0", f"nexthop add id 4 via {OTHER6} dev p1"),
        *("nexthop add id 10 group 1,3/2", "nexthop add id 11 group 3,1/4,2"),
        *("route add 10.0.0.0/8 nhid 10", "route add 2001:db8:f::/48 nhid 11"),
        "route add 11.0.0.0/8 nhid 4",
    ],
    "a resilient group": [
        *(f"nexthop add id 1 via {FOUR} dev p0", f"nexthop add id 2 via {OTHER4} dev p1"),
        "nexthop add id 10 group 1,3/2,1 type resilient buckets 32",
        "route add 10.0.0.0/8 nhid 10",
    ],
    "an anycast and an own address": [
        "address add 10.1.2.3/32 dev p0",
        "address add 2001:db8:f::1/128 dev p1 nodad",
        "route add anycast 2001:db8:e::1 dev p0 table local",
    ],
    "a network of a device": [
        "address add 10.0.0.0/31 dev p0",
        "address add 2001:db8:f::1/127 dev p1 nodad",
    ],
}


@pytest.fixture(scope="module")
def kernel(bench: Bench) -> Iterator[KernelRoutes]:
    with ExitStack() as stack:
        populate(bench)
        for number, (device, addresses) in enumerate(KNOWN.items()):
            mac = f"02:00:00:00:03:1{number}"
            bench.ip(*(f"neigh add {a} lladdr {mac} dev {device}" for a in addresses))
        yield KernelRoutes(bench.gw, stack)


@pytest.fixture(autouse=True)
def clean(bench: Bench) -> Iterator[None]:
    """One case that fails is none of the next."""
    yield
    for version in ("-4", "-6"):
        # Which fails when there are none.
        flush = ["ip", "-n", bench.gw, version, "route", "flush", "table", "all", "proto", "boot"]
        namespaces.run(flush, check=False)
    namespaces.run(["ip", "-n", bench.gw, "nexthop", "flush"], check=False)


def undone(lines: list[str]) -> list[str]:
    """What takes them away again, the last one first; some go with others."""
    words = {"append", "prepend", "replace", "add"}
    return [
        " ".join("del" if word in words else word for word in line.split())
        for line in reversed(lines)
    ]


@pytest.mark.parametrize("name", CASES)
def test_a_case(bench: Bench, kernel: KernelRoutes, name: str) -> None:
    addresses = [ip_address(text) for text in PROBES]
    before = [way.reason or way.mac for way in bench.client.explain(addresses)]
    for line in CASES[name]:
        bench.ip(line)
        assert compare(bench, kernel, addresses) == 0
    assert [way.reason or way.mac for way in bench.client.explain(addresses)] != before

    for line in undone(CASES[name]):
        # Some options are of no use for a deletion, and some have gone with others.
        line = line.replace(" nodad", "").replace("mtu lock 1300", "").replace("mtu 1400", "")
        namespaces.run(["ip", "-n", bench.gw, *line.split()], check=False)
        assert compare(bench, kernel, addresses) == 0
    after = [way.reason or way.mac for way in bench.client.explain(addresses)]
    assert after == before
