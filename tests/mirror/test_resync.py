# SPDX-License-Identifier: GPL-2.0-or-later
"""Whatever happens in whatever order, the maps come to agree with the kernel."""

import random
import resource
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from hybrid_gateway import abi
from hybrid_gateway.bpf import stations
from hybrid_gateway.bpf.stations import FdbMirror, StationFilter
from hybrid_gateway.errors import KernelError
from tests.mirror.maps import Entry, Maps
from tests.mirror.site import ALL_ZERO, FAR, FAR2, Site, settled

STATION = "02:00:00:00:00:01"
VTEPS = [f"198.51.100.{i}" for i in range(1, 30)]


def macs(count: int) -> list[str]:
    return [f"02:00:00:00:{i >> 8:02x}:{i & 255:02x}" for i in range(count)]


@contextmanager
def another_look(site: Site) -> Iterator[Maps]:
    """What a mirror has that starts now and knows nothing."""
    maps = Maps()
    mirror = maps.mirror()
    try:
        mirror.configure(site.wanted())
        settled(mirror)
        yield maps
    finally:
        mirror.close()
        maps.close()


def unmarked(maps: Maps) -> dict[str, Entry]:
    """Without what XDP wrote."""
    return {m: replace(entry, seen=0, used=0) for m, entry in maps.stations().items()}


def compare(site: Site, maps: Maps) -> None:
    with another_look(site) as fresh:
        assert unmarked(maps) == fresh.stations()
        assert maps.used_tunnels() == fresh.used_tunnels()
        for device in ("vx4", "vx6"):
            ifindex = site.index(device)
            assert maps.senders(ifindex) == fresh.senders(ifindex)
            assert maps.flood(ifindex) == fresh.flood(ifindex)


def in_background(lines: list[str]) -> subprocess.Popen[bytes]:
    """From a file: a pipe would hold the one that writes until most of it has happened."""
    with tempfile.TemporaryFile("w+") as batch:
        batch.write("\n".join(lines) + "\n")
        batch.seek(0)
        return subprocess.Popen(
            ["bridge", "-force", "-batch", "-"], stdin=batch, stderr=subprocess.DEVNULL
        )


def changes(chance: random.Random, count: int) -> list[str]:
    """Stations that come, move, go and return, here and behind VTEPs."""
    lines = []
    for _ in range(count):
        mac = f"02:00:00:00:00:{chance.randrange(200):02x}"
        vtep = chance.choice(VTEPS)
        lines.append(
            chance.choice(
                [
                    f"fdb replace {mac} dev p0 master dynamic",
                    f"fdb replace {mac} dev vx4 master static",
                    f"fdb replace {mac} dev vx4 dst {vtep} self",
                    f"fdb del {mac} dev vx4 self",
                    f"fdb del {mac} dev vx4 master",
                    f"fdb del {mac} dev p0 master",
                    f"fdb append {ALL_ZERO} dev vx4 dst {vtep} self",
                    f"fdb del {ALL_ZERO} dev vx4 dst {vtep} self",
                ]
            )
        )
    return lines


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("budget", [1, 50])
def test_dumps_between_events(
    site: Site, maps: Maps, mirror: FdbMirror, seed: int, budget: int
) -> None:
    """Dumps are read piece by piece while everything changes: the newest news counts."""
    chance = random.Random(seed)
    site.bridge(*(f"fdb add {mac} dev vx4 master static" for mac in macs(3000)))
    mirror.configure(site.wanted())
    child = in_background(changes(chance, 20000))
    while child.poll() is None:
        if not mirror.read(budget).syncing:
            mirror.resync()
    settled(mirror)
    events = mirror.read()
    assert events.dumps > 5
    assert not events.lost

    with another_look(site) as fresh:
        assert maps.stations().items() <= fresh.stations().items(), "nothing is left over"
    mirror.resync()
    settled(mirror)
    compare(site, maps)


def test_lost_events(site: Site, maps: Maps, mirror: FdbMirror) -> None:
    """More at once than the socket has room for: the kernel drops, the mirror dumps again."""
    known = [mac for mac in macs(30000) if mac != STATION]
    mirror.configure(site.wanted())
    site.station(STATION)
    settled(mirror)
    maps.mark(site.index("br0"), STATION, seen=3, used=4)
    site.bridge(*(f"fdb add {mac} dev vx4 dst {FAR} self" for mac in known))
    site.bridge(*(f"fdb add {mac} dev vx4 master static" for mac in known))
    site.bridge(*(f"fdb replace {mac} dev vx4 dst {FAR2} self" for mac in known[::2]))
    site.bridge(*(f"fdb del {mac} dev vx4 master" for mac in known[1::3]))
    settled(mirror)

    assert mirror.read().lost
    found = maps.stations()
    assert found.pop(STATION) == Entry(site.index("p0"), seen=3, used=4)
    vx4 = site.index("vx4")
    assert {mac: entry for mac, entry in found.items() if entry.port == vx4} == {
        mac: Entry(vx4, FAR if i % 2 else FAR2) for i, mac in enumerate(known) if i % 3 != 1
    }


