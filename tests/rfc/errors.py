# SPDX-License-Identifier: GPL-2.0-or-later
"""ICMP errors about packets of sessions, and the sessions that they are about."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.packet import Packet, Raw

from hybrid_gateway.lab import LAN, WAN
from tests.bpf.plane import Plane
from tests.lib.packets import SERVER, echo, ip, tcp, udp, wire

ROUTER_FAR = "198.51.100.1"
"""A router on the way to SERVER, which no inside host has ever sent anything to."""
FORWARDED = {"FORWARD": 1, "NAT_ICMP_ERROR": 1}
KINDS = ("udp", "tcp", "echo")
MINIMUM = 28
"""Bytes of a quote as RFC 792 has it: the header and 64 bits."""


def error(
    source: str, target: str, quote: Packet | bytes, kind: int = 3, code: int = 3, **fields: Any
) -> Packet:
    """An ICMP error; `ttl` is that of its IPv4 header, other fields are ICMP's."""
    header = ip(source, target, fields.pop("ttl", 64))
    return header / ICMP(type=kind, code=code, **fields) / Raw(bytes(quote))


@dataclass(frozen=True)
class Flow:
    """One protocol's packets of a session LAN:4000 to SERVER:53 and the way back."""

    kind: str
    port: int
    """Outside port or identifier."""

    def outbound(self, *, translated: bool, ttl: int = 64) -> Packet:
        """As the inside host sends it, or as it looks outside."""
        source, sport = (WAN.ip, self.port) if translated else (LAN.ip, 4000)
        return wire(packet(self.kind, (source, sport), (SERVER, 53), ttl))

    def inbound(self, *, translated: bool, ttl: int = 64) -> Packet:
        """As the Internet host sends it, or as the inside host sees it."""
        target = (LAN.ip, 4000) if translated else (WAN.ip, self.port)
        return wire(packet(self.kind, (SERVER, 53), target, ttl, reply=True))


def packet(
    kind: str, source: tuple[str, int], target: tuple[str, int], ttl: int, *, reply: bool = False
) -> Packet:
    (saddr, sport), (daddr, dport) = source, target
    if kind == "echo":
        return echo(saddr, daddr, dport if reply else sport, reply=reply, ttl=ttl)
    if kind == "tcp":
        flags = "SA" if reply else "S"
        return tcp(saddr, daddr, sport, dport, flags, ttl=ttl, seq=77, payload=b"abcdefgh")
    return udp(saddr, daddr, sport, dport, ttl=ttl)


def opened(plane: Plane, kind: str) -> Flow:
    """Opens the session; its port."""
    outcome = plane.lan(packet(kind, (LAN.ip, 4000), (SERVER, 53), 64))
    assert outcome.verdict == "FORWARD", outcome.counted
    left = outcome.packet
    found = {"udp": (UDP, "sport"), "tcp": (TCP, "sport"), "echo": (ICMP, "id")}[kind]
    return Flow(kind, int(getattr(left[found[0]], found[1])))


def deadline(plane: Plane) -> int:
    """When the only session expires; two equal ones mean that nothing has refreshed it."""
    record = plane.dataplane.table("gw_records").get(plane.session().index)
    assert record is not None
    return int(record.session.deadline)


def changed(quoted: Packet, change: Callable[[Packet], None]) -> Packet:
    """A copy of a packet with one thing done to it; checksums stay as they were."""
    copy = wire(quoted)
    change(copy)
    return copy


def with_options(quoted: Packet, options: list[Any]) -> Packet:
    """The packet with IPv4 options, its header's length and checksum right again."""
    copy = wire(quoted)
    copy[IP].options = options
    del copy[IP].ihl, copy[IP].len, copy[IP].chksum
    return wire(copy)
