# SPDX-License-Identifier: GPL-2.0-or-later
"""EVPN's side of the kernel with fifty thousand stations, and with events that were lost."""

import json
import socket
from contextlib import ExitStack
from ipaddress import ip_address
from pathlib import Path

import pytest

from hybrid_gateway.evpn.entries import FloodEntry, LocalStation, RemoteMac
from hybrid_gateway.model import Segment
from tests.system.evpn_site import HERE, Follower, Site, mac, small_buffers

VNIS, VTEPS, STATIONS = 64, 64, 50_000
FIRST_VNI = 20_000
STORM = 100
HOSTS = ip_address("10.200.0.0")
NEIGHBOUR = "dev wild lladdr 02:00:00:02:00:00 nud permanent"


@pytest.fixture
def site(stack: ExitStack) -> Site:
    return Site(stack)


def segments(site: Site) -> list[Segment]:
    """As many bridges with a VXLAN device each."""
    vnis = range(FIRST_VNI, FIRST_VNI + VNIS)
    site.ip(
        *(
            line
            for vni in vnis
            for line in (
                f"link add b{vni} type bridge",
                f"link add x{vni} type vxlan id {vni} local {HERE[4]} dstport 4789 nolearning",
                f"link set x{vni} master b{vni} addrgenmode none",
                f"link set x{vni} up",
            )
        )
    )
    found = {row["ifname"]: row["ifindex"] for row in json.loads(site.run("ip", "-j", "link"))}
    return [
        Segment(found[f"x{vni}"], f"x{vni}", vni, found[f"b{vni}"], f"b{vni}", 4789, 4)
        for vni in vnis
    ]


def stations() -> list[RemoteMac]:
    return [
        RemoteMac(
            FIRST_VNI + i % VNIS,
            (0x020000000000 + i).to_bytes(6),
            ip_address(f"198.51.100.{1 + i // VNIS % VTEPS}"),
        )
        for i in range(STATIONS)
    ]


def count(site: Site, *argv: str) -> int:
    """Entries of VXLAN devices that came by a control plane."""
    lines = site.run("bridge", "fdb", "show", *argv).splitlines()
    return sum("self" in line and "extern_learn" in line for line in lines)


def messages(follower: Follower) -> int:
    follower.kernel.read()
    assert follower.kernel.status
    return follower.kernel.status.messages


def test_fifty_thousand_stations(site: Site, stack: ExitStack, tmp_path: Path) -> None:
    """They are written, found again, and swept."""
    wanted = segments(site)
    entries = stations()
    floods = [
        FloodEntry(segment.vni, ip_address(f"198.51.100.{1 + i}"))
        for segment in wanted
        for i in range(VTEPS)
    ]
    follower = Follower(stack, tmp_path / "floods")
    follower.follow(wanted)
    assert follower.kernel.put([*floods, *entries]) == []
    assert count(site) == STATIONS
    # What is there as it is wanted costs nothing: not one message.
    before = messages(follower)
    assert follower.kernel.put([*floods, *entries]) == []
    assert messages(follower) == before
    assert (follower.changes, follower.refused) == ([], [])

    again = Follower(stack, tmp_path / "floods")
    again.follow(wanted)
    assert again.kernel.found() == {*floods, *entries}
    assert again.kernel.put(entries[::2]) == []
    assert again.kernel.delete(again.kernel.found()) == []
    assert count(site) == STATIONS // 2
    assert site.floods(f"x{FIRST_VNI}") == set()


def test_lost_events_are_made_good(site: Site, stack: ExitStack) -> None:
    """More happens between two looks than the kernel keeps for us."""
    site.bridge(*(f"fdb add 02:00:00:01:00:{i:02x} dev p0 master static" for i in range(8)))
    with small_buffers():
        follower = Follower(stack)
    follower.follow(site.segments())
    assert len(follower.facts()) == 8

    kept, gone = "02:00:00:01:00:00", [f"02:00:00:01:00:{i:02x}" for i in range(1, 8)]
    # Of a bridge that nobody asked for: the kernel drops what comes after them.
    site.ip("link add wild type bridge", "link set wild up")
    site.ip(*(f"neigh add {HOSTS + i} {NEIGHBOUR}" for i in range(STORM)))
    site.bridge(
        *(f"fdb del {station} dev p0 master" for station in (kept, *gone)),
        f"fdb add {kept} dev p6 master static",
    )
    follower.until(lambda: len(follower.facts()) == 1, "what is gone was told of")

    status = follower.kernel.status
    assert status
    assert status.lost
    assert status.dumps > 1
    port = socket.if_nametoindex("p6")
    assert follower.facts() == {LocalStation(660, mac(kept), port, static=True)}
