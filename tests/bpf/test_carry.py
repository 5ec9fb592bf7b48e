# SPDX-License-Identifier: GPL-2.0-or-later
"""Sessions go over to maps of another size, and whoever is killed meanwhile loses none."""

from collections.abc import Iterator
from typing import Any

import pytest
from _gw_native import ffi
from scapy.layers.inet import UDP

from hybrid_gateway.bpf import DataPlane, MapSizes
from hybrid_gateway.bpf.attach import query
from tests.lib.packets import LAN, SERVER, WAN, udp

from .kinds import KINDS, Kind, opened
from .own_maps import OwnMaps
from .plane import OUTSIDE, Plane, loaded, object_dir
from .saved import exported
from .site import Site

SMALL, LARGE = 64, 256
PORT = "mgmt0"
"""Free for these tests: the shared plane has the others."""


@pytest.fixture
def plane(site: Site) -> Iterator[Plane]:
    """A data plane of one test's own, attached to one port."""
    with site.entered(), loaded(site, "c", SMALL, ports=()) as own:
        attach(own)
        own.reset()
        yield own
        assert [path.name for path in sorted(own.instance.pin_dir.glob("maps*"))] == ["maps"]


def attach(plane: Plane) -> None:
    plane.dataplane.attach(plane.site.ifindex(PORT), PORT, True)


def start(plane: Plane, sessions: int) -> DataPlane:
    """What another agent of the instance does, up to where its tables are filled; the one before
    is as good as dead."""
    before, statics = plane.dataplane, plane.static_records
    plane.dataplane = DataPlane(plane.instance.name, object_dir())
    plane.capacity = sessions
    plane.dataplane.load(MapSizes(sessions, pool=2))
    plane.program = plane.dataplane._program("gw_xdp")
    plane.reset()
    plane.statics(*statics)
    before.close()
    return plane.dataplane


def put_in_force(plane: Plane) -> list[str]:
    """Until then `own` are the maps from before."""
    notes = plane.dataplane.commit()
    plane.own.close()
    plane.own = OwnMaps(plane.dataplane, plane.instance)
    return notes


def identities(plane: Plane) -> set[bytes]:
    """What of the sessions no time changes."""
    last = ffi.offsetof("struct gw_saved", "left")
    first = ffi.offsetof("struct gw_saved", "arrives")
    age, kind = (ffi.offsetof("struct gw_saved", name) for name in ("age", "protocol"))
    raw = [bytes(ffi.buffer(saved)) for saved in exported(plane)]
    return {one[:last] + one[first:age] + one[kind:] for one in raw}


@pytest.mark.parametrize("kind", KINDS)
def test_another_size(plane: Plane, kind: Kind) -> None:
    frames = opened(plane, kind)
    outcomes = [plane.run(*frame) for frame in frames]
    before = identities(plane)
    program = query(plane.site.ifindex(PORT))[0]

    start(plane, LARGE)
    assert plane.dataplane.session_count() == 0
    assert query(plane.site.ifindex(PORT))[0] == program  # which forwards until then
    notes = put_in_force(plane)

    assert notes == [f"{len(before)} sessions carried over"]
    assert identities(plane) == before
    assert query(plane.site.ifindex(PORT))[0] != program
    assert [plane.run(*frame) for frame in frames] == outcomes
    plane.dataplane.clear_sessions()
    assert plane.own.leaks() == []


def test_too_many_for_the_new_size(plane: Plane) -> None:
    for port in range(4000, 4020):
        plane.lan(udp(LAN.ip, SERVER, port, 53))
    start(plane, 16)
    notes = put_in_force(plane)

    assert notes == [
        "16 sessions carried over",
        "4 sessions not carried over: no room for them",
    ]
    assert plane.dataplane.session_count() == 16


def test_an_outside_address_that_is_gone(plane: Plane) -> None:
    plane.lan(udp(LAN.ip, SERVER, 4000, 53))
    start(plane, LARGE)
    plane.configure(addresses=())

    assert put_in_force(plane) == [
        "1 sessions not carried over: their outside address is not ours any more"
    ]


