# SPDX-License-Identifier: GPL-2.0-or-later
"""Routes that are not plain, and what the kernel does with them without a word."""

from collections.abc import Iterator

import pytest

from hybrid_gateway.lab import namespaces
from hybrid_gateway.worker_client import Way
from hybrid_gateway.worker_values import WayKind
from tests.dpdk.harness import Bench
from tests.dpdk.wires import Cable
from tests.lib.gateway import eventually

pytestmark = [pytest.mark.dpdk, pytest.mark.usefixtures("ports")]

BUCKETS = 128
GATEWAY, SECOND = "198.51.100.9", "203.0.113.9"
GATEWAY6, SECOND6 = "2001:db8:a0::9", "2001:db8:a1::9"


@pytest.fixture(scope="module")
def ports(bench: Bench) -> tuple[Cable, Cable]:
    """Two, with a gateway each whose MAC address is known."""
    p0 = bench.port("p0", "198.51.100.1/24", "2001:db8:a0::1/64")
    p1 = bench.port("p1", "203.0.113.1/24", "2001:db8:a1::1/64")
    bench.neighbour(p0, GATEWAY, GATEWAY6)
    bench.neighbour(p1, SECOND, SECOND6)
    return p0, p1


@pytest.fixture(autouse=True)
def clean(bench: Bench) -> Iterator[None]:
    """Routes of one test are none of the next."""
    yield
    for version in ("-4", "-6"):
        # Which fails when there are none.
        flush = ["ip", version, "route", "flush", "table", "all", "proto", "boot"]
        namespaces.run(namespaces.inside(bench.gw, flush), check=False)
    namespaces.run(namespaces.inside(bench.gw, ["ip", "nexthop", "flush"]), check=False)


def way(bench: Bench, address: str, flow: int = 0) -> Way:
    bench.settle()
    return bench.client.explain([address], flow)[0]


def reason(bench: Bench, address: str) -> str:
    return way(bench, address).reason


def out(bench: Bench, address: str) -> str:
    """MAC address of the next hop, or why there is none."""
    found = way(bench, address)
    return found.mac or found.reason


def spread(bench: Bench, address: str) -> dict[str, int]:
    bench.settle()
    found: dict[str, int] = {}
    for flow in range(BUCKETS):
        one = bench.client.explain([address], flow)[0]
        found[one.mac or one.reason] = found.get(one.mac or one.reason, 0) + 1
    return found


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [
        ("blackhole", "DROP_BLACKHOLE"),
        ("unreachable", "PUNT_UNREACHABLE"),
        ("prohibit", "PUNT_UNREACHABLE"),
        ("throw", "PUNT_POLICY"),
    ],
)
@pytest.mark.parametrize("prefix", ["10.0.0.0/8", "2001:db8:f::/48"])
def test_kinds(bench: Bench, prefix: str, kind: str, wanted: str) -> None:
    bench.ip(f"route add {kind} {prefix}")

    assert reason(bench, prefix.split("/")[0]) == wanted


def test_own_addresses(bench: Bench) -> None:
    for address in ("198.51.100.1", "198.51.100.255", "127.9.9.9", "2001:db8:a0::1", "::1"):
        assert reason(bench, address) == "PUNT_LOCAL", address
    # The subnet-router anycast address of a router, RFC 4291 section 2.6.1.
    assert reason(bench, "2001:db8:a0::") == "PUNT_LOCAL"


def test_the_lowest_metric_wins_and_the_others_wait(
    bench: Bench, ports: tuple[Cable, Cable]
) -> None:
    p0, p1 = ports
    bench.ip(
        f"route add 10.0.0.0/8 via {GATEWAY} metric 20",
        f"route add 10.0.0.0/8 via {SECOND} metric 10",
        "route add blackhole 10.0.0.0/8 metric 30",
    )
    assert out(bench, "10.1.1.1") == p1.far_mac

    bench.ip("route del 10.0.0.0/8 metric 10")
    assert out(bench, "10.1.1.1") == p0.far_mac

    bench.ip("route del 10.0.0.0/8 metric 20")
    assert out(bench, "10.1.1.1") == "DROP_BLACKHOLE"


