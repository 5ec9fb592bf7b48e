# SPDX-License-Identifier: GPL-2.0-or-later
"""The way to a VTEP: next hops, their MTU, and what changes under a tunnel."""

from collections.abc import Iterator
from itertools import count

import pytest
from scapy.layers.inet import UDP
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from tests.dpdk.stretched import Stretched
from tests.dpdk.vxlan import (
    FAMILIES,
    FAR,
    FARTHER,
    HERE,
    PEER,
    SIZES,
    Station,
    between,
    identification,
    ifindex,
    source_port,
)
from tests.dpdk.wires import Cable
from tests.lib.gateway import eventually

pytestmark = pytest.mark.dpdk
families = pytest.mark.parametrize("family", FAMILIES)

FAR_AWAY = {4: "203.0.113.{}", 6: "2001:db8:ff::{}"}
"""VTEPs behind routers, one for each test: what a tunnel keeps is none of another's."""
NUMBERS = count(1)


@pytest.fixture(scope="module")
def made() -> Iterator[Stretched]:
    with Stretched.running("vu") as running:
        running.bench.port("edge", "192.0.3.1/24", "2001:db8:3::1/64")
        yield running


@pytest.fixture
def sides(made: Stretched) -> Stretched:
    made.as_made()
    return made


def edge(sides: Stretched) -> Cable:
    """A second port of the underlay."""
    return sides.bench.ports["edge"]


def remote(sides: Stretched, family: int, *lines: str) -> tuple[Station, str]:
    """A station behind a VTEP of its own; `lines` are `ip route` commands with {} for the VTEP."""
    number = next(NUMBERS)
    vtep = FAR_AWAY[family].format(number)
    station = Station(f"10.9.1.{number}", f"02:00:00:00:0b:{number:02x}")
    sides.bench.ip(*(line.format(vtep) for line in lines))
    sides.segments[family].station(station, vtep)
    sides.bench.settle()
    return station, vtep


def of_size(station: Station, size: int) -> Packet:
    """An inner frame of so many bytes."""
    return Ether(src=HERE.mac, dst=station.mac, type=0x9000) / Raw(bytes(size - 14))


def leaves(sides: Stretched, inner: Packet, family: int, vtep: str, by: Cable) -> None:
    """The whole frame, by that port."""
    counting = sides.bench.counting()
    seen = sides.through(inner, family, by)
    wanted = sides.leaving(inner, family, seen, target=vtep, macs=(by.mac, by.far_mac))
    assert bytes(seen) == bytes(wanted)
    counting.expect(VXLAN_ENCAP=1)


@families
def test_by_a_router(sides: Stretched, family: int) -> None:
    station, vtep = remote(sides, family, f"route add {{}} via {PEER[family]}")

    leaves(sides, between(HERE, station), family, vtep, sides.core)


@families
def test_a_route_that_moves(sides: Stretched, family: int) -> None:
    """What the tunnel has kept is out of date at once."""
    gateway = {4: "192.0.3.9", 6: "2001:db8:3::9"}[family]
    sides.bench.neighbour(edge(sides), gateway)
    station, vtep = remote(sides, family, f"route add {{}} via {PEER[family]}")
    ways = ((f"via {PEER[family]}", sides.core), (f"via {gateway}", edge(sides)))
    for way, port in ways * 2:
        sides.bench.ip(f"route replace {vtep} {way}")
        sides.bench.settle()
        leaves(sides, between(HERE, station), family, vtep, port)


@families
def test_a_neighbour_that_is_not_known(sides: Stretched, family: int) -> None:
    """The kernel sends the frame, and so looks for it; later it is the worker's."""
    address = {4: "192.0.3.50", 6: "2001:db8:3::50"}[family]
    segment, station = sides.segments[family], Station("10.9.2.1", f"02:00:00:00:0c:0{family}")
    segment.station(station, address)
    sides.bench.settle()
    sides.kept(between(HERE, station), family, PUNT_NEIGHBOUR=1)
    sides.bench.neighbour(edge(sides), address)
    sides.bench.settle()
    leaves(sides, between(HERE, station), family, address, edge(sides))

    sides.bench.ip(f"neigh del {address} dev edge")
    sides.bench.settle()
    sides.kept(between(HERE, station), family, PUNT_NEIGHBOUR=1)


