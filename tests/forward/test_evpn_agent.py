# SPDX-License-Identifier: GPL-2.0-or-later
"""Two gateways that tell each other of their stations: the real agents, each with its gobgpd."""

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from hybrid_gateway.evpn.entries import ROUTE_PROTOCOL
from hybrid_gateway.lab import leftovers
from hybrid_gateway.lab.segment import configuration, evpn_section
from hybrid_gateway.lab.sites import ACCESS, BRIDGE, VNI, VXLAN, Family, Kind, Site
from tests.interop.three import Three, standing
from tests.lib.gateway import eventually

KINDS = (Kind.XDP, Kind.WORKER, Kind.KERNEL)
"""The third takes no part: nobody tells it anything."""
OURS = (Site(1, Kind.XDP), Site(2, Kind.WORKER))
MEET_SECONDS = 30.0
"""gobgpd takes its time until it calls again somebody who was not there."""
EVERYWHERE = "00:00:00:00:00:00"
PREFIX = "10.99.0.0/16"


def section(site: Site) -> str:
    return evpn_section(site, [other for other in OURS if other != site]) if site in OURS else ""


@dataclass(frozen=True, slots=True)
class Pair:
    """The two that stand."""

    three: Three

    def show(self, number: int, *what: str) -> Any:
        """As `gwctl show evpn` has it, which takes its time to start."""
        if not what:
            return self.three.gateways[number].call("show.evpn")
        return self.three.gateways[number].call(f"show.evpn.{what[0]}", cursor=0, limit=100)

    def macs(self, number: int) -> dict[str, dict[str, Any]]:
        """Stations of the two hosts, by address."""
        mine = {self.three.mac(site.number) for site in OURS}
        return {one["mac"]: one for one in self.show(number, "macs")["macs"] if one["mac"] in mine}

    def state(self, number: int) -> str:
        return str(self.show(number)["summary"]["state"])

    def synchronized(self, number: int) -> bool:
        return self.state(number) == "synchronized"

    def knows(self, number: int) -> bool:
        """Of both hosts, where they are; its kernel, too."""
        other = 3 - number
        found = self.macs(number)
        told = {mac: one["state"] for mac, one in found.items()}
        wanted = {self.three.mac(number): "local", self.three.mac(other): "remote"}
        return told == wanted and self.entered(number)

    def entered(self, number: int) -> bool:
        """The kernel has the other's station, and floods to its VTEP."""
        other = 3 - number
        return "extern_learn" in self.three.fdb(
            number, self.three.mac(other)
        ) and self.three.floods(number) == {self.three.vtep(other)}

    def alone(self, number: int) -> bool:
        """Nothing of the other is left in the kernel."""
        other = 3 - number
        return not self.three.floods(number) and not self.three.fdb(number, self.three.mac(other))

    def joined(self) -> None:
        """Whatever was before."""
        self.running()
        for number in self.three.daemons:
            self.until(partial(self.synchronized, number), f"site {number} is synchronized")
        self.three.met(1, 2)
        for number in self.three.daemons:
            self.until(partial(self.knows, number), f"site {number} knows both stations")

    def running(self) -> None:
        for number, daemon in self.three.daemons.items():
            assert daemon.running
            gateway = self.three.gateways[number]
            if not gateway.process.running:
                gateway.start()

    def until(self, check: Callable[[], bool], what: str) -> None:
        eventually(check, what, MEET_SECONDS)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    directory = tmp_path_factory.mktemp("evpn")
    name = f"e{os.getpid()}"
    with standing(name, directory, KINDS, Family.IPV6, section=section) as three:
        yield Pair(three)


@pytest.fixture
def pair(built: Pair) -> Iterator[Pair]:
    built.joined()
    with built.three.watched():
        yield built


# ---- what is told -----------------------------------------------------------------------


@pytest.mark.parametrize("number", [1, 2])
def test_what_is_shown(pair: Pair, number: int) -> None:
    other = 3 - number
    gateway = pair.three.gateways[number]
    shown = gateway.ctl_json("show", "evpn")

    assert shown["summary"] | {"since": 0} == {
        "daemon": "gobgp",
        "state": "synchronized",
        "since": 0,
        "error": None,
        "neighbors": 1,
        "established": 1,
        "vnis": 1,
        "macs_local": 1,
        "macs_remote": 1,
        "duplicates": 0,
    }
    (neighbor,) = shown["neighbors"]
    assert (neighbor["address"], neighbor["state"]) == (pair.three.vtep(other), "established")
    assert shown["refused"] == []
    assert shown["kernel_failures"] == 0
    (vni,) = shown["vnis"]
    assert (vni["vni"], vni["device"], vni["bridge"]) == (VNI, VXLAN, BRIDGE)
    assert (vni["local"], vni["up"], vni["vteps"]) == (pair.three.vtep(number), True, 1)
    here, there = (pair.macs(number)[pair.three.mac(n)] for n in (number, other))
    assert (here["state"], here["port"], here["vtep"]) == ("local", ACCESS, None)
    assert (there["state"], there["port"], there["vtep"]) == (
        "remote",
        None,
        pair.three.vtep(other),
    )
    assert gateway.ctl_json("show", "evpn", "vteps")["vteps"] == [
        {"vni": VNI, "address": pair.three.vtep(other), "flood": True, "macs": 1}
    ]
    listed = gateway.ctl_json("show", "evpn", "macs")["macs"]
    assert {here["mac"], there["mac"]} <= {one["mac"] for one in listed}
    assert gateway.ctl_json("status")["warnings"] == []
    assert gateway.ctl_json("plan")["steps"] == []


