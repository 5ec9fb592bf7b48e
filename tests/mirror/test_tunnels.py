# SPDX-License-Identifier: GPL-2.0-or-later
"""Where VXLAN devices say that stations are: tunnels, and entries of gw_fdb that lead to them."""

import socket
from dataclasses import replace

import pytest

from hybrid_gateway.bpf.stations import FdbMirror
from hybrid_gateway.lab import namespaces
from hybrid_gateway.model import Df, Encapsulation, PortRange, Stations
from tests.mirror.maps import Entry, Maps, Tunnel
from tests.mirror.site import ALL_ZERO, FAR, FAR2, FAR6, LOCAL, LOCAL6, Site, settled

STATION, OTHER = "02:00:00:00:00:01", "02:00:00:00:00:02"


@pytest.fixture(params=["dump", "events"])
def order(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def tunnel_of(site: Site, maps: Maps, mac: str = STATION, bridge: str = "br0") -> int:
    return int(maps.raw(site.index(bridge), mac).tunnel)


def start(site: Site, mirror: FdbMirror) -> None:
    mirror.configure(site.wanted())
    settled(mirror)


def test_a_remote_station(site: Site, maps: Maps, mirror: FdbMirror, order: str) -> None:
    if order == "dump":
        site.remote(STATION, FAR)
    start(site, mirror)
    if order == "events":
        site.remote(STATION, FAR)
        settled(mirror)

    vx4 = site.index("vx4")
    assert maps.stations()[STATION] == Entry(vx4, FAR)
    assert maps.tunnel(tunnel_of(site, maps)) == Tunnel(vx4, 100, FAR, socket.htons(4789))
    assert maps.senders(vx4) == {FAR: FAR}


def test_the_outer_headers(site: Site, maps: Maps, mirror: FdbMirror) -> None:
    how = Encapsulation(
        ttl=9,
        tos=0xB8,
        df=Df.INHERIT,
        label=0xABCDE,
        checksum=False,
        ports=PortRange(5000, 6000),
        mtu=1450,
    )
    segment = replace(site.segment(), encapsulation=how, port=8472)
    mirror.configure(site.wanted(segment))
    site.remote(STATION, FAR)
    settled(mirror)

    value = maps.tunnels.get(tunnel_of(site, maps) - 1)
    assert value is not None
    assert bytes(value.local.bytes) == socket.inet_aton(LOCAL).ljust(16, b"\0")
    assert bytes(value.remote.bytes) == socket.inet_aton(FAR).ljust(16, b"\0")
    assert (value.ttl, value.tos, value.mtu) == (9, 0xB8, 1450)
    assert (value.port, value.port_low, value.port_high) == (socket.htons(8472), 5000, 6000)
    assert value.label == socket.htonl(0xABCDE)
    assert value.flags == 4 | 64, "GW_TUNNEL_DF_INHERIT and GW_TUNNEL_FRAGMENT"

    mirror.configure(site.wanted(replace(segment, encapsulation=replace(how, ttl=64))))
    again = maps.tunnels.get(tunnel_of(site, maps) - 1)
    assert again is not None
    assert again.ttl == 64, "changed in place"
    assert again.generation == value.generation + 1


def test_over_ipv6(site: Site, maps: Maps, mirror: FdbMirror, order: str) -> None:
    if order == "dump":
        site.remote(STATION, FAR6, "vx6")
    start(site, mirror)
    if order == "events":
        site.remote(STATION, FAR6, "vx6")
        settled(mirror)

    vx6 = site.index("vx6")
    assert maps.stations()[STATION] == Entry(vx6, FAR6)
    value = maps.tunnels.get(tunnel_of(site, maps, bridge="br6") - 1)
    assert value is not None
    assert bytes(value.local.bytes) == socket.inet_pton(socket.AF_INET6, LOCAL6)
    assert maps.senders(vx6, ipv6=True) == {FAR6: FAR6}


@pytest.mark.parametrize("first", ["self", "master"])
def test_whichever_of_the_two_comes_first(
    site: Site, maps: Maps, mirror: FdbMirror, first: str
) -> None:
    start(site, mirror)
    lines = {
        "self": f"fdb add {STATION} dev vx4 dst {FAR} self",
        "master": f"fdb add {STATION} dev vx4 master static",
    }
    site.bridge(lines.pop(first))
    settled(mirror)
    (second,) = lines.values()
    site.bridge(second)
    settled(mirror)
    assert maps.stations()[STATION] == Entry(site.index("vx4"), FAR)

    site.bridge(f"fdb del {STATION} dev vx4 {first}")
    settled(mirror)
    left = {STATION: Entry(site.index("vx4"))} if first == "self" else {}
    assert {m: e for m, e in maps.stations().items() if m == STATION} == left
    assert maps.used_tunnels() == (first == "master"), "the VTEP may still send"


def test_a_station_moves_to_another_vtep(site: Site, maps: Maps, mirror: FdbMirror) -> None:
    start(site, mirror)
    site.remote(STATION, FAR)
    settled(mirror)
    before = tunnel_of(site, maps)
    maps.mark(site.index("br0"), STATION, seen=5, used=7)
    site.remote(STATION, FAR2)
    settled(mirror)

    after = tunnel_of(site, maps)
    assert after != before, "XDP may be on its way to the old one"
    assert maps.stations()[STATION] == Entry(site.index("vx4"), FAR2, used=7)
    assert maps.senders(site.index("vx4")) == {FAR2: FAR2}
    assert maps.used_tunnels() == 1
    assert maps.generation(before) == 2, "one for the way there and one for the end"


def test_a_station_comes_to_this_side(site: Site, maps: Maps, mirror: FdbMirror) -> None:
    start(site, mirror)
    site.remote(STATION, FAR)
    site.station(STATION, "p0")
    settled(mirror)

    assert maps.stations()[STATION] == Entry(site.index("p0"))


def test_tunnels_are_shared(site: Site, maps: Maps, mirror: FdbMirror) -> None:
    start(site, mirror)
    for mac in (STATION, OTHER):
        site.remote(mac, FAR)
    settled(mirror)
    assert tunnel_of(site, maps) == tunnel_of(site, maps, OTHER)

    site.bridge(f"fdb del {STATION} dev vx4 self")
    settled(mirror)
    assert maps.stations()[OTHER].vtep == FAR
    site.bridge(f"fdb del {OTHER} dev vx4 self")
    settled(mirror)
    assert maps.used_tunnels() == 0
    assert not maps.senders(site.index("vx4"))


def test_entries_with_their_own_port_and_vni(site: Site, maps: Maps, mirror: FdbMirror) -> None:
    start(site, mirror)
    site.remote(STATION, FAR, more="port 5555 vni 321")
    settled(mirror)

    vx4 = site.index("vx4")
    assert maps.tunnel(tunnel_of(site, maps)) == Tunnel(vx4, 321, FAR, socket.htons(5555))
    (key,) = (key for key in maps.vteps.every_key() if key.ifindex == vx4)
    back = maps.vteps.get(key)
    assert key.vni == 100
    assert back is not None
    assert maps.tunnel(back.tunnel) == Tunnel(vx4, 100, FAR, socket.htons(4789))


def test_entries_that_name_a_device_are_the_kernels(
    site: Site, maps: Maps, mirror: FdbMirror
) -> None:
    start(site, mirror)
    site.remote(STATION, FAR, more="via p1")
    settled(mirror)

    assert maps.stations()[STATION] == Entry(site.index("vx4"))
    assert maps.senders(site.index("vx4")) == {FAR: FAR}


def test_without_a_local_address_sending_is_the_kernels(
    site: Site, maps: Maps, mirror: FdbMirror
) -> None:
    site.remote(STATION, FAR)
    mirror.configure(site.wanted(replace(site.segment(), local=None)))
    settled(mirror)

    assert maps.stations()[STATION] == Entry(site.index("vx4"))
    assert maps.senders(site.index("vx4")) == {FAR: None}


def test_a_single_default_destination(site: Site, maps: Maps, mirror: FdbMirror) -> None:
    """A point-to-point tunnel: the device has no entry for the station, and needs none."""
    start(site, mirror)
    site.bridge(f"fdb add {STATION} dev vx4 master static")
    site.bridge(f"fdb append {ALL_ZERO} dev vx4 dst {FAR} self")
    settled(mirror)
    assert maps.stations()[STATION] == Entry(site.index("vx4"), FAR)

    site.bridge(f"fdb append {ALL_ZERO} dev vx4 dst {FAR2} self")
    settled(mirror)
    assert maps.stations()[STATION] == Entry(site.index("vx4")), "the kernel floods to both"
    site.bridge(f"fdb del {ALL_ZERO} dev vx4 dst {FAR} self")
    settled(mirror)
    assert maps.stations()[STATION] == Entry(site.index("vx4"), FAR2)


def test_a_default_destination_by_the_devices_own_link(
    site: Site, maps: Maps, mirror: FdbMirror
) -> None:
    """`ip link add … remote A dev D` gives the entry D; the segment says that it is bound to it."""
    site.ip(f"link add vxd type vxlan id 7 local {LOCAL} remote {FAR} dev p1 dstport 4790")
    try:
        site.ip("link set vxd up", "link set vxd master br0")
        site.bridge(f"fdb add {STATION} dev vxd master static")
        port = replace(site.port("vx4"), ifindex=site.index("vxd"))
        bound = replace(
            site.segment(), ifindex=site.index("vxd"), vni=7, link=site.index("p1"), port=4790
        )
        for segment, vtep in ((bound, FAR), (replace(bound, link=0), None)):
            mirror.configure(Stations((port,), (segment,)))
            settled(mirror)
            assert maps.stations()[STATION] == Entry(site.index("vxd"), vtep)
    finally:
        site.ip("link del vxd")


def test_a_single_vxlan_device(site: Site, maps: Maps, mirror: FdbMirror) -> None:
    """Its entries name their VNI; the same station may be in several."""
    site.ip("link del vx4", "link add vx4 type vxlan external dstport 4790", "link set vx4 up")
    site.ip("link set vx4 master br0")
    site.bridge(
        f"fdb add {STATION} dev vx4 dst {FAR} src_vni 100 self",
        f"fdb add {STATION} dev vx4 dst {FAR2} src_vni 101 self",
        f"fdb add {STATION} dev vx4 master static",
        f"fdb append {ALL_ZERO} dev vx4 dst {FAR} src_vni 100 self",
    )
    mirror.configure(site.wanted(replace(site.segment(), external=True)))
    settled(mirror)
    vx4 = site.index("vx4")
    assert maps.stations()[STATION] == Entry(vx4, FAR)
    assert maps.senders(vx4) == {FAR: FAR}
    assert maps.flood(vx4) == {FAR}

    mirror.configure(site.wanted(replace(site.segment(), external=True, vni=101)))
    settled(mirror)
    assert maps.stations()[STATION] == Entry(vx4, FAR2)
    assert maps.senders(vx4) == {FAR2: FAR2}
    assert maps.flood(vx4) is None


def nexthop(command: str) -> None:
    namespaces.run(["ip", "nexthop", *command.split()])


def test_groups_of_next_hops(site: Site, maps: Maps, mirror: FdbMirror, order: str) -> None:
    vx4 = site.index("vx4")
    if order == "events":
        start(site, mirror)
    nexthop(f"add id 11 via {FAR} fdb")
    nexthop(f"add id 12 via {FAR2} fdb")
    nexthop("add id 20 group 11 fdb")
    site.bridge(f"fdb add {STATION} dev vx4 nhid 20 self")
    site.bridge(f"fdb add {STATION} dev vx4 master static")
    if order == "dump":
        start(site, mirror)
    settled(mirror)
    assert maps.stations()[STATION] == Entry(vx4, FAR), "one member is as good as an address"
    assert maps.senders(vx4) == {FAR: FAR}

    nexthop("replace id 20 group 11/12 fdb")
    settled(mirror)
    assert maps.stations()[STATION] == Entry(vx4), "of several the kernel chooses"
    assert maps.senders(vx4) == {FAR: FAR, FAR2: FAR2}, "and all of them may send"
    nexthop("del id 11")
    settled(mirror)
    assert maps.stations()[STATION] == Entry(vx4, FAR2)
    assert maps.senders(vx4) == {FAR2: FAR2}
    site.bridge(f"fdb del {STATION} dev vx4 self")
    settled(mirror)
    assert not maps.senders(vx4)
    assert maps.used_tunnels() == 0


@pytest.mark.parametrize("device", ["br0", "vx4"])
def test_a_device_is_deleted(site: Site, maps: Maps, mirror: FdbMirror, device: str) -> None:
    start(site, mirror)
    site.remote(STATION, FAR)
    site.bridge(f"fdb append {ALL_ZERO} dev vx4 dst {FAR} self")
    settled(mirror)
    vx4 = site.index("vx4")
    site.ip(f"link del {device}")
    settled(mirror)

    assert STATION not in maps.stations(), "before anybody configured anything"
    if device == "vx4":
        assert not maps.senders(vx4)
        assert maps.flood(vx4) is None
        assert maps.used_tunnels() == 0
