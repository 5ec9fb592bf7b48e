# SPDX-License-Identifier: GPL-2.0-or-later
"""Packets of the lab: built and dissected with scapy, compared as whole bytes."""

from typing import Any

from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from hybrid_gateway.lab import GW_INSIDE, INTERNET, LAN, LAN2, ROUTER, WAN, Interface

SERVER, SERVER2, SERVER3 = INTERNET
PAYLOAD = b"what the gateway must not touch"

__all__ = ["GW_INSIDE", "LAN", "LAN2", "ROUTER", "SERVER", "SERVER2", "SERVER3", "WAN"]


def wire(packet: Packet) -> Packet:
    """The packet as it looks on the wire: every length and checksum is filled in."""
    return packet.__class__(bytes(packet))


def from_lan(packet: Packet, host: Interface = LAN) -> Packet:
    """In a frame from a LAN host to the gateway."""
    return Ether(src=host.mac, dst=GW_INSIDE.mac) / packet


def from_wan(packet: Packet) -> Packet:
    """In a frame from the Internet to the gateway."""
    return Ether(src=ROUTER.mac, dst=WAN.mac) / packet


def to_wan(packet: Packet) -> Packet:
    """In the frame that the gateway sends to the Internet."""
    return Ether(src=WAN.mac, dst=ROUTER.mac) / packet


def to_lan(packet: Packet, host: Interface = LAN) -> Packet:
    """In the frame that the gateway sends to a LAN host."""
    return Ether(src=GW_INSIDE.mac, dst=host.mac) / packet


def ip(src: str, dst: str, ttl: int = 64, **fields: Any) -> Packet:
    """An IPv4 header with a fixed identification, and DF, with which NAT keeps that as it is."""
    fields.setdefault("flags", "DF")
    return IP(src=src, dst=dst, ttl=ttl, **({"id": 0x1234} | fields))


def udp(
    src: str,
    dst: str,
    sport: int,
    dport: int,
    *,
    ttl: int = 64,
    payload: bytes = PAYLOAD,
    df: bool = True,
) -> Packet:
    header = ip(src, dst, ttl, flags="DF" if df else 0)
    return header / UDP(sport=sport, dport=dport) / Raw(payload)


def tcp(
    src: str,
    dst: str,
    sport: int,
    dport: int,
    flags: str = "S",
    *,
    ttl: int = 64,
    payload: bytes = b"",
    **fields: Any,
) -> Packet:
    packet = ip(src, dst, ttl) / TCP(sport=sport, dport=dport, flags=flags, **fields)
    return packet / Raw(payload) if payload else packet


def echo(
    src: str, dst: str, identifier: int, *, reply: bool = False, ttl: int = 64, seq: int = 1
) -> Packet:
    kind = "echo-reply" if reply else "echo-request"
    return ip(src, dst, ttl) / ICMP(type=kind, id=identifier, seq=seq) / Raw(PAYLOAD)


def same(received: Packet, expected: Packet) -> None:
    """Assert that two packets are equal byte for byte; says in words where they differ."""
    if bytes(received) != bytes(expected):
        got, wanted = received.show(dump=True), wire(expected).show(dump=True)
        raise AssertionError(f"received:\n{got}\nexpected:\n{wanted}")
