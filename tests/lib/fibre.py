# SPDX-License-Identifier: GPL-2.0-or-later
"""Frames between the hosts behind the worker's ports, of both families, and of the gateway."""

from ipaddress import ip_address
from typing import Any

from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from hybrid_gateway.lab import EAST, SFP0, SFP1, WEST
from hybrid_gateway.lab.sfp import SFP_IPV6

from .packets import PAYLOAD, ip

FLOW = 0x1234
"""The flow label of what a test sends by IPv6; the hosts do not answer it."""
EAST6, WEST6, SFP0_6, SFP1_6 = (SFP_IPV6[end] for end in (EAST, WEST, SFP0, SFP1))
UDP_HEADERS = {4: 28, 6: 48}
"""Bytes before the payload."""


def datagram(
    src: str = EAST.ip,
    dst: str = WEST.ip,
    *,
    ttl: int = 64,
    sport: int = 4000,
    size: int = 0,
    **fields: Any,
) -> Packet:
    """A UDP packet of the addresses' family, marked; of `size` bytes if that is given."""
    version = ip_address(src).version
    payload = PAYLOAD
    if size:
        payload = (PAYLOAD + bytes(range(256)) * (size // 256 + 1))[: size - UDP_HEADERS[version]]
    return header(src, dst, ttl, **fields) / UDP(sport=sport, dport=53) / Raw(payload)


def header(src: str, dst: str, ttl: int = 64, **fields: Any) -> Packet:
    """`ttl` is the hop limit, too."""
    if ip_address(src).version == 4:
        return ip(src, dst, ttl, **fields)
    return IPv6(src=src, dst=dst, hlim=ttl, **({"fl": FLOW} | fields))


def from_east(packet: Packet) -> Packet:
    """In a frame from the first host to the gateway."""
    return Ether(src=EAST.mac, dst=SFP0.mac) / packet


def from_west(packet: Packet) -> Packet:
    return Ether(src=WEST.mac, dst=SFP1.mac) / packet


def to_east(packet: Packet, mac: str = EAST.mac) -> Packet:
    """In the frame that the gateway sends there; to that next hop."""
    return Ether(src=SFP0.mac, dst=mac) / packet


def to_west(packet: Packet, mac: str = WEST.mac) -> Packet:
    return Ether(src=SFP1.mac, dst=mac) / packet


def is_marked(packet: Packet) -> bool:
    """Of a test, whole or as a fragment: hosts and gateway also speak by themselves."""
    if IP in packet:
        return bool(packet[IP].id == 0x1234)
    return IPv6 in packet and packet[IPv6].fl == FLOW


def is_error(packet: Packet) -> bool:
    """An ICMP error that quotes a packet of a test."""
    quoted = packet.payload.payload.payload
    kinds = {4: (3, 11, 12), 6: (1, 2, 3, 4)}
    header = packet.payload
    if PAYLOAD not in bytes(quoted) or header.name not in ("IP", "IPv6"):
        return False
    protocol = header.proto if header.version == 4 else header.nh
    return protocol in (1, 58) and header.payload.type in kinds[header.version]
