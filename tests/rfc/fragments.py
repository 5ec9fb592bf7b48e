# SPDX-License-Identifier: GPL-2.0-or-later
"""Datagrams in pieces, before and after translation."""

from collections.abc import Callable
from itertools import count

from scapy.layers.inet import ICMP, IP, TCP, UDP, fragment
from scapy.packet import Packet, Raw

from hybrid_gateway.lab import LAN, WAN
from tests.bpf.plane import Plane
from tests.lib.packets import SERVER, wire

PIECE = 400
PAYLOAD = bytes(i % 251 for i in range(1200))
KINDS = ("udp", "tcp", "echo")
Endpoint = tuple[str, int]
LAYERS = {"udp": (UDP, "sport"), "tcp": (TCP, "sport"), "echo": (ICMP, "id")}
identifications = count(1000)
"""No test may take up what is left of another's datagram."""


def datagram(
    kind: str, source: Endpoint, target: Endpoint, number: int, *, ttl: int = 64
) -> Packet:
    """1200 bytes that may be fragmented, with this identification; target[1] is 0 for an echo
    request and its identifier for a reply."""
    (saddr, sport), (daddr, dport) = source, target
    if kind == "echo":
        layer = ICMP(type="echo-reply" if dport else "echo-request", id=dport or sport, seq=1)
    elif kind == "tcp":
        layer = TCP(sport=sport, dport=dport, flags="S", seq=7)
    else:
        layer = UDP(sport=sport, dport=dport)
    return wire(IP(src=saddr, dst=daddr, ttl=ttl, id=number) / layer / Raw(PAYLOAD))


def pieces(whole: Packet, size: int = PIECE) -> list[Packet]:
    """Its fragments in order, as a sender makes them."""
    return [wire(piece) for piece in fragment(whole, fragsize=size)]


class Session:
    """One session LAN:4000 to SERVER:53, opened; it makes datagrams of both directions."""

    def __init__(self, plane: Plane, kind: str) -> None:
        self.kind = kind
        self._server = (SERVER, 0 if kind == "echo" else 53)
        opening = plane.lan(datagram(kind, (LAN.ip, 4000), self._server, 1))
        assert opening.verdict == "FORWARD", opening.counted
        layer, field = LAYERS[kind]
        self.port = int(getattr(opening.packet[layer], field))

    def outbound(self, number: int, *, translated: bool = False, ttl: int = 64) -> Packet:
        source = (WAN.ip, self.port) if translated else (LAN.ip, 4000)
        return datagram(self.kind, source, self._server, number, ttl=ttl)

    def inbound(self, number: int, *, translated: bool = False, ttl: int = 64) -> Packet:
        target = (LAN.ip, 4000) if translated else (WAN.ip, self.port)
        return datagram(self.kind, (SERVER, 53), target, number, ttl=ttl)


def identification(packets: list[Packet]) -> int:
    """That of all pieces of one datagram."""
    (number,) = {packet[IP].id for packet in packets}
    return int(number)


def reassembled(packets: list[Packet]) -> bytes:
    """The payload of a datagram whose pieces have come in any order; each byte just once."""
    found = b""
    for piece in sorted(packets, key=lambda packet: int(packet[IP].frag)):
        assert piece[IP].frag * 8 == len(found)
        found += bytes(piece[IP].payload)[: piece[IP].len - 4 * piece[IP].ihl]
    return found


Arrange = Callable[[list[Packet]], list[Packet]]
ORDERS: dict[str, Arrange] = {
    "in order": lambda parts: parts,
    "reversed": lambda parts: parts[::-1],
    "last first": lambda parts: [parts[-1], *parts[:-1]],
    "first last": lambda parts: [*parts[1:], parts[0]],
    "first in the middle": lambda parts: [parts[2], parts[0], parts[1], *parts[3:]],
}