def test_what_went_while_nobody_listened_is_swept(
    site: Site, maps: Maps, mirror: FdbMirror
) -> None:
    """Between one agent and the next."""
    mirror.configure(site.wanted())
    for number in range(9):
        site.remote(f"02:00:00:00:00:{number:02x}", FAR)
    settled(mirror)
    mirror.close()
    site.bridge(*(f"fdb del 02:00:00:00:00:{i:02x} dev vx4 master" for i in range(5)))
    later = maps.mirror()
    try:
        later.configure(site.wanted())
        settled(later)
    finally:
        later.close()

    assert {m for m in maps.stations() if m.startswith("02")} == {
        f"02:00:00:00:00:{i:02x}" for i in range(5, 9)
    }


def test_a_flapping_station(site: Site, maps: Maps, mirror: FdbMirror) -> None:
    """A thousand times a second, and in the end as the kernel has it."""
    mirror.configure(site.wanted())
    settled(mirror)
    lines = [
        f"fdb replace {STATION} dev p0 master dynamic",
        f"fdb replace {STATION} dev vx4 dst {FAR} self",
        f"fdb replace {STATION} dev vx4 master static",
        f"fdb del {STATION} dev vx4 self",
        f"fdb del {STATION} dev vx4 master",
    ] * 2000
    child = in_background(lines)
    while child.poll() is None:
        mirror.read(64)
    settled(mirror)
    events = mirror.read()

    assert events.messages >= 5 * 2000
    assert not events.lost
    assert STATION not in maps.stations()
    assert maps.used_tunnels() == 0
    assert not maps.senders(site.index("vx4"))
    compare(site, maps)


def test_a_mirror_takes_over(site: Site, maps: Maps) -> None:
    """An agent that starts again finds its pins: forwarding goes on meanwhile, by the indices."""
    before, after = maps.mirror(), None
    try:
        before.configure(site.wanted())
        for i, vtep in enumerate((FAR, FAR2)):
            site.remote(f"02:00:00:00:00:0{i}", vtep)
            site.bridge(f"fdb append {ALL_ZERO} dev vx4 dst {vtep} self")
        settled(before)
        site.bridge("fdb del 02:00:00:00:00:00 dev vx4 self")
        site.bridge(f"fdb del {ALL_ZERO} dev vx4 dst {FAR} self")
        settled(before)
        kept = "02:00:00:00:00:01"
        maps.mark(site.index("br0"), kept, seen=3, used=4)
        number = maps.raw(site.index("br0"), kept).tunnel
        generation = maps.generation(number)
        assert number > 1, "the first place is free by now"
        before.close()
        site.bridge("fdb del 02:00:00:00:00:00 dev vx4 master")
        site.remote("02:00:00:00:00:05", FAR)

        after = maps.mirror()
        assert maps.raw(site.index("br0"), kept).tunnel == number, "nothing changes by starting"
        after.configure(site.wanted())
        assert maps.raw(site.index("br0"), kept).tunnel == number
        settled(after)
        assert maps.raw(site.index("br0"), kept).tunnel == number
        assert maps.generation(number) == generation
        assert {m: e for m, e in maps.stations().items() if m.startswith("02")} == {
            kept: Entry(site.index("vx4"), FAR2, seen=3, used=4),
            "02:00:00:00:00:05": Entry(site.index("vx4"), FAR),
        }
        compare(site, maps)
    finally:
        for mirror in (before, after):
            if mirror:
                mirror.close()


def test_strangers_in_the_maps_go(site: Site, maps: Maps) -> None:
    """What another configuration left: after the first dump the maps have nothing of it."""
    maps.fdb.set(maps.key(77, STATION), abi.new("gw_fdb_entry", port=78, tunnel=1))
    maps.tunnels.set(0, abi.new("gw_tunnel", ifindex=78, vni=5, generation=9))
    maps.vteps.set(abi.new("gw_vtep_key", ifindex=78, vni=5), abi.new("gw_vtep", tunnel=1))
    maps.floods.set(abi.new("gw_flood_key", ifindex=78), abi.new("gw_flood", count=1))
    mirror = maps.mirror()
    try:
        mirror.configure(site.wanted())
        settled(mirror)
    finally:
        mirror.close()

    assert maps.raw(77, STATION) is None
    assert maps.used_tunnels() == 0
    assert maps.generation(1) == 10
    assert not maps.senders(78)
    assert maps.flood(78) is None


def test_a_dump_that_cannot_begin(
    site: Site, mirror: FdbMirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a descriptor for its socket: it is begun later."""
    mirror.configure(site.wanted())
    settled(mirror)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        with pytest.raises(KernelError):
            mirror.resync()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    dumps = mirror.read().dumps
    later = time.clock_gettime(time.CLOCK_MONOTONIC) + 40
    monkeypatch.setattr(stations, "_now", lambda: later)
    while mirror.refresh(0) is None:
        pass
    settled(mirror)

    assert mirror.read().dumps == dumps + 1


@pytest.mark.slow
def test_memory_goes_with_the_entries(site: Site, mirror: FdbMirror) -> None:
    mirror.configure(site.wanted())
    settled(mirror)
    known = macs(60000)
    lines = [f"fdb add {mac} dev vx4 dst {FAR} self" for mac in known]
    lines += [f"fdb add {mac} dev vx4 master static" for mac in known]
    empty = resident_megabytes()
    in_background(lines).wait()
    settled(mirror)
    full = resident_megabytes()
    assert mirror.count(StationFilter(port=site.index("vx4"))) == len(known)
    assert full - empty < 12, "about 70 bytes an entry, in tables that double"
    site.ip("link del vx4")
    settled(mirror)
    while mirror.refresh(0) is None:
        pass
    assert resident_megabytes() - empty < 4


def resident_megabytes() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6
