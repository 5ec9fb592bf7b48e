# SPDX-License-Identifier: GPL-2.0-or-later
"""What the mirror of VXLAN comes to for frames: no room, ageing, bindings, VNIs of the kernel."""

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from hybrid_gateway.lab import namespaces
from hybrid_gateway.worker_values import PlaceKind
from tests.dpdk.harness import Bench
from tests.dpdk.vxlan import (
    FAR,
    FARTHER,
    HERE,
    LOCAL,
    OTHER,
    PEER,
    PORT,
    STRANGER,
    Segment,
    between,
    stretch,
    underlay,
    with_tunnels,
)
from tests.lib.gateway import eventually

pytestmark = pytest.mark.dpdk

VNI = 104
TUNNELS = 2


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with Bench.running("mf", with_tunnels(TUNNELS)) as made:
        underlay(made)
        made.port("p0")
        yield made


@contextmanager
def segment(bench: Bench, **options: Any) -> Iterator[Segment]:
    """In br0, with p0, and given to the worker; all of it goes with the block."""
    with ExitStack() as stack:
        stack.callback(bench.client.set_segments, [])
        for device in ("vx0", "br0"):
            delete = ["ip", "-n", bench.gw, "link", "del", device]
            stack.callback(namespaces.run, delete, check=False)
        ports = [bench.ports["p0"]]
        made = Segment.made(bench, bench.ports["core"], ports, vni=VNI, **options)
        made.station(HERE, bench.ports["p0"])
        stretch(bench, made)
        yield made


def arrives(made: Segment, source: str, **counters: int) -> None:
    """What becomes of a frame from FAR to HERE, in a packet from there."""
    counting = made.bench.counting("core")
    made.core.far.send([made.arriving(between(FAR, HERE), source=source)])
    counting.expect(**counters)


# ---- room ---------------------------------------------------------------------------------


def test_vteps_without_room_are_the_kernels(bench: Bench) -> None:
    with segment(bench, vteps=(PEER[4], OTHER[4])) as made:
        arrives(made, STRANGER[4], DROP_VTEP=1)
        made.station(FAR, STRANGER[4])
        bench.settle()
        status = bench.client.status()
        (found,) = status.segments
        assert (found.vteps, found.active) == (2, True)
        assert found.problem == "1 of its VTEPs have no room and are left to the kernel"
        assert status.mirror
        assert status.mirror.problem == "1 VXLAN tunnels have no room and are left to the kernel"
        (place,) = bench.client.locate(made.wanted.bridge, [FAR.mac])
        assert place.kind is PlaceKind.KERNEL
        # The worker cannot tell it from others, which only the kernel can judge then.
        arrives(made, STRANGER[4], PUNT_VXLAN=1)
        arrives(made, PEER[4], VXLAN_DECAP=1)

        made.fdb("del", "00:00:00:00:00:00", "dev", "vx0", "dst", OTHER[4], "self")
        eventually(lambda: not bench.client.status().segments[0].problem, "there is room again")
        (place,) = bench.client.locate(made.wanted.bridge, [FAR.mac])
        assert (place.vtep, place.may_send) == (STRANGER[4], True)
        arrives(made, STRANGER[4], VXLAN_DECAP=1)
        arrives(made, OTHER[4], DROP_VTEP=1)


# ---- whose VNI ----------------------------------------------------------------------------


def test_vnis_of_the_kernel(bench: Bench) -> None:
    with segment(bench) as made, ExitStack() as stack:
        arrives(made, PEER[4], VXLAN_DECAP=1)
        counting = bench.counting("core")
        other = made.arriving(between(FAR, HERE), vni=200)
        made.core.far.send([other])
        counting.expect(DROP_VNI=1)
        # A device that is no segment of the worker's has it.
        delete = ["ip", "-n", bench.gw, "link", "del", "vx200"]
        stack.callback(namespaces.run, delete, check=False)
        bench.ip(f"link add vx200 type vxlan id 200 dstport {PORT} local {LOCAL[4]}")
        bench.settle()
        for state, counters in (("up", {"PUNT_VXLAN": 1}), ("down", {"DROP_VNI": 1})):
            bench.ip(f"link set vx200 {state}")
            bench.settle()
            counting = bench.counting("core")
            made.core.far.send([other])
            counting.expect(**counters)


def test_a_segment_that_is_not_active_is_the_kernels(bench: Bench) -> None:
    with segment(bench) as made:
        bench.ip("link set p0 nomaster")
        bench.settle()
        # There is no other segment: nobody looks into what is for this host.
        arrives(made, PEER[4], PUNT_LOCAL=1)
        bench.ip("link set p0 master br0")
        made.station(HERE, bench.ports["p0"])
        bench.settle()
        arrives(made, PEER[4], VXLAN_DECAP=1)


# ---- ageing -------------------------------------------------------------------------------


