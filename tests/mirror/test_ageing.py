# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel is told of stations that only XDP hears, and of no others."""

import re
import time

from hybrid_gateway.bpf.stations import FdbMirror, Round, StationFilter
from hybrid_gateway.lab import namespaces
from hybrid_gateway.model import Stations
from tests.lib.gateway import eventually
from tests.mirror.maps import Maps
from tests.mirror.site import FAR, FAR2, FAR6, Site, settled

STATION, OTHER = "02:00:00:00:00:01", "02:00:00:00:00:02"
ADDRESS = "10.9.0.2"


def now() -> int:
    return int(time.clock_gettime(time.CLOCK_MONOTONIC))


def refreshed(mirror: FdbMirror) -> Round:
    while True:
        found = mirror.refresh(now() - 61)
        if found:
            return found


def ages(mac: str, device: str) -> list[int]:
    """Seconds since each entry of that MAC address was last heard, as the kernel has it."""
    lines = namespaces.run(["bridge", "-s", "fdb", "show", "dev", device]).splitlines()
    # Entries made by hand are in the VLANs of the port too, where the kernel can filter them.
    ours = [line for line in lines if line.startswith(mac) and " vlan " not in line]
    found = (re.search(r"used (\d+)/(\d+)", line) for line in ours)
    # Used and updated. Bridges go by the second, VXLAN devices by either (since Linux 6.15).
    return [
        int(match[2]) if " master " in match.string else min(int(match[1]), int(match[2]))
        for match in found
        if match
    ]


def grown_old(mac: str, device: str) -> bool:
    return all(age >= 2 for age in ages(mac, device))


def test_a_local_station(site: Site, maps: Maps, mirror: FdbMirror) -> None:
    for mac in (STATION, OTHER):
        site.station(mac)
    mirror.configure(site.wanted())
    settled(mirror)
    eventually(lambda: grown_old(OTHER, "p0"), "it was silent for a while", 10)
    maps.mark(site.index("br0"), STATION, seen=now())

    assert refreshed(mirror) == Round(used=0, refreshed=1, probed=0)
    assert ages(STATION, "p0") == [0]
    assert ages(OTHER, "p0")[0] >= 2, "the silent one ages as ever"
    assert refreshed(mirror).refreshed == 0, "once is enough for a while"
    settled(mirror)
    assert maps.raw(site.index("br0"), STATION).seen, "telling the kernel changes nothing here"


def test_a_remote_station(site: Site, maps: Maps, mirror: FdbMirror) -> None:
    """Both its entries age: the bridge's, and that of the VXLAN device itself."""
    for mac, vtep, device in ((STATION, FAR, "vx4"), (OTHER, FAR6, "vx6")):
        site.bridge(
            f"fdb add {mac} dev {device} dst {vtep} self dynamic",
            f"fdb add {mac} dev {device} master dynamic",
        )
    site.bridge(f"fdb add 02:00:00:00:00:03 dev vx4 dst {FAR2} port 5555 vni 321 self dynamic")
    site.bridge("fdb add 02:00:00:00:00:03 dev vx4 master static")
    mirror.configure(site.wanted())
    settled(mirror)
    eventually(lambda: grown_old("02:00:00:00:00:03", "vx4"), "it was silent for a while", 10)
    for mac, bridge in ((STATION, "br0"), (OTHER, "br6"), ("02:00:00:00:00:03", "br0")):
        maps.mark(site.index(bridge), mac, seen=now())

    assert refreshed(mirror).refreshed == 3
    assert ages(STATION, "vx4") == [0, 0]
    assert ages(OTHER, "vx6") == [0, 0]
    own, bridges = sorted(ages("02:00:00:00:00:03", "vx4"))
    assert own == 0
    assert bridges >= 2, "what is static needs nothing"
    settled(mirror)
    assert maps.stations()[STATION].vtep == FAR
    assert maps.stations()["02:00:00:00:00:03"].vtep == FAR2


def test_a_mirror_that_takes_over(site: Site, maps: Maps, mirror: FdbMirror) -> None:
    """What XDP saw for an earlier agent, longer ago than the kernel heard it, is no news."""
    for mac in (STATION, OTHER):
        site.station(mac)
    mirror.configure(site.wanted())
    settled(mirror)
    eventually(lambda: grown_old(STATION, "p0"), "it was silent for a while")
    maps.mark(site.index("br0"), STATION, seen=max(1, now() - 30))
    maps.mark(site.index("br0"), OTHER, seen=now())
    later = maps.mirror()
    try:
        later.configure(site.wanted())
        settled(later)

        assert refreshed(later).refreshed == 1
        assert ages(STATION, "p0")[0] >= 2
        assert ages(OTHER, "p0") == [0]
    finally:
        later.close()


def test_what_does_not_age_is_left_alone(site: Site, maps: Maps, mirror: FdbMirror) -> None:
    site.remote(STATION, FAR)
    site.station(OTHER, "p0", "extern_learn")
    mirror.configure(site.wanted())
    settled(mirror)
    for mac in (STATION, OTHER):
        maps.mark(site.index("br0"), mac, seen=now())

    assert refreshed(mirror).refreshed == 0


