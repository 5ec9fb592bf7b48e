# SPDX-License-Identifier: GPL-2.0-or-later
"""What may come in through a mapping, besides what tests/rfc asks of the three modes."""

import socket
from contextlib import closing

import pytest
from _gw_native import lib
from scapy.layers.inet import ICMP, TCP, UDP

from tests.lib.packets import LAN, LAN2, SERVER, SERVER2, WAN, echo, tcp, udp

from .plane import Plane


def test_a_session_from_outside_has_its_own_origin(plane: Plane) -> None:
    plane.lan(udp(LAN.ip, SERVER, 4000, 53))
    port = plane.session().outside[1]
    plane.wan(udp(SERVER, WAN.ip, 54, port))

    assert sorted(session.origin for session in plane.sessions()) == ["inbound", "outbound"]
    assert {session.inside for session in plane.sessions()} == {plane.sessions()[0].inside}
    assert plane.host(LAN.ip) == (2, 1)


def test_what_opens_nothing_is_dropped(plane: Plane) -> None:
    port = plane.lan(tcp(LAN.ip, SERVER, 4000, 80)).packet[TCP].sport

    for flags in ("A", "SA", "F", "R", "RA", "FA", "SF", "SR", ""):
        assert plane.wan(tcp(SERVER, WAN.ip, 81, port, flags)).verdict == "DROP_NO_SESSION"
        assert plane.wan(tcp(SERVER2, WAN.ip, 80, port, flags)).verdict == "DROP_FILTERED"


def test_nobody_s_port_is_silent(plane: Plane) -> None:
    assert plane.wan(udp(SERVER, WAN.ip, 53, 20000)).verdict == "DROP_NO_MAPPING"
    assert plane.wan(tcp(SERVER, WAN.ip, 80, 49999)).verdict == "DROP_NO_MAPPING"
    assert plane.wan(tcp(SERVER, WAN.ip, 80, 49999, "A")).verdict == "DROP_NO_MAPPING"


def test_ports_outside_the_range_are_the_host_s(plane: Plane) -> None:
    for port in (22, 10000, 19999, 50000):
        assert plane.wan(udp(SERVER, WAN.ip, 53, port)).verdict == "PUNT_HOST"
        assert plane.wan(tcp(SERVER, WAN.ip, 80, port)).verdict == "PUNT_HOST"


def test_echo_without_a_session_is_the_host_s(plane: Plane) -> None:
    identifier = plane.lan(echo(LAN.ip, SERVER, 77)).packet[ICMP].id

    assert plane.wan(echo(SERVER, WAN.ip, identifier)).verdict == "PUNT_HOST"
    assert plane.wan(echo(SERVER2, WAN.ip, identifier, reply=True)).verdict == "PUNT_HOST"
    assert plane.wan(echo(SERVER, WAN.ip, identifier ^ 1, reply=True)).verdict == "PUNT_HOST"


def test_a_permit_ends_with_its_last_session(plane: Plane) -> None:
    port = plane.lan(udp(LAN.ip, SERVER, 4000, 53)).packet[UDP].sport
    plane.lan(udp(LAN.ip, SERVER, 4000, 54))
    plane.lan(udp(LAN.ip, SERVER2, 4000, 53))

    plane.expire(lambda session: session.remote[1] == 53 and str(session.remote[0]) == SERVER)
    plane.lan(udp(LAN.ip, SERVER2, 4000, 53))
    assert plane.wan(udp(SERVER, WAN.ip, 99, port)).verdict == "FORWARD"
    plane.expire(lambda session: str(session.remote[0]) == SERVER)
    plane.sweep()
    assert plane.wan(udp(SERVER, WAN.ip, 98, port)).verdict == "DROP_FILTERED"
    assert plane.wan(udp(SERVER2, WAN.ip, 53, port)).verdict == "FORWARD"


def test_a_socket_of_the_host_comes_before_silence(plane: Plane) -> None:
    """A port that a mapping took and a socket then bound: what filtering refuses is the host's."""
    plane.configure(ports=(30000, 30000))
    plane.lan(udp(LAN.ip, SERVER, 4000, 53))
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as late:
        late.bind((WAN.ip, 30000))
        assert plane.wan(udp(SERVER2, WAN.ip, 53, 30000)).verdict == "PUNT_HOST"
        assert plane.wan(udp(SERVER, WAN.ip, 53, 30000)).verdict == "FORWARD"


def test_a_remote_does_not_prolong_its_own_permit(plane: Plane) -> None:
    """What it opens holds the mapping but not the permit: only the inside host gives that."""
    port = plane.lan(udp(LAN.ip, SERVER, 4000, 53)).packet[UDP].sport
    assert plane.wan(udp(SERVER, WAN.ip, 54, port)).verdict == "FORWARD"

    plane.expire(lambda session: session.origin == "outbound")
    plane.sweep()
    assert plane.wan(udp(SERVER, WAN.ip, 55, port)).verdict == "DROP_FILTERED"
    assert plane.wan(udp(SERVER, WAN.ip, 54, port)).verdict == "FORWARD"


@pytest.mark.parametrize("source", [LAN2.ip, WAN.ip])
def test_our_own_addresses_do_not_come_from_outside(plane: Plane, source: str) -> None:
    plane.configure(filtering=lib.GW_FILTER_ENDPOINT_INDEPENDENT)
    port = plane.lan(udp(LAN.ip, SERVER, 4000, 53)).packet[UDP].sport

    assert plane.wan(udp(source, WAN.ip, 53, port)).counted == {"DROP_SOURCE": 1}
