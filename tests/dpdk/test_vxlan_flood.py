# SPDX-License-Identifier: GPL-2.0-or-later
"""Frames for a station that nobody knows: to each VTEP and each port, once, and to nobody twice."""

from collections.abc import Iterator

import pytest
from scapy.layers.inet import IP, UDP

from tests.dpdk.flooded import Site, changed, cutting, target, unknown
from tests.dpdk.harness import NOISE
from tests.dpdk.pieces import fitting, number_of
from tests.dpdk.vxlan import NOBODY, PEER
from tests.lib.gateway import eventually

pytestmark = pytest.mark.dpdk

UNREACHABLE = {4: "192.0.2.9", 6: "2001:db8:1::9"}
BEHIND = {4: "192.0.3.60", 6: "2001:db8:3::60"}
GATEWAY = {4: "192.0.3.1/24", 6: "2001:db8:3::1/64"}
FAR_AWAY = {4: "203.0.113.9", 6: "2001:db8:ff::9"}
COPIES = 256
"""Of a burst, see flood.c."""


@pytest.fixture(scope="module", params=(4, 6))
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    with Site.running("vf", request.param, hears=False) as running:
        yield running


def test_to_all_others(site: Site) -> None:
    counting = site.bench.counting("p0")
    site.flooded(unknown(), *site.vteps)
    counting.expect(VXLAN_FLOOD=1, VXLAN_COPY=2)


def test_a_burst(site: Site) -> None:
    counting = site.bench.counting("p0")
    frames = [bytes(unknown(100 + number)) for number in range(60)]
    seen = site.to_core(frames, 120)
    counting.expect(VXLAN_FLOOD=60, VXLAN_COPY=120)
    for vtep in site.vteps:
        inner = [bytes(packet[UDP].payload)[8:] for packet in seen if target(packet) == vtep]
        assert sorted(inner) == sorted(frames)


def test_a_port_that_spanning_tree_blocks(site: Site) -> None:
    command = "bridge link set dev p1 state"
    with changed(site, *command.split(), "0", back=f"{command} 3"):
        counting = site.bench.counting("p0")
        seen = site.to_core([unknown()], 2)
        counting.expect(VXLAN_FLOOD=1, VXLAN_COPY=1)
        assert {target(packet) for packet in seen} == set(site.vteps)


def test_no_vtep_at_all(site: Site) -> None:
    device = site.segment.device
    for vtep in site.vteps:
        site.segment.fdb("del", NOBODY, "dev", device, "dst", vtep, "self")
    site.bench.settle()
    try:
        counting = site.bench.counting("p0")
        received = site.bench.send_and_expect(unknown(), via=site.access.far, at=site.other.far)
        assert bytes(received) == bytes(unknown())
        counting.expect(VXLAN_FLOOD=1)
    finally:
        site.segment.flood(*site.vteps)
        site.bench.settle()


def test_a_vtep_that_is_not_to_be_reached(site: Site) -> None:
    """The kernel looks for it, and serves the others meanwhile."""
    device, vtep = site.segment.device, UNREACHABLE[site.segment.family]
    back = f"bridge fdb del {NOBODY} dev {device} dst {vtep} self"
    add = f"bridge fdb append {NOBODY} dev {device} dst {vtep} self permanent"
    with changed(site, *add.split(), back=back):
        site.left_to_the_kernel(unknown())


def test_a_vtep_behind_a_bridge_that_does_not_know_it(site: Site) -> None:
    """Nobody gets a copy before that is certain for all."""
    site.bench.port("edge")
    vtep = BEHIND[site.segment.family]
    site.bench.ip(
        "link add under type bridge forward_delay 0 mcast_snooping 0",
        "link set edge master under",
        "link set under up",
        f"address add {GATEWAY[site.segment.family]} dev under nodad",
        f"neigh replace {vtep} lladdr 02:00:00:00:0e:01 dev under nud permanent",
    )
    try:
        device = site.segment.device
        back = f"bridge fdb del {NOBODY} dev {device} dst {vtep} self"
        add = f"bridge fdb append {NOBODY} dev {device} dst {vtep} self permanent"
        with changed(site, *add.split(), back=back):
            site.left_to_the_kernel(unknown())
    finally:
        site.bench.ip("link del under")
        site.bench.settle()