def test_one_that_went_meanwhile_is_not_made_again(
    site: Site, maps: Maps, mirror: FdbMirror
) -> None:
    site.bridge(f"fdb add {STATION} dev vx4 dst {FAR} self dynamic")
    site.bridge(f"fdb add {STATION} dev vx4 master static")
    mirror.configure(site.wanted())
    settled(mirror)
    maps.mark(site.index("br0"), STATION, seen=now())
    site.bridge(f"fdb del {STATION} dev vx4 self")

    assert refreshed(mirror).refreshed == 1, "the mirror has not read it yet"
    settled(mirror)
    assert maps.stations()[STATION].vtep is None
    assert not maps.senders(site.index("vx4"))


def test_a_bridge_that_ages_fast(site: Site, maps: Maps, mirror: FdbMirror) -> None:
    """In the end the one that XDP hears is there, and the silent one is not."""
    site.ip("link set br0 type bridge ageing_time 200")
    ports = tuple(
        type(port)(port.ifindex, port.bridge, port.name, port.xdp, ageing=2)
        for port in site.ports()
    )
    for mac in (STATION, OTHER):
        site.station(mac)
    mirror.configure(Stations(ports, ()))
    settled(mirror)
    started = time.monotonic()

    def silent_one_has_gone() -> bool:
        maps.mark(site.index("br0"), STATION, seen=now())
        refreshed(mirror)
        mirror.read()
        return OTHER not in maps.stations() and time.monotonic() > started + 4.5

    eventually(silent_one_has_gone, "it has aged out of the kernel and of the map", seconds=10)
    assert STATION in maps.stations()
    assert STATION in site.fdb("p0")


# ---- neighbours -------------------------------------------------------------------------


def test_addresses_are_listed(site: Site, mirror: FdbMirror) -> None:
    site.station(STATION)
    site.ip(f"neigh add {ADDRESS} dev br0 lladdr {STATION} nud stale")
    mirror.configure(site.wanted())
    settled(mirror)
    site.ip(
        f"neigh add 2001:db8::2 dev br0 lladdr {STATION} nud noarp extern_learn",
        f"neigh add 10.9.0.3 dev br0 lladdr {OTHER} nud reachable",
        f"neigh add 10.9.0.4 dev p1 lladdr {STATION} nud reachable",
    )
    settled(mirror)

    def addresses() -> set[str]:
        (info,), _ = mirror.stations(StationFilter(mac=bytes.fromhex("020000000001")), 0, 9)
        return {str(address) for address in info.addresses}

    assert addresses() == {ADDRESS, "2001:db8::2"}
    site.ip(f"neigh replace {ADDRESS} dev br0 lladdr {OTHER} nud reachable")
    settled(mirror)
    assert addresses() == {"2001:db8::2"}
    site.ip("neigh del 2001:db8::2 dev br0")
    settled(mirror)
    assert addresses() == set()


def test_neighbours_that_nat_uses_are_asked(site: Site, maps: Maps, mirror: FdbMirror) -> None:
    """A stale one becomes DELAY: the kernel asks it a moment later."""
    for number in (1, 2):
        mac = f"02:00:00:00:00:0{number}"
        site.station(mac)
        site.ip(f"neigh add 10.9.0.{number} dev br0 lladdr {mac} nud stale")
    mirror.configure(site.wanted())
    settled(mirror)
    maps.mark(site.index("br0"), STATION, used=now())
    maps.mark(site.index("br0"), OTHER, used=max(1, now() - 100))

    assert refreshed(mirror) == Round(used=1, refreshed=0, probed=1)
    lines = {line.split()[0]: line.split()[-1] for line in site.neighbours("br0")}
    assert lines["10.9.0.1"] in ("DELAY", "PROBE", "REACHABLE")
    assert lines["10.9.0.2"] == "STALE"


def test_forgotten_stations_are_asked(site: Site, mirror: FdbMirror) -> None:
    for number in (1, 2):
        mac = f"02:00:00:00:00:0{number}"
        site.station(mac)
        site.ip(f"neigh add 10.9.0.{number} dev br0 lladdr {mac} nud reachable")
    mirror.configure(site.wanted())
    settled(mirror)
    site.bridge(f"fdb del {STATION} dev p0 master")
    site.station(OTHER, "p1")
    settled(mirror)

    lines = {line.split()[0]: line.split()[-1] for line in site.neighbours("br0")}
    assert lines["10.9.0.1"] in ("PROBE", "FAILED")
    assert lines["10.9.0.2"] == "REACHABLE", "it only moved"


def test_watched_devices(site: Site, mirror: FdbMirror) -> None:
    site.ip(
        f"neigh add {ADDRESS} dev p1 lladdr {STATION} nud stale",
        f"neigh add {ADDRESS} dev p0 lladdr {STATION} nud stale",
    )
    mirror.configure(site.wanted())
    mirror.watch([site.index("p1")])
    settled(mirror)
    before = mirror.read().forgotten
    site.ip(f"neigh del {ADDRESS} dev p0")
    settled(mirror)
    assert mirror.read().forgotten == before
    site.ip(f"neigh del {ADDRESS} dev p1")
    settled(mirror)
    assert mirror.read().forgotten > before
