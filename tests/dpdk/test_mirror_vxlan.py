# SPDX-License-Identifier: GPL-2.0-or-later
"""What the kernel's VXLAN devices and their FDBs say is in the worker's tables, and only that."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import pytest

from hybrid_gateway.errors import BadSegmentError, NoRoomError
from hybrid_gateway.lab import namespaces
from hybrid_gateway.worker_values import Place, PlaceKind, SegmentStatus, WorkerSegment
from tests.dpdk.harness import Bench
from tests.dpdk.vxlan import (
    FAMILIES,
    FAR,
    FARTHER,
    FIRST_PORT,
    HERE,
    LAST_PORT,
    LOCAL,
    MTU,
    NOBODY,
    OTHER,
    PEER,
    PORT,
    TTL,
    Segment,
    Station,
    ifindex,
    stretch,
    underlay,
    with_tunnels,
)

pytestmark = pytest.mark.dpdk

VNI = {4: 104, 6: 106}
DEVICE = {4: "vx4", 6: "vx6"}


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with Bench.running("mv", with_tunnels(64)) as made:
        underlay(made)
        made.port("p0")
        yield made


@contextmanager
def segment(bench: Bench, family: int = 4, **options: object) -> Iterator[Segment]:
    """In br0, with p0, and given to the worker; all of it goes with the block."""
    with ExitStack() as stack:
        stack.callback(bench.client.set_segments, [])
        for device in (DEVICE[family], "br0"):
            delete = ["ip", "-n", bench.gw, "link", "del", device]
            stack.callback(namespaces.run, delete, check=False)
        made = Segment.made(
            bench,
            bench.ports["core"],
            [bench.ports["p0"]],
            family=family,
            vni=VNI[family],
            device=DEVICE[family],
            **options,  # type: ignore[arg-type]
        )
        stretch(bench, made)
        yield made


def status(bench: Bench) -> SegmentStatus:
    """Of the only segment, when what the kernel has said is in the tables."""
    bench.settle()
    (found,) = bench.client.status().segments
    return found


def place(made: Segment, station: Station | str = FAR) -> Place:
    """Where the worker has the station."""
    made.bench.settle()
    mac = station.mac if isinstance(station, Station) else station
    (found,) = made.bench.client.locate(made.wanted.bridge, [mac])
    return found


def at_peer(made: Segment, peer: str, *, ages: bool = False) -> Place:
    return Place(
        PlaceKind.TUNNEL,
        ifindex=made.wanted.ifindex,
        ages=ages,
        vtep=peer,
        vni=made.vni,
        udp_port=PORT,
        may_send=True,
    )


KERNEL = Place(PlaceKind.KERNEL, ages=True)
UNKNOWN = Place(PlaceKind.UNKNOWN)


# ---- stations -----------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_a_station_behind_a_vtep(bench: Bench, family: int) -> None:
    with segment(bench, family) as made:
        assert place(made) == UNKNOWN
        made.station(FAR, OTHER[family])
        assert place(made) == at_peer(made, OTHER[family])
        assert status(bench) == SegmentStatus(
            made.wanted.ifindex, made.vni, vteps=2, floods=1, stations=1, active=True, problem=""
        )
        # It moves to another VTEP, then to this site, then is gone.
        made.station(FAR, PEER[family])
        assert place(made) == at_peer(made, PEER[family])
        assert status(bench).vteps == 1
        made.station(FAR, bench.ports["p0"])
        found = place(made)
        assert (found.kind, found.ifindex) == (PlaceKind.PORT, ifindex(bench, "p0"))
        assert status(bench).stations == 0
        made.fdb("del", FAR.mac, "dev", "p0", "master")
        assert place(made) == UNKNOWN


def test_whichever_entry_comes_first_or_goes_first(bench: Bench) -> None:
    with segment(bench, vteps=(PEER[4], OTHER[4])) as made:
        own = (FAR.mac, "dev", made.device, "dst", OTHER[4], "self")
        of_bridge = (FAR.mac, "dev", made.device, "master")
        made.fdb("add", *of_bridge, "static")
        # The device would flood it to both VTEPs.
        assert place(made) == replace(KERNEL, ages=False)
        made.fdb("add", *own, "static")
        assert place(made) == at_peer(made, OTHER[4])
        made.fdb("del", *of_bridge)
        assert place(made) == UNKNOWN
        made.fdb("add", *of_bridge, "static")
        assert place(made) == at_peer(made, OTHER[4])
        made.fdb("del", *own)
        assert place(made) == replace(KERNEL, ages=False)


def test_without_an_entry_it_is_where_all_is_flooded_to(bench: Bench) -> None:
    with segment(bench) as made:
        made.fdb("add", FAR.mac, "dev", made.device, "master", "static")
        assert place(made) == at_peer(made, PEER[4])
        made.flood(OTHER[4])
        assert place(made) == replace(KERNEL, ages=False)
        made.fdb("del", NOBODY, "dev", made.device, "dst", PEER[4], "self")
        assert place(made) == at_peer(made, OTHER[4])


def test_another_port_vni_or_device(bench: Bench) -> None:
    with segment(bench) as made:
        made.fdb("add", FAR.mac, "dev", made.device, "master", "static")
        own = ("replace", FAR.mac, "dev", made.device, "dst", OTHER[4])
        made.fdb(*own, "self", "port", "4790", "vni", "7")
        found = place(made)
        assert (found.vtep, found.udp_port, found.vni) == (OTHER[4], 4790, 7)
        # The address may send, by the segment's own port and VNI.
        assert (found.may_send, found.by_kernel) == (False, False)
        assert status(bench).vteps == 2
        made.fdb(*own, "self", "via", "core")
        found = place(made)
        assert (found.vtep, found.udp_port, found.by_kernel) == (OTHER[4], PORT, True)


def test_no_local_address(bench: Bench) -> None:
    with segment(bench, local="") as made:
        made.station(FAR, PEER[4])
        assert place(made) == replace(at_peer(made, PEER[4]), by_kernel=True)


def test_what_the_device_learned_ages(bench: Bench) -> None:
    with segment(bench) as made:
        made.fdb("add", FAR.mac, "dev", made.device, "master", "static")
        made.fdb("add", FAR.mac, "dev", made.device, "dst", OTHER[4], "self", "dynamic")
        assert place(made) == at_peer(made, OTHER[4], ages=True)


# ---- who may send -------------------------------------------------------------------------


def test_only_listed_ones_may_send(bench: Bench) -> None:
    with segment(bench, listed=True, sources=(OTHER[4],)) as made:
        made.station(FAR, PEER[4])
        assert place(made) == replace(at_peer(made, PEER[4]), may_send=False)
        assert status(bench).vteps == 1
        made.station(FARTHER, OTHER[4])
        assert place(made, FARTHER) == at_peer(made, OTHER[4])
        # Another list takes effect while all else goes on.
        wanted = replace(made.wanted, sources=(PEER[4],))
        bench.client.set_segments([wanted])
        assert place(made) == at_peer(made, PEER[4])
        assert place(made, FARTHER) == replace(at_peer(made, OTHER[4]), may_send=False)


def test_a_group_is_no_vtep(bench: Bench) -> None:
    with segment(bench, vteps=()) as made:
        assert status(bench).vteps == 0
        made.fdb("append", NOBODY, "dev", made.device, "dst", "239.1.1.1", "self", "via", "core")
        assert status(bench) == SegmentStatus(
            made.wanted.ifindex, made.vni, vteps=0, floods=1, stations=0, active=True, problem=""
        )


def test_we_are_none_of_our_own_vteps(bench: Bench) -> None:
    with segment(bench, listed=True, sources=(LOCAL[4], OTHER[4])) as made:
        assert status(bench).vteps == 1
        made.station(FAR, LOCAL[4])
        assert place(made) == replace(KERNEL, ages=False)
        bench.client.set_segments([replace(made.wanted, listed=False, sources=())])
        bench.settle()
        assert (status(bench).vteps, status(bench).floods) == (1, 1)


# ---- devices ------------------------------------------------------------------------------


def test_the_same_again_changes_nothing(bench: Bench) -> None:
    with segment(bench) as made:
        made.station(FAR, PEER[4])
        before = status(bench)
        bench.client.set_segments([made.wanted])
        # At once: nothing was given up in between.
        assert bench.client.status().segments == (before,)


@pytest.mark.parametrize(
    ("undo", "problem", "redo"),
    [
        ("link set vx4 down", "the device is down", "link set vx4 up"),
        ("link set br0 down", "its bridge is down", "link set br0 up"),
        ("link set vx4 nomaster", "the device is no port of its bridge", "link set vx4 master br0"),
        (
            "link set p0 nomaster",
            "no port of the worker is in its bridge",
            "link set p0 master br0",
        ),
        (
            "link set p0 type bridge_slave isolated on",
            "its bridge filters VLANs, or has ports that are isolated, locked or turn frames back",
            "link set p0 type bridge_slave isolated off",
        ),
        (
            "link set vx4 type bridge_slave isolated on",
            "as a port of its bridge the device is isolated, locked or turns frames back",
            "link set vx4 type bridge_slave isolated off",
        ),
    ],
)
def test_what_it_takes(bench: Bench, undo: str, problem: str, redo: str) -> None:
    with segment(bench) as made:
        made.station(HERE, bench.ports["p0"])
        made.station(FAR, PEER[4])
        bench.ip(undo)
        found = status(bench)
        assert (found.active, found.problem) == (False, problem)
        assert (found.vteps, found.floods, found.stations) == (0, 0, 0)
        bench.ip(redo)
        found = status(bench)
        assert (found.active, found.problem) == (True, "")
        # A port that leaves takes its entries with it.
        made.station(FAR, PEER[4])
        assert place(made) == at_peer(made, PEER[4])


def test_renamed_and_made_again(bench: Bench) -> None:
    with segment(bench) as made:
        made.station(FAR, PEER[4])
        bench.ip("link set vx4 down", "link set vx4 name vx9", "link set vx9 up")
        assert status(bench).active
        assert place(made) == at_peer(made, PEER[4])
        bench.ip("link del vx9")
        assert status(bench).problem == "there is no such device"
        assert place(made) == UNKNOWN
        # Its ifindex is another device's, in the same bridge.
        bench.ip(
            f"link add vx4 index {made.wanted.ifindex} type vxlan id 999 dstport {PORT}"
            f" local {made.wanted.local}",
            "link set vx4 master br0",
            "link set vx4 up",
        )
        assert status(bench).problem == "the device has another VNI or UDP port"


def test_no_device_yet(bench: Bench) -> None:
    with segment(bench) as made:
        bench.client.set_segments([replace(made.wanted, ifindex=60000)])
        assert status(bench).problem == "there is no such device"
        bench.client.set_segments([replace(made.wanted, ifindex=made.wanted.bridge)])
        assert status(bench).problem == "the device is no VXLAN device with a VNI of its own"


# ---- calls --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"vni": 0}, "want 1 to 16777215"),
        ({"vni": 1 << 24}, "want 1 to 16777215"),
        ({"ifindex": 0}, "there is no device of such a number"),
        ({"family": 5}, "192.0.2.1 is not IPv5"),
        ({"port": 0}, "its UDP ports make no sense"),
        ({"first_port": 9, "last_port": 8}, "its UDP ports make no sense"),
        ({"port": 65536}, "port: 65536 is out of range"),
        ({"mtu": 60}, "its MTU is less than any link's"),
        ({"ttl": 0}, "its TTL or flow label makes no sense"),
        ({"heard": "gwh-longer-than-15"}, "heard: 'gwh-longer-than-15' is no device's name"),
        ({"label": 1 << 20}, "its TTL or flow label makes no sense"),
        ({"local": "239.1.1.1"}, "its local address is none of a host"),
        ({"local": "2001:db8::1"}, "2001:db8::1 is not IPv4"),
        ({"arrivals": ("0.0.0.0",)}, "an address where it arrives is none of a host"),
        ({"listed": True, "sources": ("255.255.255.255",)}, "a listed source is none of a host"),
        ({"sources": ("nobody",)}, "'nobody' does not appear to be an IPv4 or IPv6 address"),
        (
            {"listed": True, "any_source": True},
            "either every sender is believed or those of a list",
        ),
    ],
)
def test_refused(bench: Bench, fields: dict[str, object], why: str) -> None:
    with segment(bench) as made:
        before = status(bench)
        wanted = replace(made.wanted, **fields)  # type: ignore[arg-type]
        with pytest.raises(BadSegmentError) as refused:
            bench.client.set_segments([wanted])
        assert refused.value.message == f"VXLAN segment of VNI {wanted.vni}: {why}"
        assert status(bench) == before


def test_refused_together(bench: Bench) -> None:
    with segment(bench) as made:
        before = status(bench)
        others = [
            replace(made.wanted, ifindex=1000 + i, vni=1000 + i, port=5000 + i) for i in range(300)
        ]
        same = replace(made.wanted, ifindex=1000)
        with pytest.raises(BadSegmentError, match="there are two of it"):
            bench.client.set_segments([made.wanted, same])
        with pytest.raises(NoRoomError, match="VXLAN at more than 4 UDP ports"):
            bench.client.set_segments([made.wanted, *others[:4]])
        with pytest.raises(NoRoomError, match="300 VXLAN segments: at most 255"):
            bench.client.set_segments(others)
        assert status(bench) == before


def test_a_worker_without_room_for_vxlan() -> None:
    wanted = WorkerSegment(7, 8, 9, 4, PORT, FIRST_PORT, LAST_PORT, MTU, TTL)
    with Bench.running("mw") as bench:
        with pytest.raises(NoRoomError, match="started without room for VXLAN"):
            bench.client.set_segments([wanted])
        bench.client.set_segments([])
        assert bench.client.status().segments == ()


# ---- groups of next hops ------------------------------------------------------------------


def test_a_group_of_next_hops(bench: Bench) -> None:
    """As FRR writes a station behind two VTEPs of one site (RFC 7432 section 8.4)."""
    with segment(bench, vteps=()) as made, ExitStack() as stack:
        flush = ["ip", "-n", bench.gw, "nexthop", "flush"]
        stack.callback(namespaces.run, flush, check=False)
        bench.ip(
            f"nexthop add id 1 via {PEER[4]} fdb",
            f"nexthop add id 2 via {OTHER[4]} fdb",
            "nexthop add id 10 group 1/2 fdb",
        )
        made.fdb("add", FAR.mac, "dev", made.device, "nhid", "10", "self")
        made.fdb("add", FAR.mac, "dev", made.device, "master", "static")
        # Which one it is for a flow the kernel knows; both may send.
        assert place(made).kind is PlaceKind.KERNEL
        assert status(bench).vteps == 2
        bench.ip("nexthop replace id 10 group 2 fdb")
        assert place(made).vtep == OTHER[4]
        assert status(bench).vteps == 1
        bench.ip(f"nexthop replace id 2 via {PEER[4]} fdb")
        assert place(made).vtep == PEER[4]
        made.fdb("del", FAR.mac, "dev", made.device, "self")
        assert place(made).kind is PlaceKind.KERNEL
        assert status(bench).vteps == 0