@families
@pytest.mark.parametrize(
    ("route", "counter"),
    [
        ("", "PUNT_NO_ROUTE"),
        ("route add unreachable {}", "PUNT_UNREACHABLE"),
        ("route add local {} dev lo", "PUNT_LOCAL"),
    ],
)
def test_no_way(sides: Stretched, family: int, route: str, counter: str) -> None:
    station, _ = remote(sides, family, *([route] if route else []))

    sides.kept(between(HERE, station), family, **{counter: 1})


@families
def test_a_blackhole(sides: Stretched, family: int) -> None:
    station, _ = remote(sides, family, "route add blackhole {}")
    counting = sides.bench.counting()
    sides.access[family].far.send([between(HERE, station)])
    counting.expect(DROP_BLACKHOLE=1)


@families
def test_several_ways(sides: Stretched, family: int) -> None:
    """Each flow has one of them, and all are used."""
    gateway = {4: "192.0.3.9", 6: "2001:db8:3::9"}[family]
    sides.bench.neighbour(edge(sides), gateway)
    hops = f"nexthop via {PEER[family]} dev core nexthop via {gateway} dev edge"
    station, _ = remote(sides, family, f"route add {{}} {hops}")
    seen: dict[str, set[int]] = {"core": set(), "edge": set()}
    for _ in range(2):
        counting = sides.bench.counting()
        for port in (sides.core, edge(sides)):
            port.far.forget()
        frames = []
        for number in range(60):
            frame = between(HERE, station)
            frame[UDP].sport = 1000 + number
            del frame[UDP].chksum
            frames.append(frame)
        sides.access[family].far.send(frames)
        counting.expect(VXLAN_ENCAP=60)
        for name, port in (("core", sides.core), ("edge", edge(sides))):
            arrived = {source_port(one) for one in port.far.arrived() if UDP in one}
            assert len(arrived) > 10
            assert not seen[name] or seen[name] == arrived
            seen[name] = arrived


@families
def test_the_mtu_of_the_way(sides: Stretched, family: int) -> None:
    """Of the link, of a route by a router, and of one to a neighbour."""
    longest = 1500 + 14 - SIZES[family]
    sides.sent(of_size(FAR, longest), family)
    sides.kept(of_size(FAR, longest + 1), family, PUNT_TOO_BIG=1)
    for route in (f"via {PEER[family]}", "dev edge"):
        station, vtep = remote(sides, family, f"route add {{}} {route} mtu lock 1400")
        port = edge(sides) if "edge" in route else sides.core
        sides.bench.neighbour(edge(sides), vtep)
        sides.bench.settle()
        leaves(sides, of_size(station, longest - 100), family, vtep, port)
        sides.kept(of_size(station, longest - 99), family, PUNT_TOO_BIG=1)


@families
def test_what_may_be_cut(sides: Stretched, family: int) -> None:
    """It leaves in pieces, if the segment does that, and if it has no DF; see test_vxlan_cut."""
    sides.options(family, fragment=True)
    inner = of_size(FARTHER, 1514)
    counting = sides.bench.counting()
    first, second = sides.bench.burst(
        [inner], via=sides.access[family].far, at=sides.core.far, count=2
    )
    assert len(first) <= 1514
    assert len(second) < 200
    counting.expect(VXLAN_ENCAP=1, VXLAN_CUT=1)
    if family == 4:
        assert identification(first) == identification(second)
        sides.options(family, fragment=True, df=True)
        sides.kept(inner, family, PUNT_TOO_BIG=1)


