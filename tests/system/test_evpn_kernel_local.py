# SPDX-License-Identifier: GPL-2.0-or-later
"""What EVPN hears from the kernel, what it puts back there, and what it finds after a restart."""

import select
import socket
from contextlib import ExitStack
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from hybrid_gateway.evpn.entries import (
    Binding,
    FloodEntry,
    KernelEntry,
    LocalBinding,
    LocalChange,
    LocalStation,
    PrefixEntry,
    RemoteMac,
)
from hybrid_gateway.lab import namespaces
from hybrid_gateway.model import IPAddress
from tests.system.evpn_site import (
    FAR,
    OTHER,
    ROUTED,
    VNI,
    VNI6,
    Follower,
    Site,
    mac,
)

STATION, SECOND = "02:00:00:00:00:99", "02:00:00:00:00:98"
ROUTER = "02:00:00:00:0a:01"
HOST, HOST6 = ip_address("10.55.0.9"), ip_address("2001:db8:55::9")
REMOTE = RemoteMac(VNI, mac(STATION), FAR[4])
PREFIX = PrefixEntry(ip_network("10.77.0.0/16"), ROUTED, FAR[4], mac(ROUTER))
ENTRIES: tuple[KernelEntry, ...] = (
    REMOTE,
    RemoteMac(VNI6, mac(STATION), FAR[6]),
    FloodEntry(VNI, FAR[4]),
    FloodEntry(VNI6, FAR[6]),
    FloodEntry(VNI6, OTHER[6]),
    Binding(VNI, HOST, mac(STATION)),
    Binding(VNI, HOST6, mac(STATION), router=True),
)


@pytest.fixture
def site(stack: ExitStack) -> Site:
    return Site(stack)


@pytest.fixture
def follower(site: Site, stack: ExitStack, tmp_path: Path) -> Follower:
    opened = Follower(stack, tmp_path / "floods")
    opened.follow(site.segments())
    return opened


def index(device: str) -> int:
    return socket.if_nametoindex(device)


def station(device: str = "p0", vni: int = VNI, static: bool = False) -> LocalStation:
    return LocalStation(vni, mac(STATION), index(device), static)


def speak(device: str, source: str = STATION) -> None:
    """A broadcast from behind a port."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
        wire.bind((device, 0))
        wire.send(bytes.fromhex("ff" * 6) + mac(source) + bytes.fromhex("88b5") + bytes(46))


def everything(site: Site) -> list[object]:
    """Of ours, as the kernel's tools show it."""
    shown: list[object] = [site.floods("vx550"), site.floods("vx660"), site.routes()]
    for device in ("vx550", "vx660", "vx5000"):
        shown += [site.macs(device, STATION), site.macs(device, ROUTER)]
    return [*shown, *(site.neighbours(device) for device in ("br550", "br660", "br5000"))]


# ---- stations ---------------------------------------------------------------------------


def test_a_station_is_learned_moves_and_goes(site: Site, follower: Follower) -> None:
    site.ip("link add p1 type veth peer name h1", "link set p1 master br550")
    site.quiet("1")
    speak("h0")
    follower.until(lambda: follower.changes, "it is learned")
    follower.until(
        lambda: "forwarding" in site.run("bridge", "-d", "link", "show", "dev", "p1"), "up"
    )
    speak("h1")
    follower.until(lambda: len(follower.changes) == 2, "it moved")
    site.ip("link set p1 down")
    follower.until(lambda: len(follower.changes) == 3, "it is gone")

    assert follower.changes == [
        LocalChange(station("p0")),
        LocalChange(station("p1")),
        LocalChange(station("p1"), gone=True),
    ]


def test_a_link_that_goes_down_takes_its_stations(site: Site, follower: Follower) -> None:
    speak("h6")
    follower.until(lambda: follower.facts() == {station("p6", VNI6)}, "it is learned")
    site.ip("link set h6 down")
    follower.until(lambda: not follower.facts(), "it is gone")


def test_what_was_there_is_told_first(site: Site, stack: ExitStack) -> None:
    site.bridge(
        f"fdb add {STATION} dev p0 master static",
        # The host's own address is no station, and neither is a group's.
        f"fdb add {SECOND} dev p6 master local",
    )
    site.ip(f"neigh add {HOST} lladdr {STATION} dev br550 nud stale")
    follower = Follower(stack)
    follower.follow(site.segments())

    binding = LocalBinding(VNI, HOST, mac(STATION))
    assert follower.facts() == {station("p0", static=True), binding}


def test_what_is_behind_vxlan_devices_is_not_ours(site: Site, follower: Follower) -> None:
    """Whoever put it there."""
    follower.kernel.put([REMOTE])
    site.bridge(
        f"fdb add {SECOND} dev vx550 dst {FAR[4]} self",
        f"fdb add {SECOND} dev vx550 master static",
        f"fdb add {STATION} dev p6 master static",
    )
    follower.until(lambda: follower.changes, "the last one was told of")
    assert follower.facts() == {station("p6", VNI6, static=True)}