def ages(bench: Bench, mac: str) -> list[int]:
    """Seconds since the kernel heard it, by the bridge's entry and by the device's own."""
    lines = bench.run("bridge", "-s", "fdb", "show", "dev", "vx0").splitlines()
    found = [(line, re.search(r"used (\d+)/(\d+)", line)) for line in lines if line.startswith(mac)]
    # Bridges go by the second number, VXLAN devices by either (since Linux 6.15).
    return [
        int(match[2]) if " master " in line else min(int(match[1]), int(match[2]))
        for line, match in found
        if match
    ]


def test_who_sends_does_not_age(bench: Bench) -> None:
    """Where something is learned; elsewhere nothing ages by itself."""
    with segment(bench, learns=True) as made:
        for mac in (FAR.mac, FARTHER.mac):
            made.fdb("add", mac, "dev", "vx0", "dst", PEER[4], "self", "dynamic")
            made.fdb("add", mac, "dev", "vx0", "master", "dynamic")
        bench.settle()
        eventually(lambda: min(ages(bench, FARTHER.mac)) >= 3, "nobody spoke for a while", 10)
        arrives(made, PEER[4], VXLAN_DECAP=1)
        eventually(lambda: max(ages(bench, FAR.mac)) < 3, "both entries are young again")
        assert min(ages(bench, FARTHER.mac)) >= 3, "who is silent ages as ever"
        # What the kernel was told has not changed where it is.
        bench.settle()
        places = bench.client.locate(made.wanted.bridge, [FAR.mac, FARTHER.mac])
        assert {(place.kind, place.vtep) for place in places} == {(PlaceKind.TUNNEL, PEER[4])}


def test_what_the_kernel_learns(bench: Bench) -> None:
    """From the first frame of a station, and from the first one after it has moved."""
    with segment(bench, learns=True, vteps=(PEER[4], OTHER[4])) as made:
        bench.ip("link set vx0 type vxlan learning")

        def behind(vtep: str) -> bool:
            (place,) = bench.client.locate(made.wanted.bridge, [FAR.mac])
            return (place.vtep, place.ages) == (vtep, True)

        for vtep in (PEER[4], OTHER[4], PEER[4]):
            arrives(made, vtep, PUNT_LEARN=1)
            eventually(lambda vtep=vtep: behind(vtep), f"it is behind {vtep}")  # type: ignore[misc]
            arrives(made, vtep, VXLAN_DECAP=1)


# ---- bindings -----------------------------------------------------------------------------


def bindings(bench: Bench) -> int:
    bench.settle()
    mirror = bench.client.status().mirror
    assert mirror
    return mirror.bindings


def test_bindings_come_and_go(bench: Bench) -> None:
    with segment(bench):
        assert bindings(bench) == 0
        bench.ip(
            f"neigh add {FAR.ip} lladdr {FAR.mac} dev br0 nud noarp extern_learn",
            f"neigh add 2001:db8:9::40 lladdr {FAR.mac} dev br0 nud noarp extern_learn router",
            # Those of no control plane, or of other devices, are none.
            f"neigh add {FARTHER.ip} lladdr {FARTHER.mac} dev br0 nud permanent",
            f"neigh add {HERE.ip} lladdr {HERE.mac} dev core nud noarp extern_learn",
        )
        assert bindings(bench) == 2
        bench.ip(f"neigh replace {FARTHER.ip} lladdr {FARTHER.mac} dev br0 extern_learn")
        assert bindings(bench) == 3
        bench.ip(f"neigh del {FAR.ip} dev br0")
        assert bindings(bench) == 2
        # Without a port of the worker the bridge is none of its own.
        bench.ip("link set p0 nomaster")
        assert bindings(bench) == 0
        bench.ip("link set p0 master br0")
        assert bindings(bench) == 2


def neighbours(bench: Bench) -> int:
    bench.settle()
    mirror = bench.client.status().mirror
    assert mirror
    return mirror.neighbours4


def test_bindings_leave_room_for_other_neighbours(bench: Bench) -> None:
    half = bench.options.neighbours // 2
    bound = [f"10.9.{i >> 8}.{i & 255}" for i in range(1, half + 9)]
    with segment(bench):
        before = neighbours(bench)
        bench.ip(
            *(f"neigh add {one} lladdr {FAR.mac} dev br0 nud noarp extern_learn" for one in bound),
        )
        assert neighbours(bench) == half
        assert bindings(bench) == len(bound)
        # Those that no control plane has put there find room still.
        bench.ip(f"neigh add 10.9.99.99 lladdr {FARTHER.mac} dev br0 nud permanent")
        assert neighbours(bench) == half + 1
        gone = half // 4
        bench.ip(
            "neigh del 10.9.99.99 dev br0", *(f"neigh del {one} dev br0" for one in bound[:gone])
        )
        left = before + len(bound) - gone
        eventually(lambda: neighbours(bench) == left, "those that were left out are in")