def test_equal_ones_are_taken_in_the_kernels_order(
    bench: Bench, ports: tuple[Cable, Cable]
) -> None:
    p0, p1 = ports
    bench.ip(f"route add 10.0.0.0/8 via {GATEWAY}", f"route append 10.0.0.0/8 via {SECOND}")
    assert out(bench, "10.1.1.1") == p0.far_mac

    bench.ip(f"route prepend 10.0.0.0/8 via {GATEWAY} dev p1 onlink")
    assert out(bench, "10.1.1.1") == "PUNT_NEIGHBOUR"

    bench.ip(f"route del 10.0.0.0/8 via {GATEWAY} dev p1", f"route del 10.0.0.0/8 via {GATEWAY}")
    assert out(bench, "10.1.1.1") == p1.far_mac


def test_ipv6_grows_and_shrinks_by_one_next_hop(bench: Bench, ports: tuple[Cable, Cable]) -> None:
    p0, p1 = ports
    prefix, address = "2001:db8:f::/48", "2001:db8:f::1"
    bench.ip(f"route add {prefix} via {GATEWAY6}", f"route append {prefix} via {SECOND6}")
    assert spread(bench, address) == {p0.far_mac: 64, p1.far_mac: 64}

    bench.ip(f"route del {prefix} via {GATEWAY6}")
    assert spread(bench, address) == {p1.far_mac: BUCKETS}

    bench.ip(f"route replace {prefix} nexthop via {GATEWAY6} weight 3 nexthop via {SECOND6}")
    assert spread(bench, address) == {p0.far_mac: 96, p1.far_mac: 32}


def test_weights_and_members_that_are_not_ours(bench: Bench, ports: tuple[Cable, Cable]) -> None:
    p0, p1 = ports
    bench.ip(
        f"route add 10.0.0.0/8 nexthop via {GATEWAY} weight 2 nexthop via {SECOND} weight 1"
        " nexthop dev lo weight 1"
    )
    assert spread(bench, "10.1.1.1") == {p0.far_mac: 64, p1.far_mac: 32, "PUNT_OTHER_DEVICE": 32}


def test_ipv4_by_an_ipv6_gateway(bench: Bench, ports: tuple[Cable, Cable]) -> None:
    bench.ip(f"route add 10.0.0.0/8 via inet6 {GATEWAY6} dev p0")

    assert out(bench, "10.1.1.1") == ports[0].far_mac


@pytest.mark.parametrize("prefix", ["10.0.0.0/8", "2001:db8:f::/48"])
def test_a_route_without_gateway(bench: Bench, ports: tuple[Cable, Cable], prefix: str) -> None:
    p0, _ = ports
    address = "10.0.0.7" if "." in prefix else "2001:db8:f::7"
    bench.ip(f"route add {prefix} dev p0")
    assert out(bench, address) == "PUNT_NEIGHBOUR"

    bench.neighbour(p0, address)
    assert out(bench, address) == p0.far_mac

    bench.ip(f"neigh del {address} dev p0")
    assert out(bench, address) == "PUNT_NEIGHBOUR"


@pytest.mark.parametrize("prefix", ["10.0.0.0/8", "2001:db8:f::/48"])
def test_a_routes_own_mtu(bench: Bench, ports: tuple[Cable, Cable], prefix: str) -> None:
    p0, _ = ports
    gateway = GATEWAY if "." in prefix else GATEWAY6
    bench.ip(f"route add {prefix} via {gateway} mtu 1400")
    found = way(bench, prefix.split("/")[0])

    assert (found.kind, found.mac, found.mtu) == (WayKind.PORT, p0.far_mac, 1400)
    assert way(bench, gateway).mtu == 1500


