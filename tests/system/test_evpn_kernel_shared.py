# SPDX-License-Identifier: GPL-2.0-or-later
"""VXLAN devices that are ports of one bridge, and one that is made anew."""

from contextlib import ExitStack
from dataclasses import replace

import pytest

from hybrid_gateway.evpn.entries import Binding, LocalBinding, LocalStation, RemoteMac
from hybrid_gateway.model import Segment
from tests.system.evpn_site import FAR, VNI, Follower, Site, mac

from .test_evpn_kernel_local import HOST, STATION, speak, station

BESIDE = 551
REMOTE = RemoteMac(VNI, mac(STATION), FAR[4])


@pytest.fixture
def site(stack: ExitStack) -> Site:
    """Another VXLAN device is a port of br550."""
    made = Site(stack)
    made.ip(
        f"link add vx551 type vxlan id {BESIDE} local 192.0.2.1 dstport 4789 nolearning",
        "link set vx551 master br550 addrgenmode none",
        "link set vx551 up",
    )
    return made


def segments(site: Site) -> list[Segment]:
    first = site.segment(VNI)
    return [first, replace(first, ifindex=site.index("vx551"), name="vx551", vni=BESIDE)]


@pytest.fixture
def follower(site: Site, stack: ExitStack) -> Follower:
    opened = Follower(stack)
    opened.follow(segments(site))
    return opened


def both() -> set[object]:
    return {station("p0"), station("p0", BESIDE)}


def test_a_station_is_told_of_for_each_vni_of_its_bridge(site: Site, follower: Follower) -> None:
    site.ip(f"neigh add {HOST} lladdr {STATION} dev br550 nud stale")
    speak("h0")
    bindings = {LocalBinding(vni, HOST, mac(STATION)) for vni in (VNI, BESIDE)}
    follower.until(lambda: follower.facts() == both() | bindings, "each has it")

    follower.follow(segments(site)[:1])
    assert follower.facts() == {station("p0"), LocalBinding(VNI, HOST, mac(STATION))}

    site.ip("link set p0 down", f"neigh del {HOST} dev br550")
    follower.until(lambda: not follower.facts(), "it is gone")


def test_a_station_that_leaves_by_one_vni_leaves_the_other(follower: Follower) -> None:
    speak("h0")
    follower.until(lambda: follower.facts() == both(), "each has it")

    assert follower.put([REMOTE]) == []
    follower.until(lambda: not follower.facts(), "it is behind a VTEP of one")

    speak("h0")
    follower.until(lambda: follower.facts() == both(), "it is back")


def test_an_address_of_two_vnis_stays_for_one(site: Site, follower: Follower) -> None:
    bindings = [Binding(vni, HOST, mac(STATION)) for vni in (VNI, BESIDE)]
    follower.kernel.put(bindings)
    assert follower.kernel.found() == frozenset()

    follower.kernel.delete(bindings[1:])
    follower.until(lambda: site.neighbours("br550"), "it is put back for the other")
    assert follower.kernel.found() == frozenset()

    follower.kernel.delete(bindings[:1])
    assert site.neighbours("br550") == []


def test_stations_are_told_again_when_a_device_is_made_anew(site: Site, follower: Follower) -> None:
    """Whoever is told has forgotten them: they are of another segment."""
    speak("h0")
    follower.until(lambda: follower.facts() == both(), "it is learned")
    site.ip("link del vx550")
    site.make(VNI)
    follower.changes.clear()

    follower.follow(segments(site))

    assert follower.facts() == {station("p0")}
    assert isinstance(follower.changes[0].fact, LocalStation)
