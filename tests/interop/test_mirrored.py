# SPDX-License-Identifier: GPL-2.0-or-later
"""`evpn: {daemon: frr}`: FRR 8.4 beside XDP ports and beside the worker programs the kernel, and
our data paths forward by that. The third site is plain Linux with gobgpd."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import permutations

import pytest

from hybrid_gateway.lab import sites
from hybrid_gateway.lab.sites import ACCESS, BRIDGE, VNI, VXLAN, Family, Kind, Site
from tests.interop import frr
from tests.interop.crossing import crossing
from tests.interop.frr import BOOKWORM, Frr
from tests.interop.peers import plain_site
from tests.interop.three import Three, standing
from tests.lib.gateway import eventually

KINDS = (Kind.XDP, Kind.WORKER, Kind.KERNEL)
MIRRORS = {1: "xdp", 2: "worker"}
"""Who forwards at the sites that have FRR."""
BOTH = [(1, 2), (2, 1)]
WAYS = [*BOTH, (1, 3), (2, 3)]
ROAMER, STICKY = "02:00:c6:12:35:01", "02:00:c6:12:35:02"
CONVERGE_SECONDS = 40.0


@dataclass(frozen=True, slots=True)
class Mirrored:
    """All that stands."""

    three: Three
    frr: dict[int, Frr]

    def agreed(self) -> bool:
        for number in (1, 2, 3):
            self.three.speak(number, self.three.mac(number))
        return all(
            f"dst {self.three.vtep(there)} " in self.three.fdb(here, self.three.mac(there))
            for here, there in permutations((1, 2, 3), 2)
        )

    def behind(self, here: int, mac: str, there: int) -> bool:
        """Whether the bridge of a site has a station behind another site's VTEP."""
        found = self.three.fdb(here, mac)
        return f"dev {VXLAN} extern_learn master" in found and (
            f"dst {self.three.vtep(there)} " in found
        )

    def forget(self, mac: str) -> None:
        """Wherever it is; FRR 8.4 leaves the VXLAN device's entry of a station that came here."""
        for site in self.three.sites:
            for place in (f"{ACCESS} master", f"{VXLAN} self"):
                argv = ["bridge", "fdb", "del", mac, "dev", *place.split()]
                self.three.lab.run(site.gateway, argv, check=False)


def section(site: Site) -> str:
    return "evpn: {daemon: frr}\n" if site.number in MIRRORS else ""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mirrored]:
    directory = tmp_path_factory.mktemp("mirrored")
    name = f"f{os.getpid()}"
    with standing(name, directory, KINDS, Family.IPV4, section=section, gobgp=False) as three:
        mirrored = Mirrored(three, {})
        with ExitStack() as stack:
            plain_site(three, 3, stack)
            for number in MIRRORS:
                site = three.site(number)
                daemon = Frr(BOOKWORM, three.lab, site, directory / f"frr{number}")
                peers = sites.peers_of(site, three.sites)
                daemon.start(frr.configuration(site, peers, Family.IPV4), stack)
                mirrored.frr[number] = daemon
            yield mirrored


@pytest.fixture
def mirrored(built: Mirrored) -> Iterator[Mirrored]:
    eventually(built.agreed, "all sites know all stations", CONVERGE_SECONDS)
    with built.three.watched():
        yield built


@pytest.mark.parametrize("number", MIRRORS)
def test_what_is_shown(mirrored: Mirrored, number: int) -> None:
    """The agent has nothing of its own in this, and says who forwards."""
    gateway = mirrored.three.gateways[number]
    shown = gateway.call("show.evpn")
    assert (shown["summary"]["daemon"], shown["neighbors"]) == ("frr", [])
    (segment,) = gateway.ctl_json("show", "vxlan")["segments"]
    assert (segment["forwards"], segment["reason"]) == (MIRRORS[number], None)
    assert segment["vteps"] == 2
    stations = {one["mac"]: one for one in gateway.ctl_json("show", "fdb")["fdb"]}
    for other in {1, 2, 3} - {number}:
        assert stations[mirrored.three.mac(other)]["plane"] == MIRRORS[number]
    assert gateway.ctl_json("status")["warnings"] == []


@pytest.mark.parametrize(("here", "there"), WAYS)
def test_we_forward(mirrored: Mirrored, here: int, there: int) -> None:
    mirrored.three.forwards(here, there)


@pytest.mark.parametrize(("here", "there"), WAYS)
def test_full_frames(mirrored: Mirrored, here: int, there: int) -> None:
    counts = mirrored.three.counting(here)
    assert mirrored.three.pinged_full(here, there) == 10
    counts.expect_some(VXLAN_CUT=10)


