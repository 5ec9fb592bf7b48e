# SPDX-License-Identifier: GPL-2.0-or-later
"""Whatever is done to VXLAN devices and FDBs, the worker's tables say what the kernel's say."""

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from hybrid_gateway.lab import namespaces
from hybrid_gateway.worker_values import Place, PlaceKind
from tests.dpdk.harness import Bench
from tests.dpdk.test_mirror_random import try_all
from tests.dpdk.vxlan import (
    LOCAL,
    MTU,
    NOBODY,
    PORT,
    Segment,
    ifindex,
    ifindexes,
    stretch,
    underlay,
    with_tunnels,
)

pytestmark = pytest.mark.dpdk

ROUNDS, CHANGES = 30, 12
MACS = [f"02:00:00:00:0a:{i:02x}" for i in range(8)]
VTEPS = {
    4: [f"192.0.2.{i}" for i in range(10, 16)],
    6: [f"2001:db8:1::{i:x}" for i in range(16, 22)],
}
VNI = {4: 104, 6: 106}
FAMILY = {"vx4": 4, "vx6": 6}


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with Bench.running("mr", with_tunnels(64)) as made:
        underlay(made)
        made.port("p0")
        made.port("p1")
        yield made


class Fdb:
    """The kernel's entries of br0 and of the VXLAN devices in it."""

    def __init__(self, bench: Bench) -> None:
        entries: list[dict[str, Any]] = json.loads(bench.run("bridge", "-j", "fdb", "show"))
        self._own = [one for one in entries if "self" in one.get("flags", ())]
        self._bridged = {
            one["mac"]: one
            for one in entries
            if one.get("master") == "br0" and "self" not in one.get("flags", ())
        }
        self._ifindexes = ifindexes(bench)

    def vteps(self, device: str, mac: str | None = None) -> list[str]:
        """Those that the device has for that MAC address, or for all."""
        return [
            one["dst"]
            for one in self._own
            if one["ifname"] == device and mac in (None, one["mac"]) and "dst" in one
        ]

    def place(self, mac: str, active: set[str]) -> tuple[PlaceKind, int, str]:
        entry = self._bridged.get(mac)
        if entry is None:
            return PlaceKind.UNKNOWN, 0, ""
        device = entry["ifname"]
        if device in ("p0", "p1"):
            return PlaceKind.PORT, self._ifindexes[device], ""
        if device not in active:
            return PlaceKind.KERNEL, 0, ""
        # Without one of its own it is flooded; to one VTEP that is the same.
        ways = self.vteps(device, mac) or self.vteps(device, NOBODY)
        if len(ways) != 1:
            return PlaceKind.KERNEL, 0, ""
        return PlaceKind.TUNNEL, self._ifindexes[device], ways[0]


