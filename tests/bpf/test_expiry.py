# SPDX-License-Identifier: GPL-2.0-or-later
"""When a session ends, and that all it held is free then."""

import time
from collections.abc import Callable
from ipaddress import IPv4Address

import pytest
from scapy.layers.inet import IP, UDP
from scapy.packet import Packet

from tests.lib.packets import LAN, LAN2, SERVER, WAN, echo, tcp, udp

from .plane import OUTSIDE, SETTINGS, Outcome, Plane

CLOCK_MONOTONIC_COARSE = 6
"""From <linux/time.h>; Python has no name for it."""
SWEEP_S = 10.0
"""The timer scans every second; a loaded machine may be late."""
KINDS = [
    (udp(LAN.ip, SERVER, 4000, 53), SETTINGS.udp),
    (echo(LAN.ip, SERVER, 77), SETTINGS.icmp),
    (tcp(LAN.ip, SERVER, 4000, 80), SETTINGS.tcp_transitory),
]


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SWEEP_S
    while not condition():
        assert time.monotonic() < deadline, "the sweep did not come"
        time.sleep(0.02)


def _coarse_ns() -> int:
    """The clock that the data path reads."""
    return time.clock_gettime_ns(CLOCK_MONOTONIC_COARSE)


def _deadline(plane: Plane) -> int:
    record = plane.dataplane.table("gw_records").get(plane.session().index)
    assert record is not None
    return int(record.session.deadline)


@pytest.mark.parametrize(("packet", "seconds"), KINDS, ids=["udp", "icmp", "tcp"])
def test_each_kind_has_its_timer(plane: Plane, packet: Packet, seconds: int) -> None:
    before = _coarse_ns()
    plane.lan(packet)
    after = _coarse_ns()

    assert before <= _deadline(plane) - seconds * 10**9 <= after


def test_both_ends_of_a_call_refresh_it(plane: Plane) -> None:
    """Either packet leaves an inside host."""
    callee = plane.lan(udp(LAN2.ip, SERVER, 5000, 53), LAN2).packet[UDP].sport
    caller = plane.lan(udp(LAN.ip, WAN.ip, 4000, callee)).packet[UDP].sport

    def left() -> float:
        (call,) = (session for session in plane.sessions() if session.origin == "hairpin")
        return call.expires_in

    plane.configure(udp=1000)
    plane.lan(udp(LAN2.ip, WAN.ip, 5000, caller), LAN2)
    assert left() > SETTINGS.udp
    plane.configure(udp=5000)
    plane.lan(udp(LAN.ip, WAN.ip, 4000, callee))
    assert left() > 1000


def _found_expired(plane: Plane, meet: Callable[[int], Outcome]) -> dict[str, int]:
    """What is counted when a packet, and not the timer, finds the session expired."""
    while True:
        port = plane.lan(udp(LAN.ip, SERVER, 4000, 53)).packet[UDP].sport
        swept = plane.swept()
        assert plane.expire() == 1
        counted = meet(port).counted
        if plane.swept() == swept:
            return counted


def test_an_expired_session_is_a_miss_from_inside(plane: Plane) -> None:
    counted = _found_expired(plane, lambda _: plane.lan(udp(LAN.ip, SERVER, 4000, 53)))

    assert counted == {
        "FORWARD": 1,
        "NAT_EXPIRED_SESSION": 1,
        "NAT_CLOSED_SESSION": 1,
        "NAT_NEW_SESSION": 1,
        "NAT_NEW_MAPPING": 1,
    }
    assert plane.session().packets_out == 1
    assert plane.host(LAN.ip) == (1, 1)


def test_an_expired_session_is_a_miss_from_outside(plane: Plane) -> None:
    counted = _found_expired(plane, lambda port: plane.wan(udp(SERVER, WAN.ip, 53, port)))

    assert counted == {"DROP_NO_MAPPING": 1, "NAT_EXPIRED_SESSION": 1, "NAT_CLOSED_SESSION": 1}
    assert plane.own.leaks() == []


def test_the_kernel_sweeps_by_itself(plane: Plane) -> None:
    for sport in range(4000, 4020):
        plane.lan(udp(LAN.ip, SERVER, sport, 53))
    kept = plane.lan(udp(LAN.ip, SERVER, 5000, 53)).packet[UDP].sport
    plane.expire(lambda session: session.inside[1] < 5000)

    _until(lambda: plane.dataplane.session_count() == 1)

    assert plane.host(LAN.ip) == (1, 1)
    assert plane.session().outside[1] == kept
    assert plane.wan(udp(SERVER, WAN.ip, 53, kept)).counted == {"FORWARD": 1}


def test_expired_sessions_are_not_shown(plane: Plane) -> None:
    plane.lan(udp(LAN.ip, SERVER, 4000, 53))
    plane.expire()

    assert plane.sessions() == []


def test_clearing_ends_every_session(plane: Plane) -> None:
    for sport in range(4000, 4100):
        plane.lan(udp(LAN.ip, SERVER, sport, 53))
    assert plane.dataplane.session_count() == 100

    assert plane.dataplane.clear_sessions() == 100
    assert plane.own.leaks() == []
    assert plane.dataplane.clear_sessions() == 0


def test_sessions_are_paged(plane: Plane) -> None:
    for sport in range(4000, 4010):
        plane.lan(udp(LAN.ip, SERVER, sport, 53))
    seen: list[int] = []
    cursor: int | None = 0
    while cursor is not None:
        page, cursor = plane.dataplane.sessions(cursor, 3)
        assert len(page) <= 3
        seen += [session.inside[1] for session in page]

    assert sorted(seen) == list(range(4000, 4010))


def test_sessions_end_with_their_outside_address(plane: Plane) -> None:
    """The same endpoint goes on from the new address, not from one that is not ours."""
    plane.lan(udp(LAN.ip, SERVER, 4000, 53))
    plane.lan(tcp(LAN.ip, SERVER, 4000, 80))
    other = IPv4Address("203.0.113.60")
    plane.configure(addresses=(other,))

    assert plane.sessions() == []
    plane.dataplane.set_addresses([other])
    sent = plane.lan(udp(LAN.ip, SERVER, 4000, 53))
    assert sent.packet[IP].src == str(other)
    assert sent.verdict == "FORWARD"


def test_sessions_of_other_addresses_go_on(plane: Plane) -> None:
    plane.lan(udp(LAN.ip, SERVER, 4000, 53))
    plane.dataplane.set_addresses([OUTSIDE])

    assert len(plane.sessions()) == 1