@families
def test_a_device_that_is_bound_to_a_link(sides: Stretched, family: int) -> None:
    """What the FIB sends elsewhere is the kernel's, which has a way of its own for it."""
    sides.options(family, link=ifindex(sides.bench, "core"))
    sides.sent(between(HERE, FAR), family)
    sides.options(family, link=ifindex(sides.bench, "edge"))
    sides.kept(between(HERE, FAR), family, PUNT_POLICY=1)


@families
def test_a_vtep_behind_a_bridge(sides: Stretched, family: int) -> None:
    """The underlay is a bridge's network: the frame leaves by the port of the VTEP's MAC."""
    sides.bench.ip(
        "link add under type bridge forward_delay 0 mcast_snooping 0",
        "address flush dev edge",
        "link set edge master under",
        "link set under up",
        "address add 192.0.3.1/24 dev under",
        "address add 2001:db8:3::1/64 dev under nodad",
    )
    address = {4: "192.0.3.60", 6: "2001:db8:3::60"}[family]
    station = Station("10.9.2.2", f"02:00:00:00:0d:0{family}")
    sides.segments[family].station(station, address)
    port = edge(sides)
    sides.bench.ip(f"neigh replace {address} lladdr {port.far_mac} dev under nud permanent")
    sides.bench.run("bridge", "fdb", "replace", port.far_mac, "dev", "edge", "master", "static")
    sides.bench.settle()
    seen = sides.through(between(HERE, station), family, port)
    assert bytes(seen)[SIZES[family] :] == bytes(between(HERE, station))
    # And back: a VTEP behind a bridge is believed there.
    inner = between(station, HERE)
    outer = sides.segments[family].arriving(inner, source=address, macs=(port.far_mac, seen.src))
    counting = sides.bench.counting("edge")
    back = sides.bench.send_and_expect(outer, via=port.far, at=sides.access[family].far)
    assert bytes(back) == bytes(inner)
    counting.expect(VXLAN_DECAP=1)
    sides.bench.ip(
        "link set edge nomaster",
        "link del under",
        "address add 192.0.3.1/24 dev edge",
        "address add 2001:db8:3::1/64 dev edge nodad",
    )
    sides.bench.settle()


@families
def test_a_tunnel_that_goes(sides: Stretched, family: int) -> None:
    """With its last station and its place in the list: nobody there is believed any more."""
    segment = sides.segments[family]
    station, vtep = remote(sides, family, f"route add {{}} via {PEER[family]}")
    inner = between(station, HERE)
    sides.taken(segment.arriving(inner, source=vtep), inner, family)
    segment.fdb("del", station.mac, "dev", segment.device, "dst", vtep, "self")
    segment.fdb("del", station.mac, "dev", segment.device, "master")
    sides.bench.settle()
    sides.dropped(segment.arriving(inner, source=vtep), DROP_VTEP=1)
    # Nobody knows the station any more: it is flooded, to the VTEP on the list.
    counting = sides.bench.counting()
    seen = sides.through(between(HERE, station), family, sides.core)
    assert bytes(seen) == bytes(sides.leaving(between(HERE, station), family, seen))
    counting.expect_some(VXLAN_FLOOD=1)


@families
def test_under_load_while_routes_change(sides: Stretched, family: int) -> None:
    """Every frame leaves by one way or the other, whole, or is the kernel's."""
    gateway = {4: "192.0.3.9", 6: "2001:db8:3::9"}[family]
    sides.bench.neighbour(edge(sides), gateway)
    station, vtep = remote(sides, family, f"route add {{}} via {PEER[family]}")
    inner = between(HERE, station)
    counting = sides.bench.counting(f"p{family}")
    for number in range(20):
        sides.access[family].far.send([inner] * 20)
        way = f"via {gateway}" if number % 2 == 0 else f"via {PEER[family]}"
        sides.bench.ip(f"route replace {vtep} {way}")
    eventually(lambda: sum(counting.now().values()) == 400, "each is counted")
    assert counting.now()["VXLAN_ENCAP"] > 200
    sides.bench.settle()
    leaves(sides, inner, family, vtep, sides.core)