@pytest.mark.parametrize(("here", "there"), BOTH)
def test_a_station_moves(mirrored: Mirrored, here: int, there: int) -> None:
    """From one FRR to the other, and the frames for it with it."""
    three = mirrored.three
    three.speak(here, ROAMER)
    eventually(lambda: mirrored.behind(there, ROAMER, here), "it is at the first site")
    three.speak(there, ROAMER)
    eventually(lambda: mirrored.behind(here, ROAMER, there), "it is at the second one")
    assert ACCESS not in three.fdb(here, ROAMER)
    with crossing(three, (here, there), to=ROAMER) as (way,):
        counts = three.counting(here)
        way.burst()
        way.arrived()
        counts.expect_some(VXLAN_ENCAP=way.sent)

    def gone() -> bool:
        mirrored.forget(ROAMER)
        return not any(three.fdb(number, ROAMER) for number in (1, 2, 3))

    eventually(gone, "it is nowhere")


def test_a_station_that_never_moves(mirrored: Mirrored) -> None:
    """FRR enters it as static, and without saying that it was learned: it is a station behind a
    VTEP nevertheless."""
    three = mirrored.three
    entry = f"fdb replace {STICKY} dev {ACCESS} master sticky static"
    three.lab.run(three.site(2).gateway, ["bridge", *entry.split()])
    try:
        eventually(lambda: "sticky" in three.fdb(1, STICKY), "it is entered")

        def mirror() -> dict[str, str]:
            found = three.gateways[1].call("show.fdb", cursor=0, limit=1000)["fdb"]
            return {one["mac"]: one["plane"] for one in found}

        eventually(lambda: mirror().get(STICKY) == "xdp", "XDP knows it")
        with crossing(three, (1, 2), to=STICKY) as (way,):
            counts = three.counting(1)
            way.burst()
            way.arrived()
            counts.expect_some(VXLAN_ENCAP=way.sent)
    finally:
        mirrored.forget(STICKY)
    eventually(lambda: STICKY not in three.fdb(1, STICKY), "it is nowhere")


def test_the_worker_answers_for_what_frr_has_bound(mirrored: Mirrored) -> None:
    """A binding of the first site is a neighbour of the second one's bridge."""
    three, host = mirrored.three, mirrored.three.site(1).host
    how = f"neigh replace {host.ip} lladdr {host.mac} dev {BRIDGE} nud reachable"
    three.lab.run(three.site(1).gateway, ["ip", *how.split()])
    try:

        def bound() -> bool:
            argv = ["ip", "neigh", "show", host.ip, "dev", BRIDGE]
            return "extern_learn" in three.lab.run(three.site(2).gateway, argv)

        eventually(bound, "it is bound there, too")
        asker = three.site(2).host
        counts = three.counting(2)

        def answered() -> bool:
            three.lab.run(asker.host, ["ip", "neigh", "flush", "dev", asker.device])
            assert three.pinged(2, 1, 1) == 1
            return bool(counts.now().get("ANSWERED_ARP"))

        eventually(answered, "the worker has answered")
    finally:
        gone = f"neigh del {host.ip} dev {BRIDGE}"
        three.lab.run(three.site(1).gateway, ["ip", *gone.split()])


def test_a_neighbour_ends(mirrored: Mirrored) -> None:
    """FRR takes back what it has entered, and the data path does not go on by it."""
    three, daemon = mirrored.three, mirrored.frr[1]
    words = f"neighbor {three.vtep(2)} shutdown"
    daemon.tell("router bgp 64512", words)
    try:
        eventually(lambda: three.floods(1) == {three.vtep(3)}, "its VTEP is in the list no more")

        def vteps() -> int:
            (segment,) = three.gateways[1].call("show.vxlan", cursor=0, limit=10)["segments"]
            return int(segment["vteps"])

        eventually(lambda: vteps() == 1, "nor is it XDP's")
        assert three.pinged(1, 3) == 3
    finally:
        daemon.tell("router bgp 64512", f"no {words}")


def test_stations_of_frr(mirrored: Mirrored) -> None:
    """Each FRR has its own station at the access port, be that a device or the worker's TAP."""
    for number, daemon in mirrored.frr.items():
        other = 3 - number
        assert (
            daemon.stations(VNI).items()
            >= {
                mirrored.three.mac(number): ACCESS,
                mirrored.three.mac(other): mirrored.three.vtep(other),
            }.items()
        )
