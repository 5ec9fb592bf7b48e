# SPDX-License-Identifier: GPL-2.0-or-later
"""Stations of a bridge: which are in gw_fdb, and what becomes of what XDP wrote there."""

from dataclasses import replace

import pytest

from hybrid_gateway.bpf.stations import FdbMirror, StationFilter, StationInfo
from hybrid_gateway.model import Stations
from tests.mirror.maps import Entry, Maps
from tests.mirror.site import Site, settled

STATION, OTHER = "02:00:00:00:00:01", "02:00:00:00:00:02"


@pytest.fixture(params=["dump", "events"])
def order(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def known(mirror: FdbMirror, wanted: StationFilter | None = None) -> dict[str, StationInfo]:
    """Our own stations, by MAC address: veths announce themselves as well."""
    found, following = mirror.stations(wanted or StationFilter(mac=b"\2\0\0\0"), 0, 1000)
    assert following is None
    return {info.mac.hex(":"): info for info in found}


def ours(maps: Maps) -> dict[str, Entry]:
    return {mac: entry for mac, entry in maps.stations().items() if mac.startswith("02:00:00:00")}


@pytest.mark.parametrize(
    ("how", "state"),
    [("dynamic", "learned"), ("static", "static"), ("extern_learn", "extern")],
)
def test_a_station_is_mirrored(
    site: Site, maps: Maps, mirror: FdbMirror, order: str, how: str, state: str
) -> None:
    if order == "dump":
        site.station(STATION, "p0", how)
    mirror.configure(site.wanted())
    settled(mirror)
    if order == "events":
        site.station(STATION, "p0", how)
        settled(mirror)

    assert ours(maps) == {STATION: Entry(site.index("p0"))}
    assert known(mirror)[STATION].state == state


def test_addresses_of_the_bridge_are_no_stations(
    site: Site, maps: Maps, mirror: FdbMirror, order: str
) -> None:
    if order == "dump":
        site.bridge(f"fdb add {STATION} dev p0 master permanent")
    mirror.configure(site.wanted())
    settled(mirror)
    if order == "events":
        site.bridge(f"fdb add {STATION} dev p0 master permanent")
        site.bridge("fdb add 01:00:5e:00:00:05 dev p0 self")
        settled(mirror)

    assert not ours(maps)
    assert not known(mirror)


def test_a_station_that_becomes_the_bridges_own(site: Site, maps: Maps, mirror: FdbMirror) -> None:
    mirror.configure(site.wanted())
    site.station(STATION)
    settled(mirror)
    assert STATION in ours(maps)
    site.bridge(f"fdb replace {STATION} dev p0 master permanent")
    settled(mirror)

    assert not ours(maps)


def test_behind_a_port_without_our_program(site: Site, maps: Maps, mirror: FdbMirror) -> None:
    mirror.configure(site.wanted())
    site.station(STATION, "p1")
    settled(mirror)

    assert not ours(maps)
    assert not known(mirror)[STATION].xdp

    ports = tuple(replace(port, xdp=True) if port.name == "p1" else port for port in site.ports())
    mirror.configure(Stations(ports, (site.segment(),)))
    assert ours(maps) == {STATION: Entry(site.index("p1"))}, "without waiting for a dump"


def test_a_station_moves_and_goes(site: Site, maps: Maps, mirror: FdbMirror) -> None:
    ports = tuple(replace(port, xdp=not port.tunnel) for port in site.ports())
    mirror.configure(Stations(ports, ()))
    site.station(STATION)
    settled(mirror)
    maps.mark(site.index("br0"), STATION, seen=5, used=7)
    mirror.resync()
    settled(mirror)
    assert ours(maps) == {STATION: Entry(site.index("p0"), seen=5, used=7)}, "what XDP wrote stays"

    site.station(STATION, "p1")
    settled(mirror)
    assert ours(maps) == {STATION: Entry(site.index("p1"))}, "but not at another port"

    site.bridge(f"fdb del {STATION} dev p1 master")
    settled(mirror)
    assert not ours(maps)
    assert not known(mirror)


def test_a_port_that_leaves_the_bridge(site: Site, maps: Maps, mirror: FdbMirror) -> None:
    mirror.configure(site.wanted())
    site.station(STATION, "p0", "static")
    settled(mirror)
    site.ip("link set p0 nomaster")
    settled(mirror)

    assert not ours(maps)


def test_what_is_not_configured_any_more(site: Site, maps: Maps, mirror: FdbMirror) -> None:
    site.station(STATION)
    site.remote(OTHER, "198.51.100.1")
    mirror.configure(site.wanted())
    settled(mirror)
    assert set(ours(maps)) == {STATION, OTHER}

    mirror.configure(Stations(site.ports(), ()))
    assert set(ours(maps)) == {STATION}, "at once: nothing was read since"
    assert maps.used_tunnels() == 0
    mirror.configure(Stations())
    assert not maps.stations()
    assert not known(mirror)


def test_two_bridges_may_have_the_same_station(site: Site, maps: Maps, mirror: FdbMirror) -> None:
    site.station(STATION, "p0")
    site.station(STATION, "p6")
    mirror.configure(site.wanted())
    settled(mirror)

    for bridge, port in (("br0", "p0"), ("br6", "p6")):
        assert maps.raw(site.index(bridge), STATION).port == site.index(port)
    site.bridge(f"fdb del {STATION} dev p0 master")
    settled(mirror)
    assert maps.raw(site.index("br0"), STATION) is None
    assert maps.raw(site.index("br6"), STATION).port == site.index("p6")


def test_listing(site: Site, mirror: FdbMirror) -> None:
    macs = [f"02:00:00:00:01:{i:02x}" for i in range(20)]
    site.bridge(*(f"fdb add {mac} dev p0 master static" for mac in macs))
    site.remote(STATION, "198.51.100.1")
    site.remote(OTHER, "2001:db8:2::1", "vx6")
    mirror.configure(site.wanted())
    settled(mirror)

    at: int | None = 0
    pages = []
    while at is not None:
        found, at = mirror.stations(StationFilter(mac=b"\2\0\0\0"), at, 7)
        pages.append([info.mac.hex(":") for info in found])
    assert [len(page) for page in pages] == [7, 7, 7, 1]
    assert sorted(mac for page in pages for mac in page) == sorted([*macs, STATION, OTHER])
    assert mirror.count(StationFilter(mac=bytes.fromhex("020000000103"))) == 1
    assert mirror.count(StationFilter(mac=bytes.fromhex("0200000001"), state="static")) == 20
    assert not mirror.count(StationFilter(mac=bytes.fromhex("0200000001"), state="learned"))
    assert set(known(mirror, StationFilter(port=site.index("vx4")))) == {STATION}
    assert set(known(mirror, StationFilter(vni=600))) == {OTHER}
    vtep = known(mirror, StationFilter(vni=100))[STATION].vtep
    assert str(vtep) == "198.51.100.1"
    assert set(known(mirror, StationFilter(vtep=vtep))) == {STATION}
    assert OTHER in known(mirror, StationFilter(bridge=site.index("br6")))
    assert not mirror.count(StationFilter(vlan=7))
