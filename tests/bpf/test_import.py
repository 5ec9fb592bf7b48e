# SPDX-License-Identifier: GPL-2.0-or-later
"""Sessions that go on in other maps than they were opened in."""

from typing import Any

import pytest
from _gw_native import lib
from scapy.layers.inet import TCP, UDP

from tests.lib.packets import LAN, LAN2, SERVER, SERVER2, WAN, tcp, udp

from .kinds import KINDS, Kind, lan_frame, opened, tcp_kind, udp_kind
from .plane import ONE_TO_ONE, OUTSIDE, SETTINGS, Plane
from .saved import copy, exported, imported


def _carried(plane: Plane) -> list[Any]:
    """Every session is gone and back; returns their records."""
    saved = exported(plane)
    assert plane.dataplane.clear_sessions() == len(saved)
    assert plane.own.leaks() == []
    assert imported(plane, saved) == ["DONE"] * len(saved)
    assert plane.dataplane.session_count() == len(saved)
    return saved


def _hosts(plane: Plane) -> list[tuple[int, int]]:
    return [plane.host(LAN.ip), plane.host(LAN2.ip)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_session_goes_on_as_it_was(plane: Plane, kind: Kind) -> None:
    frames = opened(plane, kind)
    before = [plane.run(*frame) for frame in frames]
    hosts, sessions = _hosts(plane), len(plane.sessions())

    _carried(plane)

    assert _hosts(plane) == hosts
    assert [plane.run(*frame) for frame in frames] == before
    assert len(plane.sessions()) == sessions


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_session_held_is_free_in_the_end(plane: Plane, kind: Kind) -> None:
    opened(plane, kind)
    _carried(plane)
    plane.expire()
    plane.sweep()

    assert plane.own.leaks() == []


def test_what_is_known_about_a_session_stays_known(plane: Plane) -> None:
    frames = opened(plane, tcp_kind)
    (saved,) = exported(plane)
    plane.dataplane.clear_sessions()
    old = copy(saved, age=10**6, left=1234 * 10**9, fins=1)

    assert imported(plane, [old]) == ["DONE"]

    session = plane.session()
    assert (session.state, session.packets_out, session.packets_in) == ("established", 3, 1)
    assert 10**6 <= session.age < 10**6 + 60
    assert 1200 < session.expires_in <= 1234
    assert exported(plane)[0].fins == 1
    assert plane.run(*frames[0]).counted == {"FORWARD": 1}


def test_no_session_lives_longer_than_its_timer(plane: Plane) -> None:
    opened(plane, udp_kind)
    saved = exported(plane)[0]
    plane.dataplane.clear_sessions()

    assert imported(plane, [copy(saved, left=2**64 - 1)]) == ["DONE"]
    assert SETTINGS.udp - 60 < plane.session().expires_in <= SETTINGS.udp


def test_the_permit_comes_along(plane: Plane) -> None:
    """Who was written to may write from any port; who was not may not."""
    port = plane.lan(udp(LAN.ip, SERVER, 4000, 53)).packet[UDP].sport
    _carried(plane)

    assert plane.wan(udp(SERVER2, WAN.ip, 53, port)).verdict == "DROP_FILTERED"
    assert plane.wan(udp(SERVER, WAN.ip, 54, port)).verdict == "FORWARD"


def test_a_host_keeps_its_address_of_the_pool(plane: Plane) -> None:
    plane.configure(addresses=(OUTSIDE, ONE_TO_ONE))
    hosts = [f"192.168.110.{last}" for last in range(10, 26)]
    before = {host: plane.lan(udp(host, SERVER, 4000, 53)).packet["IP"].src for host in hosts}
    saved = exported(plane)
    plane.dataplane.clear_sessions()
    plane.configure(addresses=(ONE_TO_ONE, OUTSIDE))

    assert set(imported(plane, saved)) == {"DONE"}
    after = {host: plane.lan(udp(host, SERVER, 4001, 53)).packet["IP"].src for host in hosts}
    assert after == before
    plane.dataplane.clear_sessions()


def test_a_port_that_rests_is_still_its_own(plane: Plane) -> None:
    plane.configure(ports=(61002, 61003), port_rest=120)
    frame = lan_frame(udp(LAN.ip, SERVER, 4000, 53))
    before = plane.run(*frame).frame
    saved = exported(plane)
    plane.dataplane.clear_sessions()
    resting = plane.run(*frame).frame
    assert resting != before
    plane.dataplane.clear_sessions()

    assert imported(plane, saved) == ["DONE"]
    assert plane.run(*frame).frame == before
    assert plane.lan(udp(LAN2.ip, SERVER, 5000, 53), LAN2).verdict == "DROP_NO_PORT"


def test_limits_of_a_host_do_not_end_what_was_legal(plane: Plane) -> None:
    for sport in range(4000, 4010):
        plane.lan(udp(LAN.ip, SERVER, sport, 53))
    saved = exported(plane)
    plane.dataplane.clear_sessions()
    plane.configure(host_sessions=2, host_ports=2)

    assert imported(plane, saved) == ["DONE"] * 10
    assert plane.host(LAN.ip) == (10, 10)
    assert plane.lan(udp(LAN.ip, SERVER, 4000, 54)).verdict == "DROP_HOST_LIMIT"


# ---- what is there already ------------------------------------------------------------------


def test_a_session_that_lives_already(plane: Plane) -> None:
    frames = opened(plane, udp_kind)
    hosts, saved = _hosts(plane), exported(plane)

    assert imported(plane, saved) == ["MERGED"] * len(saved)

    assert _hosts(plane) == hosts
    assert plane.run(*frames[0]).counted == {"FORWARD": 1}
    assert len(plane.sessions()) == len(saved)


def test_a_packet_came_before_the_import(plane: Plane) -> None:
    """From outside to a mapping; what the sender had before is known again."""
    plane.configure(filtering=0)
    first = udp(LAN.ip, SERVER, 4000, 53)
    port = plane.lan(first).packet[UDP].sport
    plane.lan(udp(LAN.ip, SERVER2, 4000, 53))
    plane.lan(first)
    saved = [copy(record, age=500) for record in exported(plane)]
    plane.dataplane.clear_sessions()
    assert imported(plane, saved[1:]) == ["DONE"]
    plane.wan(udp(SERVER, WAN.ip, 53, port))

    assert imported(plane, saved) == ["CONFLICT", "MERGED"]


@pytest.mark.parametrize(
    ("there", "comes", "left"),
    [
        (lib.GW_TCP_ESTABLISHED, lib.GW_TCP_ESTABLISHED, 500),
        (lib.GW_TCP_OPENING, lib.GW_TCP_ESTABLISHED, 100),
        (lib.GW_TCP_ESTABLISHED, lib.GW_TCP_CLOSING, 100),
        (lib.GW_TCP_CLOSING, lib.GW_TCP_ESTABLISHED, 500),
    ],
)
def test_the_later_state_of_a_connection_counts(
    plane: Plane, there: int, comes: int, left: int
) -> None:
    plane.configure(tcp_transitory=1000)
    opened(plane, tcp_kind)
    (saved,) = exported(plane)
    plane.dataplane.clear_sessions()
    first = copy(saved, tcp_state=there, left=500 * 10**9, fins=1)
    second = copy(saved, tcp_state=comes, left=100 * 10**9, fins=2)

    assert imported(plane, [first, second]) == ["DONE", "MERGED"]

    (merged,) = exported(plane)
    assert merged.tcp_state == max(there, comes)
    assert merged.fins == 3
    assert left - 60 < merged.left / 10**9 <= left


def test_an_expired_session_is_replaced(plane: Plane) -> None:
    frames = opened(plane, udp_kind)
    saved = exported(plane)
    plane.expire()

    assert imported(plane, saved) == ["DONE"] * len(saved)
    assert plane.run(*frames[0]).counted == {"FORWARD": 1}


def test_the_old_maps_do_not_close_what_was_reopened(plane: Plane) -> None:
    """The ports change over, the endpoints connect anew, and then the old maps come again."""
    plane.lan(tcp(LAN.ip, SERVER, 4000, 80))
    (opened,) = exported(plane)
    plane.dataplane.clear_sessions()
    closing = copy(opened, tcp_state=lib.GW_TCP_CLOSING, fins=3, left=100 * 10**9)
    imported(plane, [closing])
    port = plane.lan(tcp(LAN.ip, SERVER, 4000, 80)).packet[TCP].sport
    plane.wan(tcp(SERVER, WAN.ip, 80, port, "SA"))
    plane.lan(tcp(LAN.ip, SERVER, 4000, 80, "A"))
    imported(plane, [closing])

    (merged,) = exported(plane)
    assert (merged.tcp_state, merged.fins) == (lib.GW_TCP_ESTABLISHED, 0)
    assert plane.session().expires_in > 7000