def test_a_remote_station_comes_here_and_goes_back(site: Site, follower: Follower) -> None:
    """The kernel says when it is heard here. It is not put back behind its VTEP by itself; once
    it is put again it is no station of ours, until it is heard the next time."""
    follower.kernel.put([REMOTE])
    speak("h0")
    follower.until(lambda: follower.changes, "it was heard")
    assert follower.changes == [LocalChange(station("p0"))]
    assert len(site.macs("p0", STATION)) == 1

    assert follower.kernel.put([REMOTE]) == []
    assert not site.macs("p0", STATION)
    assert len(site.macs("vx550", STATION)) == 2
    speak("h0")
    follower.until(lambda: len(follower.changes) > 1, "it was heard again")
    assert follower.changes == [LocalChange(station("p0"))] * 2


def test_a_sticky_station_is_not_heard_here(site: Site, follower: Follower) -> None:
    follower.kernel.put([RemoteMac(VNI, mac(STATION), FAR[4], sticky=True)])
    speak("h0")
    speak("h0", SECOND)
    follower.until(lambda: follower.changes, "the second was heard")
    assert [change.fact.mac for change in follower.changes] == [mac(SECOND)]
    assert not site.macs("p0", STATION)


def test_a_remote_station_is_back_when_the_local_one_aged(site: Site, follower: Follower) -> None:
    follower.kernel.put([REMOTE])
    speak("h0")
    follower.until(lambda: follower.changes, "it was heard")
    site.bridge(f"fdb del {STATION} dev p0 master")
    follower.until(lambda: len(site.macs("vx550", STATION)) == 2, "it is back")
    assert follower.facts() == set()


# ---- neighbours -------------------------------------------------------------------------


@pytest.mark.parametrize(("address", "router"), [(HOST, False), (HOST6, True)])
def test_neighbours_are_bindings(
    site: Site, follower: Follower, address: IPAddress, router: bool
) -> None:
    flag = " router" if router else ""
    site.ip(f"neigh add {address} lladdr {STATION} dev br550 nud reachable{flag}")
    follower.until(lambda: follower.changes, "it is told of")
    site.ip(f"neigh change {address} lladdr {SECOND} dev br550 nud reachable{flag}")
    follower.until(lambda: len(follower.changes) == 2, "it has another MAC address")
    # Not sure of it: still there.
    site.ip(f"neigh change {address} lladdr {SECOND} dev br550 nud stale{flag}")
    site.ip(f"neigh del {address} dev br550")
    follower.until(lambda: len(follower.changes) == 3, "it is gone")

    first = LocalBinding(VNI, address, mac(STATION), router)
    second = LocalBinding(VNI, address, mac(SECOND), router)
    assert follower.changes == [
        LocalChange(first),
        LocalChange(second),
        LocalChange(second, gone=True),
    ]


def test_neighbours_that_do_not_answer_are_none(site: Site, follower: Follower) -> None:
    namespaces.run(["ip", "netns", "exec", site.name, "ping", "-c1", "-W1", str(HOST)], check=False)
    site.ip(f"neigh add {HOST6} lladdr {STATION} dev br550 nud reachable")
    follower.until(lambda: follower.changes, "the other one is told of")
    assert follower.facts() == {LocalBinding(VNI, HOST6, mac(STATION))}


def test_our_own_neighbours_are_not_told_of(site: Site, follower: Follower) -> None:
    follower.kernel.put([*ENTRIES, PREFIX])
    site.ip(f"neigh add 10.55.0.8 lladdr {STATION} dev br550 nud reachable")
    follower.until(lambda: follower.changes, "the other one is told of")
    assert follower.facts() == {LocalBinding(VNI, ip_address("10.55.0.8"), mac(STATION))}


# ---- what goes is put back --------------------------------------------------------------


def test_what_somebody_flushed_is_back(site: Site, follower: Follower) -> None:
    follower.kernel.put([*ENTRIES, PREFIX])
    before = everything(site)
    site.ip(*(f"neigh flush dev {device} nud noarp" for device in ("br550", "br5000")))
    site.bridge(
        f"fdb del {STATION} dev vx550 self",
        f"fdb del {STATION} dev vx660 master",
        f"fdb del 00:00:00:00:00:00 dev vx660 dst {FAR[6]} self",
        f"fdb del {ROUTER} dev vx5000 self",
    )
    assert everything(site) != before
    follower.until(lambda: everything(site) == before, "all of it is there again")
    assert follower.refused == []


def test_routes_that_somebody_flushed_are_back(
    site: Site, follower: Follower, stack: ExitStack
) -> None:
    """systemd-networkd does so with what it does not know, on devices of its own."""
    entries = [
        PREFIX,
        PrefixEntry(ip_network("0.0.0.0/0"), ROUTED, FAR[4], mac(ROUTER)),
        PrefixEntry(ip_network("2001:db8:77::/48"), ROUTED, FAR[4], mac(ROUTER)),
        PrefixEntry(PREFIX.prefix, ROUTED, FAR[4], mac(ROUTER), table=1077),
    ]
    follower.kernel.put(entries)
    before = site.routes(), site.routes("1077")
    # Also those that are from before a restart.
    follower = Follower(stack)
    follower.follow(site.segments())
    assert follower.kernel.put(entries) == []
    for family in ("-4", "-6"):
        site.run("ip", family, "route", "flush", "table", "all", "proto", "179")
    assert (site.routes(), site.routes("1077")) == ([], [])
    follower.until(lambda: (site.routes(), site.routes("1077")) == before, "they are back")
    # What we delete ourselves stays away.
    follower.kernel.delete(entries)
    site.ip(f"neigh add {HOST} lladdr {STATION} dev br550 nud reachable")
    follower.until(lambda: follower.changes, "all of it was heard")
    assert (site.routes(), site.routes("1077")) == ([], [])
    assert site.neighbours("br5000") == []