def test_who_forwards(pair: Pair) -> None:
    """Not the kernel; and each says which data path it is."""
    for number, plane in ((1, "xdp"), (2, "worker")):
        gateway = pair.three.gateways[number]
        (segment,) = gateway.ctl_json("show", "vxlan")["segments"]
        assert (segment["forwards"], segment["reason"]) == (plane, None)
        stations = gateway.ctl_json("show", "fdb", "--mac", "02:00:c6")["fdb"]
        assert {station["plane"] for station in stations} == {plane}
    counts = {number: pair.three.counting(number) for number in (1, 2)}
    assert pair.three.pinged(1, 2, 10) == 10
    for count in counts.values():
        count.expect_some(VXLAN_ENCAP=10, VXLAN_DECAP=10)


def test_full_frames_and_copies(pair: Pair) -> None:
    assert pair.three.pinged_full(1, 2) == 10
    assert pair.three.pinged_full(2, 1) == 10
    pair.three.copies(1, 2, 2_000_000)


# ---- what comes and goes ----------------------------------------------------------------


@pytest.mark.parametrize(("number", "end"), [(1, "stop"), (2, "kill")])
def test_the_agent_is_not_missed(pair: Pair, number: int, end: str) -> None:
    """Frames pass while it is away, no session ends, and the next one knows what this one knew."""
    gateway, other = pair.three.gateways[number], 3 - number
    flaps = [one["flaps"] for one in pair.show(other)["neighbors"]]
    getattr(gateway.process, end)()
    assert pair.entered(number)
    assert pair.three.pinged(1, 2, 3) == 3

    gateway.start()
    assert pair.entered(number)
    pair.until(partial(pair.synchronized, number), "it has found its daemon again")
    pair.until(partial(pair.knows, number), "it knows both stations")
    assert pair.knows(other)
    assert [one["flaps"] for one in pair.show(other)["neighbors"]] == flaps


def test_the_daemon_is_killed(pair: Pair) -> None:
    """Its neighbours keep what they heard; the agent says what is missing, and tells the next."""
    number = 2
    daemon, gateway = pair.three.daemons[number], pair.three.gateways[number]
    daemon.leave()
    daemon.crash()
    pair.until(lambda: pair.state(number) == "connecting", "it is missed")
    (warning,) = gateway.ctl_json("status")["warnings"]
    assert warning.startswith("EVPN: gobgpd ")
    assert gateway.ctl_json("status")["state"] == "forwarding"
    assert pair.entered(number)
    assert pair.entered(3 - number)
    assert pair.three.pinged(1, 2, 3) == 3

    daemon.keep()
    pair.joined()
    assert gateway.ctl_json("status")["warnings"] == []


def test_the_worker_is_killed(pair: Pair) -> None:
    """The next one is given the segment again, and forwards by what the kernel has kept."""
    gateway = pair.three.gateways[2]
    (before,) = leftovers.worker_pids(gateway.instance.name)
    os.kill(before, signal.SIGKILL)

    def forwards() -> bool:
        (segment,) = gateway.call("show.vxlan", cursor=0, limit=100)["segments"]
        return leftovers.worker_pids(gateway.instance.name) != [before] and (
            segment["forwards"] == "worker"
        )

    pair.until(forwards, "the next worker has the segment")
    pair.until(partial(pair.entered, 2), "the kernel knows the other's station")
    pair.three.met(1, 2)
    counts = pair.three.counting(2)
    assert pair.three.pinged(1, 2, 5) == 5
    counts.expect_some(VXLAN_ENCAP=5, VXLAN_DECAP=5)


def test_a_link_that_goes_down(pair: Pair) -> None:
    """Its station is not announced any more, and is again when it speaks."""
    host = pair.three.site(1).gateway
    pair.three.lab.run(host, ["ip", "link", "set", ACCESS, "down"])
    try:
        gone = pair.three.mac(1)
        pair.until(lambda: gone not in pair.macs(2), "the other site has forgotten it")
        pair.until(lambda: not pair.three.fdb(2, gone), "so has its kernel")
    finally:
        pair.three.lab.run(host, ["ip", "link", "set", ACCESS, "up"])