class Changes:
    """Lines for `ip` and for `bridge`; many of them fail, and none of that matters."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def some(self) -> tuple[list[str], list[str]]:
        links, entries = [], []
        for _ in range(CHANGES):
            if self._random.random() < 0.08:
                links += self._link()
            else:
                entries.append(self._entry())
        return links, entries

    def _link(self) -> list[str]:
        device = self._random.choice(("vx4", "vx6"))
        port = self._random.choice(("p0", "p1"))
        return self._random.choice(
            (
                [f"link set {device} down", f"link set {device} up"],
                [f"link set {device} down"],
                [f"link set {device} up"],
                [f"link set {device} nomaster"],
                [f"link set {device} master br0"],
                [f"link set {port} nomaster"],
                [f"link set {port} master br0"],
            )
        )

    def _entry(self) -> str:
        device = self._random.choice(("vx4", "vx6"))
        family = FAMILY[device]
        mac, vtep = self._random.choice(MACS), self._random.choice(VTEPS[family])
        how = self._random.choice(("extern_learn", "static", "dynamic"))
        port = self._random.choice(("p0", "p1", "vx4", "vx6"))
        return self._random.choice(
            (
                f"fdb replace {mac} dev {device} dst {vtep} self {how}",
                f"fdb replace {mac} dev {device} master {how}",
                f"fdb replace {mac} dev {port} master {how}",
                f"fdb del {mac} dev {device} self",
                f"fdb del {mac} dev {port} master",
                f"fdb append {NOBODY} dev {device} dst {vtep} self permanent",
                f"fdb del {NOBODY} dev {device} dst {vtep} self",
            )
        )


def made(bench: Bench) -> dict[str, Segment]:
    core, ports = bench.ports["core"], [bench.ports["p0"], bench.ports["p1"]]
    return {
        device: Segment.made(
            bench, core, ports, family=family, vni=VNI[family], device=device, vteps=()
        )
        for device, family in FAMILY.items()
    }


def compare(bench: Bench, segments: dict[str, Segment]) -> None:
    bench.settle()
    fdb = Fdb(bench)
    status = {one.vni: one for one in bench.client.status().segments}
    active = {device for device, one in segments.items() if status[one.vni].active}
    (bridge,) = {one.wanted.bridge for one in segments.values()}
    if has_port(bench):
        found = [key(place) for place in bench.client.locate(bridge, MACS)]
        assert found == [fdb.place(mac, active) for mac in MACS]
    for device, segment in segments.items():
        seen = status[segment.vni]
        vteps = fdb.vteps(device) if seen.active else []
        lists = fdb.vteps(device, NOBODY) if seen.active else []
        assert (seen.vteps, seen.floods) == (len(set(vteps)), len(lists)), device
        assert seen.stations == sum(
            fdb.place(mac, active)[:2] == (PlaceKind.TUNNEL, segment.wanted.ifindex) for mac in MACS
        )


def has_port(bench: Bench) -> bool:
    """Whether the bridge has one of the worker's; else the worker has no bridge."""
    links = json.loads(bench.run("ip", "-j", "link"))
    return any(one.get("master") == "br0" for one in links if one["ifname"] in ("p0", "p1"))


def key(place: Place) -> tuple[PlaceKind, int, str]:
    return place.kind, place.ifindex, place.vtep


@pytest.mark.parametrize("seed", [1, 3])
def test_tables_say_what_the_kernel_says(bench: Bench, seed: int) -> None:
    for device in ("br0", *FAMILY):
        namespaces.run(["ip", "-n", bench.gw, "link", "del", device], check=False)
    segments = made(bench)
    stretch(bench, *segments.values())
    changes = Changes(seed)
    tunnels = 0
    for number in range(ROUNDS):
        links, entries = changes.some()
        bridge = [*namespaces.inside(bench.gw, ["bridge"]), "-force", "-batch", "-"]
        namespaces.run(bridge, stdin="\n".join(entries) + "\n", check=False)
        try_all(bench.gw, links)
        if number % 8 == 7:
            # A device that is made anew is another one; the agent says so.
            bench.ip("link del vx4")
            segments |= {"vx4": made_again(bench, segments["vx4"])}
            bench.client.set_segments([one.wanted for one in segments.values()])
        compare(bench, segments)
        if number % 3 == 2:
            # Lest most is down, or elsewhere, most of the time.
            bench.ip(*(f"link set {one} master br0 up" for one in ("p0", "vx4", "vx6")))
            compare(bench, segments)
        tunnels += sum(one.stations for one in bench.client.status().segments)
    assert tunnels > 10, "they were seldom behind VTEPs: what was compared?"


def made_again(bench: Bench, before: Segment) -> Segment:
    bench.ip(
        f"link add vx4 mtu {MTU} type vxlan id {before.vni} dstport {PORT} local {LOCAL[4]}",
        "link set vx4 master br0",
        "link set vx4 up",
    )
    return replace(before, wanted=replace(before.wanted, ifindex=ifindex(bench, "vx4")))
