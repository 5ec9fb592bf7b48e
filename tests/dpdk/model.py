# SPDX-License-Identifier: GPL-2.0-or-later
"""What the worker has to do with a frame, said once more, slowly: the tests compare.

Written from RFC 1812, RFC 8200 and docs/worker.md, not from the worker's code.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

ETHERNET = 14
Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# What a source address must not be: the kernel judges it then.
ODD_SOURCES4 = [IPv4Network(text) for text in ("0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/3")]
ODD_SOURCES6 = [IPv6Network(text) for text in ("::/8", "ff00::/8")]
LINK_LOCAL = IPv6Network("fe80::/10")


class Where(Enum):
    """Where a frame ends."""

    OUT = "out"
    KERNEL = "kernel"
    NOWHERE = "nowhere"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of one frame: the counter that moves, where it arrives, and as what."""

    counter: str
    where: Where
    frame: bytes = b""


@dataclass(frozen=True, slots=True)
class Way:
    """What a route leads to: a next hop's Ethernet addresses, or a counter's name instead."""

    destination: str = ""
    source: str = ""
    instead: str = ""


@dataclass(frozen=True, slots=True)
class Router:
    """One port that frames come in by, and where they go from there."""

    mac: str
    routes: Mapping[Network, Way]
    neighbours: Mapping[Address, Way]
    """For routes whose `instead` is CONNECTED."""
    mtu: int = 1500

    def verdict(self, frame: bytes) -> Verdict:
        """Of a frame that came in by that port."""
        kind = int.from_bytes(frame[12:14], "big")
        if frame[:6] != _mac(self.mac):
            if not frame[0] & 1:
                return Verdict("DROP_NOT_FOR_US", Where.NOWHERE)
            return _punt("ARP" if kind == 0x0806 else "MULTICAST", frame)
        if kind == 0x0800:
            return self._ip4(frame)
        if kind == 0x86DD:
            return self._ip6(frame)
        named = {0x0806: "ARP", 0x8100: "VLAN", 0x88A8: "VLAN"}
        return _punt(named.get(kind, "ETHERTYPE"), frame)

    def _ip4(self, frame: bytes) -> Verdict:
        ip = frame[ETHERNET:]
        if len(ip) < 20 or ip[0] >> 4 != 4 or ip[0] & 15 < 5:
            return _punt("MALFORMED", frame)
        total = int.from_bytes(ip[2:4], "big")
        if not 20 <= total <= len(ip) or (ip[0] == 0x45 and checksum(ip[:20]) != 0):
            return _punt("MALFORMED", frame)
        if ip[0] != 0x45:
            return _punt("OPTIONS", frame)
        source, destination = IPv4Address(ip[12:16]), IPv4Address(ip[16:20])
        if any(source in net for net in ODD_SOURCES4) or self._is_ours(source):
            return _punt("SOURCE", frame)
        if destination in IPv4Network("224.0.0.0/3"):
            return _punt("MULTICAST", frame)
        if destination == IPv4Address(0):
            return _punt("LOCAL", frame)
        return self._route(frame, destination, hops=ip[8], length=total, counter="FORWARD_IP4")

    def _ip6(self, frame: bytes) -> Verdict:
        ip = frame[ETHERNET:]
        if len(ip) < 40 or ip[0] >> 4 != 6:
            return _punt("MALFORMED", frame)
        total = 40 + int.from_bytes(ip[4:6], "big")
        if total > len(ip):
            return _punt("MALFORMED", frame)
        if ip[6] == 0:
            return _punt("OPTIONS", frame)
        source, destination = IPv6Address(ip[8:24]), IPv6Address(ip[24:40])
        if destination.is_multicast:
            return _punt("MULTICAST", frame)
        if destination in LINK_LOCAL or source in LINK_LOCAL:
            return _punt("LINK_LOCAL", frame)
        if any(source in net for net in ODD_SOURCES6):
            return _punt("SOURCE", frame)
        return self._route(frame, destination, hops=ip[7], length=total, counter="FORWARD_IP6")

    def _route(
        self, frame: bytes, destination: Address, *, hops: int, length: int, counter: str
    ) -> Verdict:
        way = self._longest(destination)
        if way.instead == "CONNECTED":
            way = self.neighbours.get(destination, Way(instead="PUNT_NEIGHBOUR"))
        if way.instead:
            if way.instead.startswith("DROP"):
                return Verdict(way.instead, Where.NOWHERE)
            return _punt(way.instead.removeprefix("PUNT_"), frame)
        if hops <= 1:
            return _punt("TTL", frame)
        if length > self.mtu:
            return _punt("TOO_BIG", frame)
        # What is behind the packet stays here.
        return Verdict(counter, Where.OUT, _sent(frame[: ETHERNET + length], way))

    def _is_ours(self, source: IPv4Address) -> bool:
        return self._longest(source).instead == "PUNT_LOCAL"

    def _longest(self, destination: Address) -> Way:
        found, longest = Way(instead="PUNT_NO_ROUTE"), -1
        for network, way in self.routes.items():
            if destination in network and network.prefixlen > longest:
                found, longest = way, network.prefixlen
        return found


def checksum(data: bytes) -> int:
    """RFC 1071, of an even number of bytes; 0 over a header that has the right one in it."""
    words: tuple[int, ...] = struct.unpack(f"!{len(data) // 2}H", data)
    total = sum(words)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _sent(frame: bytes, way: Way) -> bytes:
    """One hop further, with other Ethernet addresses; all the rest is as it was."""
    out = bytearray(_mac(way.destination) + _mac(way.source) + frame[12:])
    if out[ETHERNET] >> 4 == 6:
        out[ETHERNET + 7] -= 1
        return bytes(out)
    out[ETHERNET + 8] -= 1
    out[ETHERNET + 10 : ETHERNET + 12] = b"\0\0"
    total = checksum(bytes(out[ETHERNET : ETHERNET + 20]))
    out[ETHERNET + 10 : ETHERNET + 12] = total.to_bytes(2, "big")
    return bytes(out)


def _punt(reason: str, frame: bytes) -> Verdict:
    return Verdict(f"PUNT_{reason}", Where.KERNEL, frame)


def _mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))