def test_a_prefix_comes_and_goes(pair: Pair) -> None:
    """Of the main table: announced while there is a route for it, and a route at the other site."""
    sites = {number: pair.three.site(number) for number in (1, 2)}
    prefixes = {1: f"{{vni: {VNI}, advertise: [{PREFIX}]}}", 2: f"{{vni: {VNI}}}"}
    for number, site in sites.items():
        text = f"{section(site)}  prefixes: [{prefixes[number]}]\n"
        pair.three.gateways[number].apply(configuration(site, text))

    def routed() -> bool:
        argv = ["ip", "route", "show", PREFIX, "proto", str(ROUTE_PROTOCOL)]
        return BRIDGE in pair.three.lab.run(sites[2].gateway, argv)

    pair.joined()
    assert pair.show(1, "prefixes")["prefixes"] == []
    route = [PREFIX, "dev", "lo"]
    pair.three.lab.run(sites[1].gateway, ["ip", "route", "add", *route])
    try:
        pair.until(routed, "the other site has the route")
        (there,) = pair.show(2, "prefixes")["prefixes"]
        assert (there["vni"], there["prefix"]) == (VNI, PREFIX)
        assert there["vtep"] == pair.three.vtep(1)
        (here,) = pair.show(1, "prefixes")["prefixes"]
        assert here["vtep"] is None
    finally:
        pair.three.lab.run(sites[1].gateway, ["ip", "route", "del", *route])
    pair.until(lambda: not routed(), "the other site has it no more")
    for number, site in sites.items():
        pair.three.gateways[number].apply(configuration(site, section(site)))


def test_the_section_goes_and_comes_back(pair: Pair) -> None:
    gateway = pair.three.gateways[2]
    site = pair.three.site(2)
    gateway.apply(configuration(site))
    assert pair.alone(2)
    assert pair.show(2)["summary"] is None
    pair.until(lambda: pair.alone(1), "the other site has forgotten it")

    gateway.apply(configuration(site, section(site)))
    pair.joined()


def test_a_segment_goes_and_comes_back(pair: Pair) -> None:
    """The VXLAN device is down, with nothing else changed."""
    site = pair.three.site(1).gateway
    pair.three.lab.run(site, ["ip", "link", "set", VXLAN, "down"])
    try:
        pair.until(lambda: pair.alone(2), "the other site has forgotten it")
        assert pair.show(1)["vnis"] == []
    finally:
        pair.three.lab.run(site, ["ip", "link", "set", VXLAN, "up"])


def test_detach_leaves_nothing_behind(pair: Pair) -> None:
    gateway = pair.three.gateways[2]
    gateway.ctl("detach")
    assert pair.alone(2)
    pair.until(lambda: pair.alone(1), "the other site has forgotten it")


def test_what_is_frrs_is_mirrored(built: Pair) -> None:
    """With `daemon: frr` nobody is told anything; what is in the kernel, whoever put it there, is
    forwarded by, and stays. No session is needed, and none waited for."""
    pair = built
    gateway, site = pair.three.gateways[2], pair.three.site(2)
    pair.running()
    gateway.apply(configuration(site, "evpn: {daemon: frr}\n"))
    assert pair.show(2)["summary"]["daemon"] == "frr"
    assert pair.alone(2)
    vtep, station = pair.three.vtep(1), pair.three.mac(1)
    entries = (
        f"append {EVERYWHERE} dev {VXLAN} dst {vtep} self permanent",
        f"add {station} dev {VXLAN} dst {vtep} self extern_learn",
        f"add {station} dev {VXLAN} master extern_learn",
    )
    for entry in entries:
        pair.three.lab.run(site.gateway, ["bridge", "fdb", *entry.split()])
    try:
        # The other end is told of nobody any more: the owner says it there, too.
        back = f"append {EVERYWHERE} dev {VXLAN} dst {pair.three.vtep(2)} self permanent"
        pair.three.lab.run(pair.three.site(1).gateway, ["bridge", "fdb", *back.split()])
        pair.three.met(2, 1)
        counts = pair.three.counting(2)
        assert pair.three.pinged(2, 1, 5) == 5
        counts.expect_some(VXLAN_ENCAP=5)
    finally:
        gone = back.replace("append", "del").removesuffix(" permanent")
        pair.three.lab.run(pair.three.site(1).gateway, ["bridge", "fdb", *gone.split()])
        for entry in entries:
            _, mac, _, device, *rest = entry.split()
            place = ["master"] if "master" in rest else [*rest[: rest.index("self")], "self"]
            pair.three.lab.run(
                site.gateway, ["bridge", "fdb", "del", mac, "dev", device, *place], check=False
            )
        gateway.apply(configuration(site, section(site)))
