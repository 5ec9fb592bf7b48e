# SPDX-License-Identifier: GPL-2.0-or-later
"""Frames of the stretched segment, and of its underlay between gateway and router."""

import struct
from typing import Any

from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from hybrid_gateway.lab import Interface
from hybrid_gateway.lab.second import LEFT, NEAR_ROUTER, NEAR_UPLINK, RIGHT, VNI, Underlay

from .packets import PAYLOAD, udp

PORT = 4789
SOURCE_PORT = 50000
"""Of what a test sends as the far VTEP."""
VALID = 0x08
"""The I flag: the VNI counts."""
BROADCAST = "ff:ff:ff:ff:ff:ff"


def segment(
    src: Interface = LEFT, dst: Interface | str = RIGHT, packet: Packet | None = None
) -> Packet:
    """A frame between two hosts of the segment; a MAC address will do for the second."""
    to = dst if isinstance(dst, str) else dst.mac
    address = RIGHT.ip if isinstance(dst, str) else dst.ip
    return Ether(src=src.mac, dst=to) / (packet or udp(src.ip, address, 4000, 53))


def full(
    src: Interface = LEFT, dst: Interface | str = RIGHT, *, df: bool = True, size: int = 1500
) -> Packet:
    """Likewise, with an IPv4 packet of as many bytes as the segment takes."""
    payload = (PAYLOAD + bytes(range(256)) * 6)[: size - 28]
    frame = segment(src, dst)
    return Ether(bytes(frame)[:14]) / udp(src.ip, frame[IP].dst, 4000, 53, payload=payload, df=df)


def is_marked(packet: Packet) -> bool:
    """Whether a frame of `segment` is somewhere in it: hosts and routers speak by themselves."""
    return PAYLOAD in bytes(packet)


def header(vni: int = VNI, flags: int = VALID) -> bytes:
    """RFC 7348, section 5."""
    return struct.pack("!II", flags << 24, vni << 8)


def outer(underlay: Underlay, source: str, target: str, **fields: Any) -> Packet:
    """An IP header of the underlay's family; `ttl` and `tos` mean the same in both."""
    if underlay is Underlay.IPV4:
        return IP(src=source, dst=target, **fields)
    renamed = {"ttl": "hlim", "tos": "tc"}
    fields = {renamed.get(name, name): value for name, value in fields.items()}
    return IPv6(src=source, dst=target, **fields)


def arriving(
    underlay: Underlay,
    inner: Packet | bytes,
    *,
    head: bytes = header(),
    source: str = "",
    checksum: int | None = None,
    **fields: Any,
) -> Packet:
    """As the router hands it to the gateway; `source` is the far VTEP unless it is given."""
    path = outer(underlay, source or underlay.far, underlay.near, **({"ttl": 62} | fields))
    datagram = UDP(sport=SOURCE_PORT, dport=PORT, chksum=checksum) / Raw(head + bytes(inner))
    return Ether(src=NEAR_ROUTER.mac, dst=NEAR_UPLINK.mac) / path / datagram


def leaving(underlay: Underlay, inner: Packet | bytes, seen: Packet, **fields: Any) -> Packet:
    """What the gateway has to send to the far VTEP; what it is free to choose is as in `seen`."""
    if underlay is Underlay.IPV4:
        fields = {"id": seen[IP].id, "flags": 0} | fields
    path = outer(underlay, underlay.near, underlay.far, **({"ttl": 64} | fields))
    datagram = UDP(sport=source_port(seen), dport=PORT) / Raw(header() + bytes(inner))
    return Ether(src=NEAR_UPLINK.mac, dst=NEAR_ROUTER.mac) / path / datagram


def source_port(seen: Packet) -> int:
    """Of a captured outer packet: where the entropy of the flow is."""
    return int(seen[UDP].sport)
