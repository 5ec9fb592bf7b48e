# SPDX-License-Identifier: GPL-2.0-or-later
"""What finds no room in the worker's tables is the kernel's, is said, and comes back by itself."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from ipaddress import ip_address

import pytest
from scapy.layers.l2 import Ether

from hybrid_gateway.worker_client import MirrorStatus, Way
from tests.dpdk.harness import SMALL, Bench
from tests.dpdk.wires import Cable
from tests.lib.gateway import eventually
from tests.lib.packets import udp

pytestmark = pytest.mark.dpdk

NEXT_HOPS = 32762
MORE = 200
"""What does not fit."""
FEW = 64
SOME = 10
"""Less than is looked for."""
PIECE = 4096
"""Lines that one `ip` is given, which has to be done within half a minute."""


def mirror(bench: Bench) -> MirrorStatus:
    bench.settle(30)
    found = bench.client.status().mirror
    assert found
    return found


def way(bench: Bench, address: str) -> Way:
    bench.settle(30)
    return bench.client.explain([address])[0]


@dataclass(frozen=True)
class Crowd:
    """A port, and a route by a gateway of its own for each next hop that there is, and more."""

    bench: Bench
    p0: Cable
    prefixes: list[str]
    gateways: list[str]

    @classmethod
    @contextmanager
    def made(cls) -> Iterator["Crowd"]:
        gateways = [str(ip_address("100.64.1.0") + i) for i in range(NEXT_HOPS + MORE)]
        prefixes = [f"{10 + (i >> 16)}.{i >> 8 & 255}.{i & 255}.0/24" for i in range(len(gateways))]
        options = replace(SMALL, routes4=40_000, neighbours=FEW, memory_mb=256)
        with Bench.running("hops", options) as bench:
            p0 = bench.port("p0", "100.64.0.1/10")
            routes = [f"route add {p} via {g}" for p, g in zip(prefixes, gateways, strict=True)]
            for start in range(0, len(routes), PIECE):
                bench.ip(*routes[start : start + PIECE])
            yield cls(bench, p0, prefixes, gateways)

    def left_out(self) -> list[str]:
        """Prefixes whose gateway found no room."""
        self.bench.settle(30)
        some = self.prefixes[-2 * MORE :]
        ways = self.bench.client.explain([prefix.split("/")[0] for prefix in some])
        return [p for p, way in zip(some, ways, strict=True) if way.reason == "PUNT_POLICY"]


@pytest.mark.slow
def test_more_next_hops_than_there_are() -> None:
    with Crowd.made() as crowd:
        bench, p0, prefixes, gateways = crowd.bench, crowd.p0, crowd.prefixes, crowd.gateways
        last, last_gateway = prefixes[-1].split("/")[0], gateways[-1]
        bench.ip(
            f"route add 11.0.0.0/8 nexthop via {last_gateway} nexthop via {gateways[-2]}",
            f"neigh replace {last_gateway} lladdr {p0.far_mac} dev p0",
            f"neigh replace {gateways[-2]} lladdr {p0.far_mac} dev p0",
        )
        status = mirror(bench)
        assert status.nexthops == status.nexthops_max == NEXT_HOPS
        assert "next hops have no room and are left to the kernel" in status.problem
        assert not status.punting4
        assert way(bench, last).reason == "PUNT_POLICY"
        assert way(bench, "11.1.1.1").reason == "PUNT_POLICY"
        # The kernel forwards it: nothing is lost.
        counting = bench.counting()
        frame = Ether(src=p0.far_mac, dst=p0.mac) / udp("100.64.0.9", last, 1, 2)
        received = bench.send_and_expect(frame, via=p0.far, at=p0.kernel)
        assert bytes(received) == bytes(frame)
        counting.expect(PUNT_POLICY=1)

        bench.ip(*(f"route del {prefix}" for prefix in prefixes[: 2 * MORE]))
        eventually(lambda: not mirror(bench).problem, "all have found room")
        assert way(bench, last).mac == way(bench, "11.1.1.1").mac == p0.far_mac


@pytest.mark.slow
def test_room_for_neighbours_is_none_for_next_hops() -> None:
    """A few are free, which is worth no look at all routes; then so few want one."""
    with Crowd.made() as crowd:
        bench, p0, gateways = crowd.bench, crowd.p0, crowd.gateways
        bench.neighbour(p0, *gateways[100 : 100 + 2 * FEW])
        bench.ip(*(f"route del {prefix}" for prefix in crowd.prefixes[:SOME]))
        left_out = crowd.left_out()
        assert len(left_out) > SOME
        neighbours = f"{FEW} IPv4 neighbours have no room"
        assert neighbours in mirror(bench).problem
        bench.ip(*(f"neigh del {gateway} dev p0" for gateway in gateways[100 : 100 + FEW]))
        eventually(lambda: neighbours not in mirror(bench).problem, "neighbours have room")

        bench.ip(*(f"route del {prefix}" for prefix in left_out[SOME:]))

        eventually(lambda: not mirror(bench).problem, "next hops have room")
        assert not crowd.left_out()


def test_more_neighbours_than_there_is_room_for() -> None:
    hosts = [f"198.51.100.{i}" for i in range(10, 10 + 2 * FEW)]
    hosts6 = [f"2001:db8:a0::{i:x}" for i in range(0x1000, 0x1000 + 2 * FEW)]
    with Bench.running("near", replace(SMALL, neighbours=FEW)) as bench:
        p0 = bench.port("p0", "198.51.100.1/24", "2001:db8:a0::1/64")
        bench.neighbour(p0, *hosts, *hosts6)

        status = mirror(bench)
        assert (status.neighbours4, status.neighbours6) == (FEW, FEW)
        for version in (4, 6):
            sentence = f"{FEW} IPv{version} neighbours have no room and are left to the kernel"
            assert sentence in status.problem
        found = [found.mac or found.reason for found in bench.client.explain(hosts + hosts6)]
        assert found.count(p0.far_mac) == found.count("PUNT_NEIGHBOUR") == 2 * FEW

        bench.ip(*(f"neigh del {host} dev p0" for host in (*hosts[:FEW], *hosts6[:FEW])))
        eventually(lambda: not mirror(bench).problem, "the others have found room")
        assert {way.mac for way in bench.client.explain(hosts[FEW:] + hosts6[FEW:])} == {p0.far_mac}


def test_more_stations_than_there_is_room_for() -> None:
    with Bench.running("fdb", replace(SMALL, stations=FEW)) as bench:
        p0, p1 = bench.port("p0"), bench.port("p1")
        bench.ip(
            "link add br0 type bridge",
            "link set p0 master br0",
            "link set p1 master br0",
            "link set br0 up",
        )
        fdb(bench, "add", p1, range(2 * FEW))
        status = mirror(bench)
        assert status.stations == FEW
        assert "bridge stations have no room and are left to the kernel" in status.problem

        fdb(bench, "del", p1, range(FEW + 10))
        eventually(lambda: not mirror(bench).problem, "the others have found room")
        # Whose sender has to be known as well.
        fdb(bench, "add", p0, range(200, 201))
        bench.settle()
        counting = bench.counting()
        for number in range(FEW + 10, 2 * FEW):
            frame = Ether(src=mac(200), dst=mac(number)) / udp("192.0.2.1", "192.0.2.2", 1, 2)
            assert bytes(bench.send_and_expect(frame, via=p0.far, at=p1.far)) == bytes(frame)
        counting.expect(FORWARD_BRIDGE=FEW - 10)


def mac(number: int) -> str:
    return f"02:00:00:00:0b:{number:02x}"


def fdb(bench: Bench, verb: str, port: Cable, numbers: range) -> None:
    for number in numbers:
        bench.run("bridge", "fdb", verb, mac(number), "dev", port.name, "master", "static")
