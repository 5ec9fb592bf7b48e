# SPDX-License-Identifier: GPL-2.0-or-later
"""Who may send to a segment, and to whom it floods."""

from dataclasses import replace
from ipaddress import ip_address

from _gw_native import lib

from hybrid_gateway.bpf.stations import FdbMirror
from hybrid_gateway.model import Segment, Sources
from tests.mirror.maps import Maps
from tests.mirror.site import ALL_ZERO, FAR, FAR2, FAR6, Site, settled

STATION = "02:00:00:00:00:01"
LISTED = "198.51.100.77"
MULTICAST = "01:00:5e:00:00:05"


def listed(segment: Segment) -> Segment:
    return replace(segment, sources=Sources.LISTED, listed=(ip_address(LISTED),))


def serial(mirror: FdbMirror) -> int:
    return mirror.segments()[0].serial


def test_flood_sets(site: Site, maps: Maps, mirror: FdbMirror) -> None:
    vx4 = site.index("vx4")
    site.bridge(f"fdb append {ALL_ZERO} dev vx4 dst {FAR} self")
    mirror.configure(site.wanted())
    settled(mirror)
    assert maps.flood(vx4) == {FAR}
    assert maps.senders(vx4) == {FAR: FAR}

    site.bridge(f"fdb append {ALL_ZERO} dev vx4 dst {FAR2} self")
    site.bridge(f"fdb append {ALL_ZERO} dev vx6 dst {FAR6} self")
    settled(mirror)
    assert maps.flood(vx4) == {FAR, FAR2}
    assert maps.flood(site.index("vx6")) == {FAR6}
    assert [count.floods for count in mirror.segments()] == [2, 1]

    site.bridge(f"fdb del {ALL_ZERO} dev vx4 dst {FAR} self")
    settled(mirror)
    assert maps.flood(vx4) == {FAR2}
    assert maps.senders(vx4) == {FAR2: FAR2}
    site.bridge(f"fdb del {ALL_ZERO} dev vx4 dst {FAR2} self")
    settled(mirror)
    assert maps.flood(vx4) is None
    assert not maps.senders(vx4)


def test_a_flood_set_without_end(site: Site, maps: Maps, mirror: FdbMirror) -> None:
    vx4 = site.index("vx4")
    most = lib.GW_FLOOD_TUNNELS
    far = [f"198.51.100.{i}" for i in range(1, most + 3)]
    mirror.configure(site.wanted())
    site.bridge(*(f"fdb append {ALL_ZERO} dev vx4 dst {vtep} self" for vtep in far))
    settled(mirror)
    assert maps.flood(vx4) == {f"{most + 2} VTEPs"}, "the kernel's alone"
    assert set(maps.senders(vx4)) == set(far), "but all may send"

    site.bridge(*(f"fdb del {ALL_ZERO} dev vx4 dst {vtep} self" for vtep in far[:2]))
    settled(mirror)
    assert maps.flood(vx4) == set(far[2:])


def test_a_multicast_group_is_no_vtep(site: Site, maps: Maps, mirror: FdbMirror) -> None:
    vx4 = site.index("vx4")
    mirror.configure(site.wanted())
    site.bridge(f"fdb append {ALL_ZERO} dev vx4 dst 239.1.1.1 via p1 self")
    site.bridge(f"fdb append {ALL_ZERO} dev vx4 dst {FAR} self")
    settled(mirror)

    assert maps.senders(vx4) == {FAR: FAR}
    assert maps.flood(vx4) is None, "XDP cannot send to all of it"


def test_entries_for_multicast_addresses(site: Site, maps: Maps, mirror: FdbMirror) -> None:
    """Whom they are for may send; they are no flood set and no stations."""
    vx4 = site.index("vx4")
    mirror.configure(site.wanted())
    for vtep in (FAR, FAR2):
        site.bridge(f"fdb append {MULTICAST} dev vx4 dst {vtep} self")
    settled(mirror)
    assert maps.senders(vx4) == {FAR: FAR, FAR2: FAR2}
    assert maps.flood(vx4) is None

    site.bridge(f"fdb del {MULTICAST} dev vx4 dst {FAR} self")
    settled(mirror)
    assert maps.senders(vx4) == {FAR2: FAR2}


