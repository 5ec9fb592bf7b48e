# SPDX-License-Identifier: GPL-2.0-or-later
"""What RFC 6888 REQ-12 wants known about sessions and mappings, as the data path reports it."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Any

import pytest
from _gw_native import lib
from scapy.layers.inet import UDP

from hybrid_gateway import abi
from hybrid_gateway.bpf import SessionInfo
from hybrid_gateway.bpf.sessions import read_counters
from tests.lib.packets import LAN, SERVER, from_lan, tcp, udp

from .fixtures import CAPACITY
from .kinds import KINDS, Kind, opened
from .plane import ONE_TO_ONE, OUTSIDE, Plane
from .ring import Ring
from .saved import exported, imported

BOTH = lib.GW_LOG_SESSIONS | lib.GW_LOG_MAPPINGS
KIND = abi.names("gw_log_kind", "GW_LOG_")
Endpoint = tuple[IPv4Address, int]
NOBODY = (IPv4Address(0), 0)


@dataclass(frozen=True, slots=True)
class Event:
    """One record of the ring, in Python's types; `traffic` is out and in, packets and bytes."""

    kind: str
    protocol: int
    inside: Endpoint
    outside: Endpoint
    remote: Endpoint
    traffic: tuple[int, int, int, int] = (0, 0, 0, 0)


def _endpoint(endpoint: Any) -> Endpoint:
    port = int.from_bytes(int(endpoint.port).to_bytes(2, "little"), "big")
    return IPv4Address(int(endpoint.address).to_bytes(4, "little")), port


def _event(event: Any) -> Event:
    out, back = event.traffic
    assert event.inside.protocol == event.outside.protocol
    return Event(
        KIND[event.kind],
        event.inside.protocol,
        _endpoint(event.inside),
        _endpoint(event.outside),
        _endpoint(event.remote),
        (out.packets, out.bytes, back.packets, back.bytes),
    )


def _session(kind: str, session: SessionInfo, *, closed: bool = False) -> Event:
    traffic = (session.packets_out, session.bytes_out, session.packets_in, session.bytes_in)
    return Event(
        kind,
        session.protocol,
        session.inside,
        session.outside,
        session.remote,
        traffic if closed else (0, 0, 0, 0),
    )


@pytest.fixture
def ring(plane: Plane) -> Iterator[Ring]:
    ring = Ring(plane.instance)
    yield ring
    plane.configure()
    ring.close()


def _events(ring: Ring) -> list[Event]:
    return [_event(event) for event in ring.events()]


def _lost(plane: Plane) -> int:
    return read_counters(plane.dataplane.table("gw_counters"), 0)["LOG_LOST"]


def test_nothing_is_reported_unless_asked_for(plane: Plane, ring: Ring) -> None:
    plane.lan(udp(LAN.ip, SERVER, 4000, 53))
    plane.dataplane.clear_sessions()

    assert ring.events() == []


@pytest.mark.parametrize("kind", KINDS)
def test_every_session_is_reported_twice(plane: Plane, ring: Ring, kind: Kind) -> None:
    """By the same three endpoints as `gwctl show sessions` has."""
    plane.configure(log=lib.GW_LOG_SESSIONS)
    opened(plane, kind)
    sessions = plane.sessions()
    # What a kind needs before it is another session, which may have ended meanwhile.
    before = _events(ring)
    assert {event.kind for event in before} <= {"SESSION_OPENED", "SESSION_CLOSED"}
    assert {_session("SESSION_OPENED", session) for session in sessions} <= set(before)

    assert plane.dataplane.clear_sessions() == len(sessions)

    closed = [_session("SESSION_CLOSED", session, closed=True) for session in sessions]
    assert sorted(_events(ring), key=str) == sorted(closed, key=str)


def test_a_mapping_is_reported_with_its_first_and_last_session(plane: Plane, ring: Ring) -> None:
    plane.configure(log=lib.GW_LOG_MAPPINGS)
    port = plane.lan(udp(LAN.ip, SERVER, 4000, 53)).packet[UDP].sport
    plane.lan(udp(LAN.ip, SERVER, 4000, 54))
    inside, outside = (IPv4Address(LAN.ip), 4000), (OUTSIDE, port)
    assert _events(ring) == [Event("MAPPING_OPENED", 17, inside, outside, NOBODY)]

    plane.expire(lambda session: session.remote[1] == 53)
    plane.sweep()
    assert _events(ring) == []
    plane.expire()
    plane.sweep()
    assert _events(ring) == [Event("MAPPING_CLOSED", 17, inside, outside, NOBODY)]


def test_a_mapping_encloses_its_sessions(plane: Plane, ring: Ring) -> None:
    plane.configure(log=BOTH)
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    plane.lan(tcp(LAN.ip, SERVER, 4000, 80))
    plane.dataplane.clear_sessions()
    events = ring.events()

    assert [KIND[event.kind] for event in events] == [
        "MAPPING_OPENED",
        "SESSION_OPENED",
        "SESSION_CLOSED",
        "MAPPING_CLOSED",
    ]
    times = [event.time for event in events]
    assert times == sorted(times)
    assert before - 10**8 < times[0] <= times[-1] <= time.clock_gettime_ns(time.CLOCK_MONOTONIC)


def test_an_address_that_is_gone_is_named_as_it_was(plane: Plane, ring: Ring) -> None:
    plane.configure(log=BOTH)
    port = plane.lan(udp(LAN.ip, SERVER, 4000, 53)).packet[UDP].sport
    ring.events()
    plane.configure(log=BOTH, addresses=(ONE_TO_ONE,))

    closed = _events(ring)
    assert [event.kind for event in closed] == ["SESSION_CLOSED", "MAPPING_CLOSED"]
    assert {event.outside for event in closed} == {(OUTSIDE, port)}


def test_a_session_that_a_packet_finds_expired(plane: Plane, ring: Ring) -> None:
    plane.configure(log=lib.GW_LOG_SESSIONS)
    plane.lan(udp(LAN.ip, SERVER, 4000, 53))
    plane.expire()
    plane.lan(udp(LAN.ip, SERVER, 4000, 53))

    kinds = [event.kind for event in _events(ring)]
    assert kinds == ["SESSION_OPENED", "SESSION_CLOSED", "SESSION_OPENED"]


def test_what_is_carried_over_is_not_reported(plane: Plane, ring: Ring) -> None:
    """It opened once and has not closed."""
    plane.lan(udp(LAN.ip, SERVER, 4000, 53))
    saved = exported(plane)
    plane.dataplane.clear_sessions()
    plane.configure(log=BOTH)
    assert imported(plane, saved) == ["DONE"]

    assert ring.events() == []
    plane.dataplane.clear_sessions()
    assert [event.kind for event in _events(ring)] == ["SESSION_CLOSED", "MAPPING_CLOSED"]


def test_what_does_not_fit_is_counted(plane: Plane, ring: Ring) -> None:
    """And holds up no packet."""
    plane.configure(log=BOTH)
    frames = [bytes(from_lan(udp(LAN.ip, SERVER, 4000 + i, 53))) for i in range(CAPACITY)]
    before, opened_sessions = _lost(plane), 0
    while _lost(plane) == before:
        for frame in frames:
            assert plane.run_uncounted(frame, "lan0")[0] == "REDIRECT"
        opened_sessions += CAPACITY
        plane.dataplane.clear_sessions()

    kept = ring.events()
    assert len(kept) + _lost(plane) - before == 4 * opened_sessions
    plane.lan(udp(LAN.ip, SERVER, 4000, 53))
    assert [event.kind for event in _events(ring)] == ["MAPPING_OPENED", "SESSION_OPENED"]