def test_a_type_of_service_is_the_kernels(bench: Bench) -> None:
    bench.ip(f"route add 10.0.0.0/8 via {GATEWAY}", f"route add 10.0.0.0/8 tos 0x10 via {SECOND}")
    assert reason(bench, "10.1.1.1") == "PUNT_POLICY"

    bench.ip("route del 10.0.0.0/8 tos 0x10")
    assert out(bench, "10.1.1.1") not in ("", "PUNT_POLICY")


def test_an_encapsulation_is_the_kernels(bench: Bench) -> None:
    bench.ip(f"route add 10.0.0.0/8 encap ip id 7 dst 192.0.2.7 via {GATEWAY} dev p0")

    assert reason(bench, "10.1.1.1") == "PUNT_OTHER_DEVICE"


def test_the_table_default_comes_last(bench: Bench, ports: tuple[Cable, Cable]) -> None:
    p0, p1 = ports
    bench.ip(f"route add default via {SECOND} table default")
    assert out(bench, "10.1.1.1") == p1.far_mac

    bench.ip(f"route add default via {GATEWAY}")
    assert out(bench, "10.1.1.1") == p0.far_mac


def test_other_tables_do_not_count(bench: Bench) -> None:
    bench.ip(f"route add 10.0.0.0/8 via {GATEWAY} table 100")

    assert reason(bench, "10.1.1.1") == "PUNT_NO_ROUTE"
    bench.ip("route flush table 100")


def test_inside_a_local_prefix_the_kernel_decides(bench: Bench) -> None:
    bench.ip("route add local 10.0.0.0/8 dev lo", f"route add 10.1.0.0/16 via {GATEWAY}")
    assert reason(bench, "10.2.0.1") == "PUNT_LOCAL"
    assert reason(bench, "10.1.0.1") == "PUNT_POLICY"

    bench.ip("route del local 10.0.0.0/8 dev lo table local")
    assert way(bench, "10.1.0.1").kind is WayKind.PORT
    assert reason(bench, "10.2.0.1") == "PUNT_NO_ROUTE"


def test_link_local_and_multicast_prefixes_are_not_mirrored(bench: Bench) -> None:
    for address in ("fe80::1", "ff02::1"):
        assert reason(bench, address) == "PUNT_NO_ROUTE"


# ---- without a word ------------------------------------------------------------------------


def test_routes_go_with_the_link(bench: Bench, ports: tuple[Cable, Cable]) -> None:
    p0, _ = ports
    bench.ip(f"route add 10.0.0.0/8 via {GATEWAY}", f"route add 10.1.0.0/16 via {SECOND}")
    bench.ip("link set p1 down")
    assert out(bench, "10.1.0.1") == p0.far_mac

    bench.ip(
        "link set p1 up",
        "address add 2001:db8:a1::1/64 dev p1 nodad",
        f"route add 10.1.0.0/16 via {SECOND}",
    )
    bench.neighbour(ports[1], SECOND, SECOND6)
    assert out(bench, "10.1.0.1") == ports[1].far_mac


def test_one_of_several_next_hops_is_dead(bench: Bench, ports: tuple[Cable, Cable]) -> None:
    p0, p1 = ports
    bench.ip(f"route add 10.0.0.0/8 nexthop via {GATEWAY} nexthop via {SECOND}")
    assert spread(bench, "10.1.1.1") == {p0.far_mac: 64, p1.far_mac: 64}

    bench.ip("link set p1 down")
    assert spread(bench, "10.1.1.1") == {p0.far_mac: BUCKETS}

    bench.ip("link set p1 up", "address add 2001:db8:a1::1/64 dev p1 nodad")
    bench.neighbour(p1, SECOND, SECOND6)
    assert spread(bench, "10.1.1.1") == {p0.far_mac: 64, p1.far_mac: 64}


def test_routes_go_with_the_address_that_they_prefer(bench: Bench) -> None:
    bench.ip("address add 192.0.2.1/32 dev lo", f"route add 10.0.0.0/8 via {GATEWAY} src 192.0.2.1")
    assert way(bench, "10.1.1.1").kind is WayKind.PORT

    bench.ip("address del 192.0.2.1/32 dev lo")
    assert reason(bench, "10.1.1.1") == "PUNT_NO_ROUTE"


