# SPDX-License-Identifier: GPL-2.0-or-later
"""Static mappings beyond one port: ranges, backends, identities; and the pool's addresses."""

from collections import Counter
from ipaddress import IPv4Address

import pytest
from scapy.layers.inet import IP, UDP

from hybrid_gateway.bpf import BackendRecord, StaticRecord
from hybrid_gateway.bpf.tables import arrange, port_prefixes
from hybrid_gateway.errors import GwError
from tests.lib.packets import GW_INSIDE, LAN, LAN2, SERVER, WAN, tcp, to_lan, to_wan, udp

from .plane import ONE_TO_ONE, OUTSIDE, Plane, forwarded

INSIDE, INSIDE2 = IPv4Address(LAN.ip), IPv4Address(LAN2.ip)


@pytest.mark.parametrize(("first", "count"), [(0, 65536), (1, 65535), (30001, 98), (8080, 1)])
def test_prefixes_cover_a_range_and_nothing_else(first: int, count: int) -> None:
    covered: list[int] = []
    for port, bits in port_prefixes(first, count):
        size = 1 << (16 - bits)
        assert port % size == 0
        covered += range(port, port + size)
    assert covered == list(range(first, first + count))


def test_a_range_of_ports(plane: Plane) -> None:
    plane.statics(StaticRecord(17, OUTSIDE, 30001, INSIDE, 7001, ports=98))

    for outside, inside in ((30001, 7001), (30050, 7050), (30098, 7098)):
        forwarded(
            plane.wan(udp(SERVER, WAN.ip, 4000, outside)),
            to_lan(udp(SERVER, LAN.ip, 4000, inside, ttl=63)),
        )
        forwarded(
            plane.lan(udp(LAN.ip, SERVER, inside, 4001)),
            to_wan(udp(WAN.ip, SERVER, outside, 4001, ttl=63)),
        )
    assert plane.wan(udp(SERVER, WAN.ip, 4000, 30000)).verdict == "DROP_NO_MAPPING"
    assert plane.wan(udp(SERVER, WAN.ip, 4000, 30099)).verdict == "DROP_NO_MAPPING"
    assert plane.wan(tcp(SERVER, WAN.ip, 4000, 30050)).verdict == "DROP_NO_MAPPING"


def test_ports_of_a_range_are_never_given_out(plane: Plane) -> None:
    plane.configure(ports=(30000, 30003))
    plane.statics(StaticRecord(17, OUTSIDE, 30001, INSIDE2, 7001, ports=2))
    ports = {plane.lan(udp(LAN.ip, SERVER, n, 53)).packet[UDP].sport for n in (4000, 4001)}
    assert ports == {30000, 30003}
    assert plane.lan(udp(LAN.ip, SERVER, 4002, 53)).verdict == "DROP_NO_PORT"


def test_more_than_there_is_room_for_is_refused_as_a_whole(plane: Plane) -> None:
    """Before anything is written: 600 addresses with 30 prefixes each."""
    plane.statics(StaticRecord(17, OUTSIDE, 53, INSIDE, 53))
    many = [StaticRecord(17, OUTSIDE + i, 1, INSIDE, 1, ports=65534) for i in range(600)]

    with pytest.raises(GwError, match=r"18000 prefixes of ports, .*room for 16384"):
        plane.statics(*many)
    forwarded(
        plane.wan(udp(SERVER, WAN.ip, 4000, 53)), to_lan(udp(SERVER, LAN.ip, 4000, 53, ttl=63))
    )


def test_backends_share_by_weight_and_a_flow_stays(plane: Plane) -> None:
    backends = (BackendRecord(INSIDE, 8443, 3), BackendRecord(INSIDE2, 443, 1))
    plane.statics(StaticRecord(6, OUTSIDE, 443, INSIDE, 443, backends=backends))
    chosen: Counter[tuple[str, int]] = Counter()
    for first in range(1000, 2000, 100):
        plane.dataplane.clear_sessions()
        for number in range(first, first + 100):
            packet = plane.wan(tcp(SERVER, WAN.ip, number, 443)).packet[IP]
            chosen[packet.dst, packet.dport] += 1
    assert chosen.keys() == {(LAN.ip, 8443), (LAN2.ip, 443)}
    assert 700 < chosen[LAN.ip, 8443] < 800
    before = {s.remote: s.inside for s in plane.sessions()}
    plane.dataplane.clear_sessions()
    for number in range(1900, 2000):
        plane.wan(tcp(SERVER, WAN.ip, number, 443))
    assert all(before[session.remote] == session.inside for session in plane.sessions())


