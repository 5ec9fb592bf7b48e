# SPDX-License-Identifier: GPL-2.0-or-later
"""What is the kernel's: counted by reason, and passed on as it came."""

from dataclasses import replace

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_NOP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Dot1AD, Dot1Q, Ether
from scapy.packet import Packet, Raw

from hybrid_gateway.bpf import DEV_PORT
from tests.lib.packets import (
    GW_INSIDE,
    LAN,
    SERVER,
    WAN,
    echo,
    from_lan,
    from_wan,
    ip,
    tcp,
    udp,
)

from .plane import Plane
from .site import DMZ, MANAGED, NOWHERE

LAN_FRAME = from_lan(udp(LAN.ip, SERVER, 4000, 53))
BROADCAST = "ff:ff:ff:ff:ff:ff"
MULTICAST = "01:00:5e:00:00:fb"


def _retagged(*tags: Packet) -> Packet:
    frame = Ether(src=LAN.mac, dst=GW_INSIDE.mac)
    for tag in tags:
        frame = frame / tag
    return frame / udp(LAN.ip, SERVER, 4000, 53)


def _to(mac: str) -> Packet:
    return Ether(src=LAN.mac, dst=mac) / udp(LAN.ip, SERVER, 4000, 53)


def _with_options(packet: Packet) -> Packet:
    packet[IP].options = [IPOption_NOP()] * 4
    return packet


def _protocol(number: int) -> Packet:
    return from_lan(ip(LAN.ip, SERVER, proto=number) / Raw(bytes(40)))


def _icmp(kind: int, code: int = 0) -> Packet:
    return from_lan(ip(LAN.ip, SERVER) / ICMP(type=kind, code=code) / Raw(bytes(32)))


def _about_nothing(kind: int, code: int = 0) -> Packet:
    """An ICMP error that quotes a packet of no session."""
    quoted = udp(SERVER, LAN.ip, 53, 4000)
    return from_lan(ip(LAN.ip, SERVER) / ICMP(type=kind, code=code) / bytes(quoted))


FRAMES: list[tuple[str, str, Packet]] = [
    ("arp", "PUNT_NOT_IPV4", Ether(src=LAN.mac, dst=BROADCAST) / ARP(pdst=GW_INSIDE.ip)),
    ("ipv6", "PUNT_NOT_IPV4", Ether(dst=GW_INSIDE.mac) / IPv6() / UDP()),
    ("llc", "PUNT_NOT_IPV4", Ether(dst=GW_INSIDE.mac, type=40) / Raw(bytes(40))),
    ("vlan", "PUNT_VLAN", _retagged(Dot1Q(vlan=5))),
    ("priority tag", "PUNT_VLAN", _retagged(Dot1Q(vlan=0, prio=5))),
    ("qinq", "PUNT_VLAN", _retagged(Dot1AD(vlan=5), Dot1Q(vlan=6))),
    ("other mac", "PUNT_OTHER_MAC", _to("02:00:00:00:00:01")),
    ("broadcast", "PUNT_OTHER_MAC", _to(BROADCAST)),
    ("multicast", "PUNT_OTHER_MAC", _to(MULTICAST)),
    ("options", "PUNT_OPTIONS", _with_options(LAN_FRAME.copy())),
    ("esp", "PUNT_PROTOCOL", _protocol(50)),
    ("gre", "PUNT_PROTOCOL", _protocol(47)),
    ("sctp", "PUNT_PROTOCOL", _protocol(132)),
    ("protocol 0", "PUNT_PROTOCOL", _protocol(0)),
    ("unreachable", "PUNT_ICMP", _about_nothing(3, 3)),
    ("too big", "PUNT_ICMP", _about_nothing(3, 4)),
    ("redirect", "PUNT_ICMP", _icmp(5)),
    ("time exceeded", "PUNT_ICMP", _about_nothing(11)),
    ("an error about nothing", "DROP_ICMP", _icmp(3, 3)),
    ("timestamp", "PUNT_ICMP", _icmp(13)),
    ("echo with a code", "PUNT_ICMP", _icmp(8, 1)),
    ("unasked reply", "PUNT_ICMP", _icmp(0)),
    ("to the gateway", "PUNT_HOST", from_lan(udp(LAN.ip, GW_INSIDE.ip, 4000, 53))),
    ("to a broadcast address", "PUNT_HOST", from_lan(udp(LAN.ip, "192.168.110.255", 68, 67))),
    ("limited broadcast", "PUNT_HOST", from_lan(udp(LAN.ip, "255.255.255.255", 68, 67))),
    ("multicast address", "PUNT_HOST", from_lan(udp(LAN.ip, "239.1.2.3", 4000, 53))),
    ("loopback address", "PUNT_HOST", from_lan(udp(LAN.ip, "127.0.0.2", 4000, 53))),
    ("zero address", "PUNT_HOST", from_lan(udp(LAN.ip, "0.0.0.0", 4000, 53))),
    ("inside to inside", "PUNT_NOT_NAT", from_lan(udp(LAN.ip, DMZ, 4000, 53))),
    ("to a device without a role", "PUNT_NOT_NAT", from_lan(udp(LAN.ip, MANAGED, 4000, 53))),
    ("foreign source", "PUNT_SOURCE", from_lan(udp("198.51.100.77", SERVER, 4000, 53))),
    ("our source", "PUNT_SOURCE", from_lan(udp(GW_INSIDE.ip, SERVER, 4000, 53))),
    ("outside source", "PUNT_SOURCE", from_lan(udp(WAN.ip, SERVER, 4000, 53))),
    ("source of another port", "PUNT_SOURCE", from_lan(udp(DMZ, SERVER, 4000, 53))),
    ("no source", "PUNT_SOURCE", from_lan(udp("0.0.0.0", SERVER, 68, 67))),
    ("ttl 1", "PUNT_TTL", from_lan(udp(LAN.ip, SERVER, 4000, 53, ttl=1))),
    ("mid-connection", "PUNT_NO_SESSION", from_lan(tcp(LAN.ip, SERVER, 4000, 80, "A"))),
]


