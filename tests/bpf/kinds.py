# SPDX-License-Identifier: GPL-2.0-or-later
"""A session of every kind there is, with frames of both its directions."""

from collections.abc import Callable, Iterator
from ipaddress import IPv4Address

from scapy.layers.inet import ICMP, TCP, UDP
from scapy.packet import Packet

from hybrid_gateway.bpf import StaticRecord
from tests.lib.packets import LAN, LAN2, SERVER, SERVER2, WAN, echo, from_lan, from_wan, tcp, udp

from .plane import ONE_TO_ONE, OUTSIDE, Plane

SSH = StaticRecord(6, OUTSIDE, 2222, IPv4Address(LAN.ip), 22)
DNS = StaticRecord(17, OUTSIDE, 53, IPv4Address(LAN.ip), 5353)
WHOLE = StaticRecord(0, ONE_TO_ONE, 0, IPv4Address(LAN2.ip), 0)
NINE = str(ONE_TO_ONE)
Frame = tuple[bytes, str]
"""And the port that it arrives at."""
Kind = Callable[[Plane], Iterator[Packet]]


def lan_frame(packet: Packet) -> Frame:
    host = LAN2 if packet["IP"].src == LAN2.ip else LAN
    return bytes(from_lan(packet, host)), "lan1" if host is LAN2 else "lan0"


def wan_frame(packet: Packet) -> Frame:
    return bytes(from_wan(packet)), "wan0"


def udp_kind(plane: Plane) -> Iterator[Packet]:
    """Two remotes of one mapping, and a third that the mapping's permit lets in."""
    first = udp(LAN.ip, SERVER, 4000, 53)
    port = plane.lan(first).packet[UDP].sport
    yield from (first, udp(LAN.ip, SERVER2, 4000, 53))
    yield from (udp(SERVER, WAN.ip, 53, port), udp(SERVER2, WAN.ip, 53, port))
    yield from (udp(SERVER, WAN.ip, 99, port), udp(LAN.ip, SERVER, 4000, 99))


def tcp_kind(plane: Plane) -> Iterator[Packet]:
    first = tcp(LAN.ip, SERVER, 4000, 80)
    port = plane.lan(first).packet[TCP].sport
    yield from (first, tcp(SERVER, WAN.ip, 80, port, "SA"), tcp(LAN.ip, SERVER, 4000, 80, "A"))


def echo_kind(plane: Plane) -> Iterator[Packet]:
    first = echo(LAN.ip, SERVER, 77)
    identifier = plane.lan(first).packet[ICMP].id
    yield from (first, echo(SERVER, WAN.ip, identifier, reply=True))


def forward(plane: Plane) -> Iterator[Packet]:
    plane.statics(SSH, DNS, WHOLE)
    yield from (tcp(SERVER, WAN.ip, 4000, 2222), tcp(LAN.ip, SERVER, 22, 4000, "SA"))
    yield from (udp(LAN.ip, SERVER, 5353, 4000), udp(SERVER, WAN.ip, 4000, 53))


def one_to_one(plane: Plane) -> Iterator[Packet]:
    plane.statics(WHOLE)
    yield from (udp(SERVER, NINE, 4000, 80), udp(LAN2.ip, SERVER, 80, 4000))
    yield from (tcp(LAN2.ip, SERVER, 4000, 80), tcp(SERVER, NINE, 80, 4000, "SA"))
    yield from (echo(SERVER, NINE, 7), echo(LAN2.ip, SERVER, 7, reply=True))
    yield from (echo(LAN2.ip, SERVER, 8), echo(SERVER, NINE, 8, reply=True))


def call(plane: Plane) -> Iterator[Packet]:
    """To a mapping whose own session ends before the call does."""
    callee = plane.lan(udp(LAN2.ip, SERVER, 5000, 53), LAN2).packet[UDP].sport
    first = udp(LAN.ip, WAN.ip, 4000, callee)
    caller = plane.lan(first).packet[UDP].sport
    plane.expire(lambda session: session.origin == "outbound")
    plane.sweep()
    yield from (first, udp(LAN2.ip, WAN.ip, 5000, caller))


def call_of_itself(plane: Plane) -> Iterator[Packet]:
    own = plane.lan(udp(LAN.ip, SERVER, 4000, 53)).packet[UDP].sport
    first = udp(LAN.ip, WAN.ip, 4001, own)
    caller = plane.lan(first).packet[UDP].sport
    yield from (first, udp(LAN.ip, WAN.ip, 4000, caller))


def call_of_a_forward(plane: Plane) -> Iterator[Packet]:
    plane.statics(StaticRecord(6, OUTSIDE, 2222, IPv4Address(LAN2.ip), 22))
    first = tcp(LAN.ip, WAN.ip, 4000, 2222)
    caller = plane.lan(first).packet[TCP].sport
    yield from (first, tcp(LAN2.ip, WAN.ip, 22, caller, "SA"))


def call_from_a_forward(plane: Plane) -> Iterator[Packet]:
    """The caller's own endpoint is forwarded: it holds the callee's mapping alone."""
    plane.statics(DNS)
    callee = plane.lan(udp(LAN2.ip, SERVER, 5000, 53), LAN2).packet[UDP].sport
    yield from (udp(LAN.ip, WAN.ip, 5353, callee), udp(LAN2.ip, WAN.ip, 5000, 53))


def call_one_to_one(plane: Plane) -> Iterator[Packet]:
    plane.statics(WHOLE)
    first = echo(LAN.ip, NINE, 77)
    identifier = plane.lan(first).packet[ICMP].id
    yield from (first, echo(LAN2.ip, WAN.ip, identifier, reply=True))


def identity(plane: Plane) -> Iterator[Packet]:
    """Not an outside address, but the static mapping says that it may be seen."""
    plane.statics(StaticRecord(17, IPv4Address(LAN2.ip), 4789, IPv4Address(LAN2.ip), 4789))
    yield from (udp(LAN2.ip, SERVER, 4789, 4789), udp(SERVER, LAN2.ip, 4789, 4789))


KINDS = [
    udp_kind,
    tcp_kind,
    echo_kind,
    forward,
    one_to_one,
    call,
    call_of_itself,
    call_of_a_forward,
    call_from_a_forward,
    call_one_to_one,
    identity,
]


def opened(plane: Plane, kind: Kind) -> list[Frame]:
    """Both directions of sessions of this kind, which are open."""
    plane.statics()
    frames = []
    for packet in kind(plane):
        inside = str(packet["IP"].src) in (LAN.ip, LAN2.ip)
        frames.append(lan_frame(packet) if inside else wan_frame(packet))
        assert plane.run(*frames[-1]).verdict == "FORWARD", packet
    return frames
