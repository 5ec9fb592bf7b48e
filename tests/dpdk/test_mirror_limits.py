# SPDX-License-Identifier: GPL-2.0-or-later
"""What cannot be mirrored is the kernel's, all of it."""

from dataclasses import replace

import pytest

from hybrid_gateway.worker_client import MirrorStatus, Way
from hybrid_gateway.worker_values import WayKind
from tests.dpdk.harness import SMALL, Bench
from tests.lib.gateway import eventually

pytestmark = pytest.mark.dpdk

GATEWAY, GATEWAY6 = "198.51.100.9", "2001:db8:a0::9"
FEW = 256


def mirror(bench: Bench) -> MirrorStatus:
    bench.settle(30)
    found = bench.client.status().mirror
    assert found
    return found


def way(bench: Bench, address: str) -> Way:
    bench.settle(30)
    return bench.client.explain([address])[0]


@pytest.mark.parametrize(
    ("rule", "version"),
    [
        ("from 192.0.2.0/24 lookup 100", 4),
        ("fwmark 7 lookup main", 4),
        ("from 192.0.2.0/24 l3mdev pref 1000", 4),
        ("not l3mdev pref 1000", 6),
        ("from all suppress_prefixlength 0 lookup main pref 100", 4),
        ("from 2001:db8:7::/48 lookup 100", 6),
        ("iif p0 unreachable", 6),
    ],
)
def test_policy_rules_hand_the_family_over(own_bench: Bench, rule: str, version: int) -> None:
    bench = own_bench
    p0 = bench.port("p0", "198.51.100.1/24", "2001:db8:a0::1/64")
    bench.neighbour(p0, GATEWAY, GATEWAY6)
    bench.ip(f"route add 10.0.0.0/8 via {GATEWAY}", f"route add 2001:db8:f::/48 via {GATEWAY6}")
    four, six = "10.1.1.1", "2001:db8:f::1"
    assert (way(bench, four).mac, way(bench, six).mac) == (p0.far_mac, p0.far_mac)

    bench.run("ip", f"-{version}", "rule", "add", *rule.split())
    status = mirror(bench)
    assert (status.punting4, status.punting6) == (version == 4, version == 6)
    assert f"IPv{version} is left to the kernel: there are policy rules" in status.problem
    ruled, other = (four, six) if version == 4 else (six, four)
    assert way(bench, ruled).reason == "PUNT_POLICY"
    assert way(bench, other).mac == p0.far_mac

    bench.run("ip", f"-{version}", "rule", "del", *rule.split())
    status = mirror(bench)
    assert (status.punting4, status.punting6, status.problem) == (False, False, "")
    assert (way(bench, four).mac, way(bench, six).mac) == (p0.far_mac, p0.far_mac)


def test_the_rule_for_vrfs_is_the_kernels_own(own_bench: Bench) -> None:
    bench = own_bench
    p0 = bench.port("p0", "198.51.100.1/24", "2001:db8:a0::1/64")
    bench.neighbour(p0, GATEWAY, GATEWAY6)
    for version in (4, 6):
        bench.run("ip", f"-{version}", "rule", "add", "l3mdev", "pref", "1000")
    bench.ip(f"route add 10.0.0.0/8 via {GATEWAY}", f"route add 2001:db8:f::/48 via {GATEWAY6}")

    assert (way(bench, "10.1.1.1").mac, way(bench, "2001:db8:f::1").mac) == (p0.far_mac, p0.far_mac)
    status = mirror(bench)
    assert (status.punting4, status.punting6, status.problem) == (False, False, "")


@pytest.mark.parametrize("version", [4, 6])
def test_a_full_table_hands_the_family_over(version: int) -> None:
    prefixes = [f"10.{i >> 8}.{i & 255}.0/24" for i in range(4 * FEW)]
    gateway, default, inside = GATEWAY, "0.0.0.0/0", "10.0.0.1"
    if version == 6:
        prefixes = [f"2001:db8:{0x1000 + i:x}::/48" for i in range(4 * FEW)]
        gateway, default, inside = GATEWAY6, "::/0", "2001:db8:1000::1"
    with Bench.running("full", replace(SMALL, routes4=FEW, routes6=FEW)) as bench:
        p0 = bench.port("p0", "198.51.100.1/24", "2001:db8:a0::1/64")
        bench.neighbour(p0, gateway)
        bench.ip(f"route add {default} via {gateway}")
        assert way(bench, inside).mac == p0.far_mac

        bench.ip(*(f"route add blackhole {prefix}" for prefix in prefixes))
        status = mirror(bench)
        assert (status.punting4, status.punting6) == (version == 4, version == 6)
        assert f"IPv{version} is left to the kernel: its routes do not fit" in status.problem
        # Not by the default route, whether or not the one that holds found a place.
        for prefix in (prefixes[0], prefixes[-1]):
            assert way(bench, prefix.split("/")[0]).reason == "PUNT_POLICY"

        bench.ip(*(f"route del {prefix}" for prefix in prefixes[FEW // 2 :]))
        eventually(lambda: not mirror(bench).problem, "the routes fit")
        status = mirror(bench)
        assert (status.punting4, status.punting6) == (False, False)
        assert way(bench, inside).kind is WayKind.DROP
        assert way(bench, prefixes[-1].split("/")[0]).mac == p0.far_mac
