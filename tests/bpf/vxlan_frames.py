# SPDX-License-Identifier: GPL-2.0-or-later
"""VXLAN around frames, built with scapy, which computes lengths and checksums by itself."""

from typing import Any

from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet, Raw

from tests.lib.packets import udp

from .segment import (
    BRIDGE_MAC,
    CORE_MAC,
    FAR,
    HERE,
    LOCAL,
    PEER,
    PEER_MAC,
    PORT,
    VNIS,
    Station,
)

SIZES = {4: 50, 6: 70}
"""Bytes of the outer headers, Ethernet included."""


def between(source: Station, target: Station, **fields: Any) -> Packet:
    """A frame from one station of the segment to another."""
    packet = udp(source.ip, target.ip, 4000, 5000, **fields)
    return Ether(src=source.mac, dst=target.mac) / packet


def to_gateway(source: Station, packet: Packet) -> Packet:
    """A frame to the bridge's own MAC address."""
    return Ether(src=source.mac, dst=BRIDGE_MAC) / packet


def from_gateway(target: Station, packet: Packet) -> Packet:
    return Ether(src=BRIDGE_MAC, dst=target.mac) / packet


def around(
    inner: Packet | bytes,
    family: int,
    *,
    source: str,
    target: str,
    macs: tuple[str, str],
    sport: int = 50000,
    dport: int = PORT,
    vni: int | None = None,
    checksum: int | None = None,
    tos: int = 0,
    ttl: int = 64,
    ip: dict[str, Any] | None = None,
    vxlan: dict[str, Any] | None = None,
    udp: dict[str, Any] | None = None,
) -> Packet:
    """Outer headers around a frame; a checksum of None is the right one.

    `ip`, `udp` and `vxlan` are fields of scapy's layers, instead of the usual ones.
    """
    outer: Packet
    if family == 4:
        fields = {"id": 0, "flags": 0} | (ip or {})
        outer = IP(src=source, dst=target, tos=tos, ttl=ttl, **fields)
    else:
        outer = IPv6(src=source, dst=target, tc=tos, hlim=ttl, **(ip or {}))
    header = UDP(**({"sport": sport, "dport": dport, "chksum": checksum} | (udp or {})))
    number = VNIS[family] if vni is None else vni
    payload = VXLAN(**({"flags": 8, "vni": number} | (vxlan or {}))) / Raw(bytes(inner))
    return Ether(src=macs[0], dst=macs[1]) / outer / header / payload


def arriving(inner: Packet | bytes, family: int, **fields: Any) -> Packet:
    """From the VTEP of the segment to the gateway; `fields` are around()'s."""
    ends = {
        "source": PEER[family],
        "target": LOCAL[family],
        "macs": (PEER_MAC[family], CORE_MAC),
    }
    return around(inner, family, **(ends | fields))


def leaving(inner: Packet | bytes, family: int, **fields: Any) -> Packet:
    """From the gateway to the VTEP of the segment; `fields` are around()'s."""
    ends = {
        "source": LOCAL[family],
        "target": PEER[family],
        "macs": (CORE_MAC, PEER_MAC[family]),
    }
    return around(inner, family, **(ends | fields))


def from_far(family: int, **fields: Any) -> Packet:
    """What the station behind a tunnel sends to the one here."""
    return between(FAR[family], HERE, **fields)


def outer_of(frame: bytes) -> Packet:
    """The outer IP header and what follows, as scapy sees it."""
    packet = Ether(frame)
    assert packet.haslayer(UDP), packet.summary()
    return packet.payload


def source_port(frame: bytes) -> int:
    return int(outer_of(frame)[UDP].sport)


def identification(frame: bytes) -> int:
    return int(outer_of(frame).id)