def test_a_backend_calls_out_from_the_shared_endpoint(plane: Plane) -> None:
    backends = (BackendRecord(INSIDE, 443), BackendRecord(INSIDE2, 443))
    plane.statics(StaticRecord(6, OUTSIDE, 443, INSIDE, 443, backends=backends))
    outcome = plane.lan(tcp(LAN2.ip, SERVER, 443, 4000), LAN2)
    forwarded(outcome, to_wan(tcp(WAN.ip, SERVER, 443, 4000, ttl=63)))


def test_an_identity_leaves_as_it_is_and_is_reached_so(plane: Plane) -> None:
    plane.statics(StaticRecord(17, INSIDE, 4789, INSIDE, 4789))
    plane.dataplane.set_inside_prefixes([])

    packet = udp(LAN.ip, SERVER, 4789, 4789)
    forwarded(plane.lan(packet), to_wan(udp(LAN.ip, SERVER, 4789, 4789, ttl=63)))
    answer = udp(SERVER, LAN.ip, 5000, 4789)
    forwarded(plane.wan(answer), to_lan(udp(SERVER, LAN.ip, 5000, 4789, ttl=63)))
    # Only that endpoint: everything else of the host is translated, and not reached.
    assert plane.lan(udp(LAN.ip, SERVER, 4790, 4789)).packet[IP].src == WAN.ip
    assert plane.wan(udp(SERVER, LAN.ip, 5000, 4790)).verdict == "PUNT_NOT_NAT"
    # It is no orphan when addresses change, and one when it is no identity any more.
    plane.dataplane.set_addresses([OUTSIDE])
    assert len(plane.sessions()) == 3
    plane.statics()
    assert len(plane.sessions()) == 1


def test_an_identity_of_the_gateway_is_the_kernels(plane: Plane) -> None:
    plane.configure(ports=(30000, 30001))
    plane.statics(StaticRecord(17, OUTSIDE, 30000, OUTSIDE, 30000, host=True))
    assert plane.wan(udp(SERVER, WAN.ip, 4000, 30000)).verdict == "PUNT_HOST"
    assert plane.lan(udp(LAN.ip, WAN.ip, 4000, 30000)).verdict == "PUNT_HOST"
    assert plane.lan(udp(LAN.ip, SERVER, 4000, 53)).packet[UDP].sport == 30001


def test_a_hairpinned_server_sees_the_outside_endpoint(plane: Plane) -> None:
    """What others call twice-NAT: the server's answers come back through the gateway."""
    plane.statics(StaticRecord(6, OUTSIDE, 2222, INSIDE2, 22))
    outcome = plane.lan(tcp(LAN.ip, WAN.ip, 4000, 2222))
    port = outcome.packet[IP].sport

    assert port >= 20000
    forwarded(outcome, to_lan(tcp(WAN.ip, LAN2.ip, port, 22, ttl=63), LAN2))
    answer = plane.lan(tcp(LAN2.ip, WAN.ip, 22, port, "SA"), LAN2)
    forwarded(answer, to_lan(tcp(WAN.ip, LAN.ip, 2222, 4000, "SA", ttl=63)))
    # The server itself may call, too.
    itself = plane.lan(tcp(LAN2.ip, WAN.ip, 5000, 2222), LAN2).packet
    assert (itself[IP].src, itself[IP].dst, itself[IP].dport) == (WAN.ip, LAN2.ip, 22)
    assert GW_INSIDE.ip not in (itself[IP].src, itself[IP].dst)


def test_a_host_keeps_its_pool_address(plane: Plane) -> None:
    """RFC 4787 REQ-2, and still when the pool grows while it holds sessions."""
    plane.configure(addresses=(OUTSIDE,))
    hosts = [f"192.168.110.{n}" for n in range(100, 116)]
    for host in hosts:
        plane.lan(udp(host, SERVER, 4000, 53))
    plane.configure(addresses=(OUTSIDE, ONE_TO_ONE))
    kept = {plane.lan(udp(host, SERVER, 4001, 53)).packet[IP].src for host in hosts}
    assert kept == {WAN.ip}
    others = [f"192.168.110.{n}" for n in range(120, 152)]
    spread = Counter(plane.lan(udp(host, SERVER, 4001, 53)).packet[IP].src for host in others)
    assert spread.keys() == {WAN.ip, str(ONE_TO_ONE)}


def test_addresses_that_stay_keep_their_place() -> None:
    a, b, c, d = (IPv4Address(f"203.0.113.{n}") for n in range(1, 5))
    assert arrange([], [a, b]) == (a, b)
    assert arrange([a, b, c], [b, c]) == (c, b)
    assert arrange([a, b], [b, d]) == (d, b)
    assert arrange([a, b], [d, c, a]) == (a, d, c)