def test_a_vtep_with_a_way_that_is_not_known(site: Site) -> None:
    """One of several: each flow is all ours, or all the kernel's."""
    vtep = FAR_AWAY[site.segment.family]
    hops = (PEER, UNREACHABLE)
    ways = " ".join(f"nexthop via {hop[site.segment.family]} dev core" for hop in hops)
    site.bench.ip(f"route add {vtep} {ways}")
    try:
        device = site.segment.device
        back = f"bridge fdb del {NOBODY} dev {device} dst {vtep} self"
        add = f"bridge fdb append {NOBODY} dev {device} dst {vtep} self permanent"
        with changed(site, *add.split(), back=back):
            counting = site.bench.counting("p0", noise=NOISE)
            frames = []
            for number in range(40):
                frame = unknown()
                frame[UDP].sport = 1000 + number
                frames.append(bytes(frame))
            site.access.far.send(frames)
            ends = ("VXLAN_FLOOD", "PUNT_BRIDGE_MISS")
            eventually(
                lambda: sum(counting.now().get(end, 0) for end in ends) >= len(frames),
                "all are counted",
            )
            moved = counting.now()
            flooded = moved.get("VXLAN_FLOOD", 0)
            assert 0 < flooded < len(frames), moved
            assert moved == {
                "VXLAN_FLOOD": flooded,
                "VXLAN_COPY": 3 * flooded,
                "PUNT_BRIDGE_MISS": len(frames) - flooded,
            }
    finally:
        site.bench.ip(f"route del {vtep}")
        site.bench.settle()


def test_somebody_who_listens(site: Site) -> None:
    command = f"ip link set {site.segment.bridge} promisc"
    with changed(site, *command.split(), "on", back=f"{command} off"):
        site.left_to_the_kernel(unknown())


def test_a_port_of_the_kernel(site: Site) -> None:
    site.bench.ip("link add kernel0 type veth peer name kernel1")
    bridge = site.segment.bridge
    join = f"ip link set kernel0 master {bridge}"
    with changed(site, *join.split(), back="ip link del kernel0"):
        site.left_to_the_kernel(unknown())
    site.flooded(unknown(), *site.vteps)


def test_a_port_that_is_not_flooded_to(site: Site) -> None:
    command = "bridge link set dev p1 flood"
    with changed(site, *command.split(), "off", back=f"{command} on"):
        site.left_to_the_kernel(unknown())


def test_what_the_underlay_does_not_take(site: Site) -> None:
    """Is the kernel's; or it is cut for each VTEP."""
    site.left_to_the_kernel(unknown(1500))
    with cutting(site):
        counting = site.bench.counting("p0")
        frame = unknown(1500)
        seen = site.to_core([frame], 4)
        counting.expect(VXLAN_FLOOD=1, VXLAN_COPY=2, VXLAN_CUT=2)
        for first, second in (seen[:2], seen[2:]):
            start = 34 if site.segment.family == 4 else 62
            sport = int.from_bytes(bytes(first)[start : start + 2], "big")
            whole = site.segment.leaving(frame, target=target(first), sport=sport)
            wanted = fitting(whole, 1500, number_of(first))
            assert [bytes(first), bytes(second)] == [bytes(packet) for packet in wanted]
        assert {target(packet) for packet in seen} == set(site.vteps)


def test_more_vteps_than_copies(site: Site) -> None:
    """All of them is the kernel's."""
    if site.segment.family == 6:
        pytest.skip("said with IPv4")
    more = [f"192.0.2.{number}" for number in range(70, 250)]
    more += [f"198.51.100.{number}" for number in range(1, COPIES)]
    site.bench.ip(
        f"route add 198.51.100.0/24 via {PEER[4]}",
        *(f"neigh replace {vtep} lladdr {site.core.far_mac} dev core" for vtep in more[:180]),
    )
    site.segment.flood(*more[:180])
    site.bench.settle()
    counting = site.bench.counting("p0")
    seen = site.to_core([unknown()], 182)
    counting.expect(VXLAN_FLOOD=1, VXLAN_COPY=182)
    assert {target(packet) for packet in seen} == {*site.vteps, *more[:180]}
    assert all(packet[IP].src == site.segment.wanted.local for packet in seen)

    site.segment.flood(*more[180:])
    site.bench.settle()
    site.left_to_the_kernel(unknown())
