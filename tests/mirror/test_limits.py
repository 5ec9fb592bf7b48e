# SPDX-License-Identifier: GPL-2.0-or-later
"""More than there is room for: the rest is the kernel's, and returns when there is room."""

import tempfile

import pytest
from _gw_native import lib

from hybrid_gateway.bpf.stations import FdbMirror, StationFilter
from hybrid_gateway.errors import UsageError
from hybrid_gateway.lab import namespaces
from tests.mirror.maps import Maps
from tests.mirror.site import ALL_ZERO, Site, settled


def batch(lines: list[str]) -> None:
    with tempfile.NamedTemporaryFile("w+") as file:
        file.write("\n".join(lines) + "\n")
        file.flush()
        namespaces.run(["bridge", "-batch", file.name])


def vtep(number: int) -> str:
    return f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"


def mac(number: int) -> str:
    return "02:00:" + number.to_bytes(4).hex(":")


@pytest.mark.slow
def test_stations_without_end(site: Site, maps: Maps, mirror: FdbMirror) -> None:
    over = 500
    known = [mac(number) for number in range(lib.GW_FDB_MAX + over)]
    batch([f"fdb add {station} dev p0 master static" for station in known])
    mirror.configure(site.wanted())
    settled(mirror)
    events = mirror.read()
    assert events.stations == lib.GW_FDB_MAX
    assert events.refused == over, "by the dump, whatever events said before"
    assert mirror.count(StationFilter()) == lib.GW_FDB_MAX
    assert maps.bytes_for_an_entry() <= 150

    batch([f"fdb del {station} dev p0 master" for station in known[: lib.GW_FDB_MAX // 2]])
    settled(mirror)
    mirror.resync()
    settled(mirror)
    assert not mirror.read().refused
    assert mirror.count(StationFilter()) == lib.GW_FDB_MAX // 2 + over


def test_more_vteps_than_tunnels(site: Site, maps: Maps, mirror: FdbMirror) -> None:
    """XDP has a way to as many as there is room for; the others may send as well."""
    over = 20
    count = lib.GW_TUNNELS_MAX + over
    mirror.configure(site.wanted())
    batch([f"fdb add {mac(n)} dev vx4 dst {vtep(n + 1)} self" for n in range(count)])
    batch([f"fdb add {mac(n)} dev vx4 master static" for n in range(count)])
    settled(mirror)
    (segment, _) = mirror.segments()
    assert (segment.remote, segment.kernel, segment.vteps) == (count, over, count)
    assert mirror.read().refused >= over
    assert maps.used_tunnels() == lib.GW_TUNNELS_MAX

    batch([f"fdb del {mac(n)} dev vx4 self" for n in range(count)])
    settled(mirror)
    assert maps.used_tunnels() == 0
    assert not maps.senders(site.index("vx4"))
    batch([f"fdb add {mac(n)} dev vx4 dst {vtep(7)} self" for n in range(count)])
    settled(mirror)
    assert maps.used_tunnels() == 1
    assert mirror.segments()[0].kernel == 0


def test_a_table_that_is_full_of_members(site: Site, mirror: FdbMirror) -> None:
    """A flood set of thousands is the kernel's; reading it costs no more than it has to."""
    count = 3000
    mirror.configure(site.wanted())
    batch([f"fdb append {ALL_ZERO} dev vx4 dst {vtep(n + 1)} self" for n in range(count)])
    settled(mirror)
    assert mirror.segments()[0].floods == count
    assert len(mirror.vteps(site.segment())) == count
    segment = site.segment()
    site.ip("link del vx4")
    settled(mirror)
    assert not mirror.vteps(segment)


@pytest.mark.parametrize("cursor", [-1, 1 << 32])
def test_what_is_no_cursor(mirror: FdbMirror, cursor: int) -> None:
    with pytest.raises(UsageError, match="cursor"):
        mirror.stations(StationFilter(), cursor, 10)


def test_a_cursor_behind_the_end(site: Site, mirror: FdbMirror) -> None:
    mirror.configure(site.wanted())
    settled(mirror)
    assert mirror.stations(StationFilter(), (1 << 32) - 1, 10) == ([], None)