@pytest.mark.parametrize("compat", [1, 0])
def test_next_hop_objects(bench: Bench, ports: tuple[Cable, Cable], compat: int) -> None:
    p0, p1 = ports
    namespaces.write_sysctl(bench.gw, "net/ipv4/nexthop_compat_mode", str(compat))
    bench.ip(
        f"nexthop add id 1 via {GATEWAY} dev p0",
        f"nexthop add id 2 via {SECOND} dev p1",
        "nexthop add id 3 group 1,3/2,1",
        "nexthop add id 4 blackhole",
        "route add 10.0.0.0/8 nhid 3",
        "route add 10.1.0.0/16 nhid 1",
        "route add 10.2.0.0/16 nhid 4",
    )
    assert spread(bench, "10.0.0.1") == {p0.far_mac: 96, p1.far_mac: 32}
    assert out(bench, "10.1.0.1") == p0.far_mac
    assert out(bench, "10.2.0.1") == "DROP_BLACKHOLE"

    bench.ip(f"nexthop replace id 1 via {SECOND} dev p1")
    assert spread(bench, "10.0.0.1") == {p1.far_mac: BUCKETS}
    assert out(bench, "10.1.0.1") == p1.far_mac

    bench.ip("nexthop del id 1")
    assert spread(bench, "10.0.0.1") == {p1.far_mac: BUCKETS}
    assert out(bench, "10.1.0.1") == p1.far_mac  # by the shorter prefix

    bench.ip("nexthop del id 2")
    assert reason(bench, "10.0.0.1") == "PUNT_NO_ROUTE"
    namespaces.write_sysctl(bench.gw, "net/ipv4/nexthop_compat_mode", "1")


def test_next_hops_come_back_with_the_address(bench: Bench, ports: tuple[Cable, Cable]) -> None:
    p0, p1 = ports
    bench.ip(f"route add 10.0.0.0/8 nexthop via {GATEWAY} nexthop via {SECOND}")
    # A device without any address is none for IPv4; nobody says so of the route.
    bench.ip("address del 203.0.113.1/24 dev p1")
    assert spread(bench, "10.1.1.1") == {p0.far_mac: BUCKETS}

    bench.ip("address add 203.0.113.1/24 dev p1")
    bench.neighbour(p1, SECOND)
    assert spread(bench, "10.1.1.1") == {p0.far_mac: 64, p1.far_mac: 64}


def test_an_object_and_plain_next_hops_are_two_routes(
    bench: Bench, ports: tuple[Cable, Cable]
) -> None:
    p0, _ = ports
    prefix, address = "2001:db8:f::/48", "2001:db8:f::1"
    both = f"nexthop via {GATEWAY6} dev p0 nexthop via {SECOND6} dev p1"
    bench.ip(
        f"nexthop add id 1 via {GATEWAY6} dev p0",
        f"route add {prefix} nhid 1",
        f"route append {prefix} {both}",
        # The kernel takes the first that has such a next hop: the object's, and one of the other.
        f"route del {prefix} {both}",
    )
    assert out(bench, address) == p0.far_mac

    bench.ip(f"route del {prefix}")
    assert reason(bench, address) == "PUNT_NO_ROUTE"


def test_a_route_expires(bench: Bench, ports: tuple[Cable, Cable]) -> None:
    """As those of router advertisements do; the kernel removes it and says so much later."""
    p0, p1 = ports
    bench.ip(
        f"route add 2001:db8:f::/48 via {GATEWAY6} expires 2",
        f"route add 2001:db8::/32 via {SECOND6}",
    )
    assert out(bench, "2001:db8:f::1") == p0.far_mac

    eventually(lambda: out(bench, "2001:db8:f::1") == p1.far_mac, "it is not used any more")
