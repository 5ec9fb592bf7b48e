# SPDX-License-Identifier: GPL-2.0-or-later
"""Something is exhausted: the newcomer is refused by name and nobody else notices."""

from collections.abc import Iterator
from ipaddress import IPv4Address

import pytest
from scapy.layers.inet import UDP

from tests.lib.packets import LAN, LAN2, SERVER, SERVER2, WAN, udp

from .fixtures import CAPACITY
from .plane import Plane


@pytest.fixture(autouse=True)
def untouched(plane: Plane) -> Iterator[None]:
    """A session that was there before the shortage works in both directions after it."""
    port = plane.lan(udp(LAN2.ip, SERVER2, 9999, 53), LAN2).packet[UDP].sport
    yield
    assert plane.lan(udp(LAN2.ip, SERVER2, 9999, 53), LAN2).counted == {"FORWARD": 1}
    assert plane.wan(udp(SERVER2, WAN.ip, 53, port)).counted == {"FORWARD": 1}


def test_sessions_of_one_host_from_outside(plane: Plane) -> None:
    plane.configure(host_sessions=2)
    port = plane.lan(udp(LAN.ip, SERVER, 4000, 53)).packet[UDP].sport

    assert plane.wan(udp(SERVER, WAN.ip, 54, port)).verdict == "FORWARD"
    assert plane.wan(udp(SERVER, WAN.ip, 55, port)).counted == {"DROP_HOST_LIMIT": 1}
    assert plane.host(LAN.ip) == (2, 1)


def test_a_host_at_its_limit_gets_what_it_gives_back(plane: Plane) -> None:
    plane.configure(host_sessions=1)
    assert plane.lan(udp(LAN.ip, SERVER, 4000, 53)).verdict == "FORWARD"
    assert plane.lan(udp(LAN.ip, SERVER, 4001, 53)).verdict == "DROP_HOST_LIMIT"

    plane.expire(lambda session: session.inside[1] == 4000)
    plane.sweep()
    assert plane.lan(udp(LAN.ip, SERVER, 4001, 53)).verdict == "FORWARD"


def test_ports_of_the_outside_address(plane: Plane) -> None:
    plane.configure(ports=(20000, 20003))
    for sport in range(4000, 4004):
        assert plane.lan(udp(LAN.ip, SERVER, sport, 53)).verdict == "FORWARD"

    for sport in (4004, 4005):
        assert plane.lan(udp(LAN.ip, SERVER, sport, 53)).counted == {
            "DROP_NO_PORT": 1,
            "NAT_REFUSAL": 1,
        }
    assert plane.lan(udp(LAN2.ip, SERVER, 4000, 53), LAN2).counted == {
        "DROP_NO_PORT": 1,
        "NAT_REFUSAL": 1,
    }
    assert plane.host(LAN.ip) == (4, 4)
    plane.configure()


def test_a_full_range_is_used_to_the_last_port(plane: Plane) -> None:
    """More ports than one search of either parity looks at is no excuse while the range is."""
    plane.configure(ports=(20000, 20000 + CAPACITY // 2 - 1))
    for sport in range(CAPACITY // 2):
        assert plane.lan(udp(LAN.ip, SERVER, 4000 + 2 * sport, 53)).verdict == "FORWARD"
    assert plane.lan(udp(LAN.ip, SERVER, 3000, 53)).verdict == "DROP_NO_PORT"


def test_the_session_table(plane: Plane) -> None:
    """All of it can be used, and used again: no record is ever lost."""
    for _ in range(2):
        for dport in range(1, CAPACITY):
            outcome = plane.lan(udp(LAN.ip, SERVER, 4000, dport))
            assert outcome.verdict == "FORWARD", (dport, outcome.counted)
        assert plane.lan(udp(LAN.ip, SERVER, 4000, 9999)).counted == {
            "DROP_TABLE_FULL": 1,
            "NAT_REFUSAL": 1,
        }
        # No outside port is taken for it either, which would rest for nothing.
        assert plane.lan(udp(LAN.ip, SERVER, 4001, 9999)).counted == {
            "DROP_TABLE_FULL": 1,
            "NAT_REFUSAL": 1,
        }
        assert plane.host(LAN.ip) == (CAPACITY - 1, 1)
        plane.expire(lambda session: session.inside[1] == 4000)
        assert plane.sweep() == CAPACITY - 1


def test_others_cannot_lock_a_host_out(plane: Plane) -> None:
    """A quarter of its share is for what it opens itself."""
    plane.configure(host_sessions=8)
    port = plane.lan(udp(LAN.ip, SERVER, 4000, 53)).packet[UDP].sport
    for sport in range(100, 105):
        assert plane.wan(udp(SERVER, WAN.ip, sport, port)).verdict == "FORWARD"

    assert plane.wan(udp(SERVER, WAN.ip, 105, port)).counted == {"DROP_HOST_LIMIT": 1}
    assert plane.lan(udp(LAN.ip, SERVER, 4000, 54)).verdict == "FORWARD"
    assert plane.lan(udp(LAN.ip, SERVER, 4000, 55)).verdict == "FORWARD"


def test_a_full_table_takes_no_ports(plane: Plane) -> None:
    """A port that was taken for nothing would rest, and soon all of them."""
    for dport in range(1, CAPACITY):
        plane.lan(udp(LAN.ip, SERVER, 4000, dport))
    for sport in range(5000, 5050):
        assert plane.lan(udp(LAN.ip, SERVER, sport, 53)).counted == {
            "DROP_TABLE_FULL": 1,
            "NAT_REFUSAL": 1,
        }

    plane.configure(ports=(20000, 20003))
    plane.expire(lambda session: session.inside[0] == IPv4Address(LAN.ip))
    plane.sweep()
    assert plane.lan(udp(LAN.ip, SERVER, 5000, 53)).verdict == "FORWARD"