def test_a_change_of_mind(plane: Plane) -> None:
    """Everything is as it was, also after the ports had gone over."""
    outcome = plane.lan(udp(LAN.ip, SERVER, 4000, 53))
    program, own = query(plane.site.ifindex(PORT))[0], plane.program
    for carried in (False, True):
        plane.dataplane.load(MapSizes(LARGE, pool=2))
        plane.dataplane.set_settings(plane.settings)
        if carried:
            plane.dataplane.carry()
            assert query(plane.site.ifindex(PORT))[0] != program
        assert plane.dataplane.rollback()

        assert query(plane.site.ifindex(PORT))[0] == program
        assert plane.dataplane._program("gw_xdp") == own
        assert plane.lan(udp(LAN.ip, SERVER, 4000, 53)).frame == outcome.frame
        assert plane.dataplane.session_count() == 1


def test_a_change_of_mind_of_another_agent(plane: Plane) -> None:
    plane.lan(udp(LAN.ip, SERVER, 4000, 53))
    program = query(plane.site.ifindex(PORT))[0]
    start(plane, LARGE)
    plane.dataplane.carry()
    assert plane.dataplane.rollback()
    assert query(plane.site.ifindex(PORT))[0] == program

    start(plane, SMALL)
    assert plane.dataplane.session_count() == 1
    assert plane.dataplane.commit() == []


def _killed_before_the_sessions(dataplane: DataPlane) -> None:
    """Leaves maps beside those in force."""
    assert dataplane


def _killed_before_the_end(dataplane: DataPlane) -> None:
    """The ports are with the new maps, whose pins are not in place yet."""
    dataplane.carry()


def _killed_after_the_exchange(dataplane: DataPlane) -> None:
    dataplane.carry()
    dataplane._pins._exchange()


@pytest.mark.parametrize(
    "end", [_killed_before_the_sessions, _killed_before_the_end, _killed_after_the_exchange]
)
@pytest.mark.parametrize("sessions", [SMALL, LARGE, 2 * LARGE])
def test_an_agent_is_killed_meanwhile(plane: Plane, end: Any, sessions: int) -> None:
    """Whatever the next one is told to make of it."""
    port = plane.lan(udp(LAN.ip, SERVER, 4000, 53)).packet[UDP].sport
    start(plane, LARGE)
    end(plane.dataplane)
    carried = plane.dataplane.session_count()
    # One more, where the packets go.
    if carried:
        plane.lan(udp(LAN.ip, SERVER, 4001, 53))

    start(plane, sessions)
    put_in_force(plane)

    assert plane.dataplane.session_count() == 1 + carried
    assert plane.wan(udp(SERVER, WAN.ip, 53, port)).verdict == "FORWARD"
    assert plane.lan(udp(LAN.ip, SERVER, 4000, 53)).packet[UDP].sport == port


def test_an_agent_is_killed_between_two_ports(plane: Plane) -> None:
    """Some forward with the new maps and some with the old, where sessions go on being opened."""
    ports = [plane.lan(udp(LAN.ip, SERVER, 4000, 53)).packet[UDP].sport]
    killed = DataPlane(plane.instance.name, object_dir())
    killed.load(MapSizes(LARGE, pool=2))
    killed.set_addresses([OUTSIDE])
    killed.set_settings(plane.settings)
    killed.carry()
    # Through the program that `plane` has: as if its port had not come over yet.
    ports.append(plane.lan(udp(LAN.ip, SERVER, 4001, 53)).packet[UDP].sport)
    killed.close()

    start(plane, LARGE)
    assert plane.dataplane.session_count() == 1
    assert put_in_force(plane) == ["1 sessions carried over"]
    found = [plane.lan(udp(LAN.ip, SERVER, p, 53)).packet[UDP].sport for p in (4000, 4001)]
    assert found == ports


def test_ports_go_on_counting(plane: Plane) -> None:
    plane.lan(udp(LAN.ip, SERVER, 4000, 53))
    before, row = plane.counters("lan0"), plane.row("lan0")
    start(plane, LARGE)
    put_in_force(plane)

    assert plane.row("lan0") == row
    assert plane.counters("lan0") == before
    assert before["FORWARD"] == 1


def test_a_port_goes_on_resting(plane: Plane) -> None:
    """Of two, the one that nobody has just used is given out."""
    plane.configure(ports=(61002, 61003), port_rest=120)
    first = plane.lan(udp(LAN.ip, SERVER, 4000, 53)).packet[UDP].sport
    plane.dataplane.clear_sessions()

    start(plane, LARGE)
    plane.configure(ports=(61002, 61003), port_rest=120)
    put_in_force(plane)

    assert {plane.lan(udp(LAN.ip, SERVER, 4001, 53)).packet[UDP].sport, first} == {61002, 61003}
    assert plane.lan(udp(LAN.ip, SERVER, 4002, 53)).verdict == "DROP_NO_PORT"