@pytest.mark.parametrize(
    ("verdict", "frame"), [row[1:] for row in FRAMES], ids=[row[0] for row in FRAMES]
)
def test_from_inside(plane: Plane, verdict: str, frame: Packet) -> None:
    assert plane.run(frame).counted == {verdict: 1}
    assert plane.sessions() == []


@pytest.mark.parametrize("address", NOWHERE.values(), ids=NOWHERE.keys())
def test_a_route_that_leads_nowhere(plane: Plane, address: str) -> None:
    assert plane.lan(udp(LAN.ip, address, 4000, 53)).verdict == "PUNT_NO_ROUTE"


@pytest.mark.parametrize("flags", ["A", "SA", "F", "R", "RA", "FA", "SF", "SR", "PA", ""])
def test_tcp_that_opens_nothing_belongs_to_conntrack(plane: Plane, flags: str) -> None:
    assert plane.lan(tcp(LAN.ip, SERVER, 4000, 80, flags)).verdict == "PUNT_NO_SESSION"


def test_from_outside(plane: Plane) -> None:
    port = plane.lan(udp(LAN.ip, SERVER, 4000, 53)).packet[UDP].sport
    hit = from_wan(udp(SERVER, WAN.ip, 53, port))
    error = ip(SERVER, WAN.ip) / ICMP(type=3, code=3) / bytes(udp(WAN.ip, SERVER, 20000, 53))
    bridged = hit.copy()
    bridged.dst = GW_INSIDE.mac

    assert plane.run(bridged, "wan0").verdict == "PUNT_OTHER_MAC"
    assert plane.run(_with_options(hit.copy()), "wan0").verdict == "PUNT_OPTIONS"
    assert plane.run(from_wan(error), "wan0").verdict == "PUNT_ICMP"
    assert plane.wan(udp(SERVER, "203.0.113.77", 53, port)).verdict == "PUNT_NOT_NAT"
    assert plane.wan(udp(SERVER, LAN.ip, 53, 4000)).verdict == "PUNT_NOT_NAT"
    assert plane.wan(udp(SERVER, "255.255.255.255", 53, port)).verdict == "PUNT_NOT_NAT"
    assert plane.run(hit, "wan0").verdict == "FORWARD"


@pytest.mark.parametrize("source", ["0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255"])
def test_a_source_that_is_no_host_opens_nothing(plane: Plane, source: str) -> None:
    plane.configure(filtering=0)
    port = plane.lan(udp(LAN.ip, SERVER, 4000, 53)).packet[UDP].sport

    assert plane.wan(udp(source, WAN.ip, 53, port)).verdict == "PUNT_SOURCE"


def test_a_broken_checksum_is_no_reason_to_touch_options(plane: Plane) -> None:
    frame = _with_options(LAN_FRAME.copy())
    frame[IP].chksum = 0x1234

    assert plane.run(frame).verdict == "PUNT_OPTIONS"


class TestKernelMode:
    """Everything of ours is loaded, and the kernel does the work."""

    def test_nat_is_off(self, plane: Plane) -> None:
        port = plane.lan(udp(LAN.ip, SERVER, 4000, 53)).packet[UDP].sport
        plane.configure(enabled=False)

        assert plane.lan(udp(LAN.ip, SERVER, 4000, 53)).counted == {"PUNT_KERNEL_MODE": 1}
        assert plane.wan(udp(SERVER, WAN.ip, 53, port)).counted == {"PUNT_KERNEL_MODE": 1}
        assert plane.lan(echo(LAN.ip, SERVER, 1)).counted == {"PUNT_KERNEL_MODE": 1}
        plane.configure()
        assert plane.wan(udp(SERVER, WAN.ip, 53, port)).verdict == "FORWARD"

    def test_a_port_without_a_role(self, plane: Plane) -> None:
        records = [r for r in plane.site.records() if r.name != "lan2"]
        bare = [replace(r, flags=DEV_PORT) for r in plane.site.records() if r.name == "lan2"]
        plane.dataplane.set_devices([*records, *bare])

        assert plane.run(LAN_FRAME, "lan2").counted == {"PUNT_KERNEL_MODE": 1}


def test_the_tcp_payload_may_look_like_anything(plane: Plane) -> None:
    outcome = plane.lan(tcp(LAN.ip, SERVER, 4000, 80, payload=bytes(LAN_FRAME)))

    assert outcome.verdict == "FORWARD"
    assert bytes(outcome.packet[TCP].payload) == bytes(LAN_FRAME)
