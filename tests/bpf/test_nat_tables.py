# SPDX-License-Identifier: GPL-2.0-or-later
"""Mappings, ports and hosts as they are told, and sessions ended by a filter."""

from ipaddress import IPv4Address, IPv4Network

from _gw_native import lib
from scapy.layers.inet import UDP

from hybrid_gateway.bpf.nat import HostUse, MappingFilter, PortUse
from hybrid_gateway.bpf.scan import Match, SessionFilter
from tests.lib.packets import LAN, LAN2, SERVER, SERVER2, WAN, tcp, udp

from .plane import OUTSIDE, Plane

TCP, UDP_NUMBER = 6, 17


def _open(plane: Plane, sport: int, host: str = LAN.ip, to: str = SERVER) -> int:
    outcome = plane.lan(udp(host, to, sport, 53), LAN2 if host == LAN2.ip else LAN)
    return int(outcome.packet[UDP].sport)


def _ports(plane: Plane, protocol: int) -> PortUse:
    (found,) = [use for use in plane.dataplane.nat.ports() if use.protocol == protocol]
    return found


def test_ports_in_use_and_at_rest(plane: Plane) -> None:
    plane.configure(port_rest=120, ports=(61000, 61099))
    before = _ports(plane, UDP_NUMBER).resting
    for sport in range(4000, 4010):
        _open(plane, sport)
    assert _ports(plane, UDP_NUMBER) == PortUse(OUTSIDE, UDP_NUMBER, 10, 10, before)

    plane.expire(lambda s: s.inside[1] < 4003)
    plane.sweep()
    assert _ports(plane, UDP_NUMBER) == PortUse(OUTSIDE, UDP_NUMBER, 7, 7, before + 3)
    plane.configure(port_rest=120, ports=(62000, 62099))
    assert _ports(plane, UDP_NUMBER) == PortUse(OUTSIDE, UDP_NUMBER, 7, 0, 0)


def test_mappings_with_their_users(plane: Plane) -> None:
    port = _open(plane, 4000)
    assert _open(plane, 4000, to=SERVER2) == port
    other = _open(plane, 4000, host=LAN2.ip)
    found, following = plane.dataplane.nat.mappings(MappingFilter(), 0, 10)

    assert following is None
    assert {(m.protocol, m.inside, m.outside, m.users) for m in found} == {
        (UDP_NUMBER, (IPv4Address(LAN.ip), 4000), (OUTSIDE, port), 2),
        (UDP_NUMBER, (IPv4Address(LAN2.ip), 4000), (OUTSIDE, other), 1),
    }


def test_mappings_page_by_page_and_by_filter(plane: Plane) -> None:
    ports = sorted(_open(plane, sport) for sport in range(4000, 4020))
    first, cursor = plane.dataplane.nat.mappings(MappingFilter(), 0, 7)
    assert cursor is not None
    rest, following = plane.dataplane.nat.mappings(MappingFilter(), cursor, 20)
    assert following is None
    assert [m.outside[1] for m in first + rest] == ports

    inside = Match(IPv4Network(LAN.ip), (4005, 4006))
    found, _ = plane.dataplane.nat.mappings(MappingFilter(inside=inside), 0, 10)
    assert sorted(m.inside[1] for m in found) == [4005, 4006]
    outside = Match(IPv4Network(WAN.ip), (ports[3], ports[3]))
    found, _ = plane.dataplane.nat.mappings(MappingFilter(outside=outside), 0, 10)
    assert [m.outside[1] for m in found] == [ports[3]]
    for nothing in (
        MappingFilter(protocol=TCP),
        MappingFilter(outside=Match(IPv4Network("192.0.2.0/24"))),
    ):
        assert plane.dataplane.nat.mappings(nothing, 0, 10) == ([], None)


def test_hosts_and_those_at_their_limit(plane: Plane) -> None:
    plane.configure(host_ports=3)
    for sport in range(4000, 4003):
        _open(plane, sport)
    _open(plane, 4000, host=LAN2.ip)
    assert plane.dataplane.nat.hosts() == HostUse(2, 1)


def test_ending_what_a_filter_finds(plane: Plane) -> None:
    """More than one batch of them, and none else."""
    plane.configure(host_sessions=lib.GW_BATCH_MAX * 2)
    count = plane.capacity - 2
    for sport in range(4000, 4000 + count):
        _open(plane, sport)
    plane.lan(tcp(LAN.ip, SERVER, 5000, 80))
    port = _open(plane, 5000, host=LAN2.ip)

    wanted = SessionFilter(protocol=UDP_NUMBER, inside=Match(IPv4Network(LAN.ip)))
    assert sum(plane.dataplane.nat.remove(wanted)) == count
    assert {(s.protocol, str(s.inside[0])) for s in plane.sessions()} == {
        (TCP, LAN.ip),
        (UDP_NUMBER, LAN2.ip),
    }
    assert plane.wan(udp(SERVER, WAN.ip, 53, port)).verdict == "FORWARD"
    assert sum(plane.dataplane.nat.remove(wanted)) == 0