def test_routes_of_others_are_not_listened_to(site: Site, follower: Follower) -> None:
    follower.kernel.read()
    before = follower.kernel.status
    assert before
    site.ip(*(f"route add 10.{i}.0.0/16 via 10.55.0.77" for i in range(100, 200)))
    site.ip(f"neigh add {HOST} lladdr {STATION} dev br550 nud reachable")
    follower.until(lambda: follower.changes, "all of it was heard")
    assert follower.kernel.status
    assert follower.kernel.status.messages < before.messages + 100


@pytest.mark.parametrize("devices", ["vx550 vx660 vx5000", "br550 br660 br5000"])
def test_devices_go_down_and_up(site: Site, follower: Follower, devices: str) -> None:
    follower.kernel.put([*ENTRIES, PREFIX])
    before = everything(site)
    site.ip(*(f"link set {device} down" for device in devices.split()))
    follower.until(lambda: not select.select([follower.kernel], [], [], 0)[0], "all was heard")
    site.ip(*(f"link set {device} up" for device in devices.split()))
    follower.until(lambda: everything(site) == before, "all of it is there again")
    assert follower.refused == []


def test_a_device_is_made_anew(site: Site, follower: Follower) -> None:
    follower.kernel.put([*ENTRIES, PREFIX])
    before = everything(site)
    site.ip("link del vx550", "link del vx660", "link del vx5000")
    for vni in (VNI, VNI6, ROUTED):
        site.make(vni)
    follower.follow(site.segments())
    assert everything(site) == before
    assert follower.refused == []


def test_a_segment_goes_and_comes_back(site: Site, follower: Follower) -> None:
    site.bridge(f"fdb add {SECOND} dev p0 master static")
    follower.kernel.put(ENTRIES)
    before = everything(site)
    mine = LocalStation(VNI, mac(SECOND), index("p0"), static=True)
    follower.until(lambda: follower.facts() == {mine}, "it is told of")

    follower.follow(site.segments(VNI6, ROUTED))
    assert follower.facts() == set()
    assert site.floods("vx550") == set()
    follower.follow(site.segments())
    assert follower.facts() == {mine}
    assert everything(site) == before


# ---- restart ----------------------------------------------------------------------------


def test_after_a_restart_what_is_ours_is_found(
    site: Site, follower: Follower, stack: ExitStack, tmp_path: Path
) -> None:
    site.bridge(
        "fdb append 00:00:00:00:00:00 dev vx550 dst 192.0.2.77",
        f"fdb add {SECOND} dev vx550 dst 192.0.2.77 self",
        f"fdb add {SECOND} dev vx550 master static",
    )
    site.ip(
        f"neigh add 10.55.0.7 lladdr {SECOND} dev br550 nud permanent",
        "route add 10.99.0.0/16 via 10.55.0.7",
    )
    owners = everything(site), site.fdb("vx550"), site.run("ip", "route")
    follower.kernel.put([*ENTRIES, PREFIX])
    ours = everything(site)
    again = Follower(stack, tmp_path / "floods")
    again.follow(site.segments())

    # The way to the router of the prefix is listed as what it is in the kernel.
    way = RemoteMac(ROUTED, mac(ROUTER), FAR[4]), Binding(ROUTED, FAR[4], mac(ROUTER), router=True)
    found = again.kernel.found()
    assert {entry.key for entry in found} == {e.key for e in (*ENTRIES, PREFIX, *way)}
    # What is put again is as it was, and is no find any more.
    assert again.kernel.put([*ENTRIES[1:], PREFIX]) == []
    assert everything(site) == ours
    assert again.kernel.found() == {REMOTE}

    again.kernel.delete(again.kernel.found())
    assert site.macs("vx550", STATION) == []
    again.kernel.delete([*ENTRIES, PREFIX])
    assert (everything(site), site.fdb("vx550"), site.run("ip", "route")) == owners


def test_all_that_is_found_can_be_deleted(
    site: Site, follower: Follower, stack: ExitStack, tmp_path: Path
) -> None:
    before = everything(site)
    table = PrefixEntry(PREFIX.prefix, ROUTED, FAR[4], mac(ROUTER), table=1077)
    follower.kernel.put([*ENTRIES, PREFIX, table])
    again = Follower(stack, tmp_path / "floods")
    again.follow(site.segments())
    assert again.kernel.delete(again.kernel.found()) == []
    assert (everything(site), site.routes("1077")) == (before, [])
    assert again.kernel.found() == frozenset()