def test_listed_sources(site: Site, maps: Maps, mirror: FdbMirror) -> None:
    vx4 = site.index("vx4")
    site.remote(STATION, FAR)
    mirror.configure(site.wanted(listed(site.segment())))
    settled(mirror)
    assert maps.senders(vx4) == {LISTED: LISTED}, "what is in the FDB may not"
    assert maps.stations()[STATION].vtep == FAR, "though it is sent to"
    vteps = {str(vtep.address): vtep for vtep in mirror.vteps(site.segment())}
    assert {address: vtep.why for address, vtep in vteps.items()} == {
        FAR: ("fdb",),
        LISTED: ("listed",),
    }
    assert not vteps[FAR].allowed
    assert mirror.allowed(site.segment()) == [ip_address(LISTED)]

    mirror.configure(site.wanted())
    assert maps.senders(vx4) == {FAR: FAR}
    mirror.configure(site.wanted(replace(site.segment(), sources=Sources.ANY)))
    assert maps.senders(vx4) == {FAR: FAR}


def test_who_is_listed_may_send_all_the_while(site: Site, maps: Maps, mirror: FdbMirror) -> None:
    """Even if the FDB leads there as well, and whatever else is configured anew."""
    site.remote(STATION, LISTED)
    mirror.configure(site.wanted(listed(site.segment())))
    settled(mirror)
    before = serial(mirror)

    mirror.configure(site.wanted(listed(site.segment())))
    settled(mirror)
    assert maps.senders(site.index("vx4")) == {LISTED: LISTED}
    assert serial(mirror) == before, "it went and came again"
    assert mirror.read().serial == before


def test_the_serial_says_when_the_set_is_another(site: Site, maps: Maps, mirror: FdbMirror) -> None:
    mirror.configure(site.wanted())
    settled(mirror)
    first = serial(mirror)
    site.remote(STATION, FAR)
    settled(mirror)
    second = serial(mirror)
    assert second != first
    other = mirror.segments()[1].serial

    site.remote("02:00:00:00:00:02", FAR)
    site.bridge(f"fdb append {ALL_ZERO} dev vx4 dst {FAR} self")
    mirror.configure(site.wanted())
    settled(mirror)
    assert serial(mirror) == second, "nobody came and nobody went"
    site.bridge(f"fdb add 02:00:00:00:00:03 dev vx4 dst {FAR2} self")
    settled(mirror)
    assert serial(mirror) != second
    assert mirror.segments()[1].serial == other, "of the other segment nothing changed"
    assert mirror.read().serial == serial(mirror)
    assert set(maps.senders(site.index("vx4"))) == {FAR, FAR2}


def test_what_names_a_vtep(site: Site, mirror: FdbMirror) -> None:
    mirror.configure(site.wanted())
    for number in range(3):
        site.remote(f"02:00:00:00:00:0{number}", FAR)
    site.bridge(f"fdb append {ALL_ZERO} dev vx4 dst {FAR} self")
    site.bridge(f"fdb append {ALL_ZERO} dev vx4 dst {FAR2} self")
    site.station("02:00:00:00:00:77", "p1")
    settled(mirror)

    far, far2 = mirror.vteps(site.segment())
    assert (str(far.address), far.macs, far.why, far.xdp) == (FAR, 3, ("fdb", "flood"), True)
    assert (str(far2.address), far2.macs, far2.why) == (FAR2, 0, ("flood",))
    count = mirror.segments()[0]
    assert (count.ifindex, count.vni) == (site.index("vx4"), 100)
    assert (count.remote, count.kernel, count.vteps, count.floods) == (3, 0, 2, 2)
    assert count.local == 1
