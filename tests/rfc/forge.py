# SPDX-License-Identifier: GPL-2.0-or-later
"""Frames from a few numbers, right or wrong in one field: quick, for a fuzz makes thousands."""

import struct
from dataclasses import dataclass, replace
from ipaddress import IPv4Address

from hybrid_gateway.lab import checksums
from hybrid_gateway.lab.checksums import ICMP, TCP, UDP
from tests.bpf.site import mac_bytes

ERRORS = (3, 4, 5, 11, 12)
MORE = 0x2000
DF = 0x4000


def checksum(data: bytes) -> int:
    return 0xFFFF - checksums.folded(data)


@dataclass(frozen=True)
class Quote:
    """What an ICMP error is about, and how much of it is quoted."""

    about: "Datagram"
    length: int
    padded: bool = False
    """Filled up to 128 bytes, with an RFC 4884 extension behind."""

    def wire(self) -> bytes:
        quoted = self.about.wire()[: self.length]
        if not self.padded:
            return quoted
        extension = struct.pack("!BBHHBBI", 0x20, 0, 0, 8, 1, 1, 0x123451FF)
        extension = extension[:2] + struct.pack("!H", checksum(extension)) + extension[4:]
        return quoted[:128].ljust(128, b"\0") + extension


@dataclass(frozen=True)
class Datagram:
    """An IPv4 packet. For an echo `sport` is the identifier; `kind` is ICMP's type."""

    source: str
    target: str
    protocol: int
    sport: int = 0
    dport: int = 0
    kind: int = 8
    code: int = 0
    flags: int = 0x02
    ttl: int = 64
    identification: int = 1
    fragment: int = DF
    options: int = 0
    """Words of NOP options."""
    payload: bytes = b"payload"
    quote: Quote | None = None

    def transport(self) -> bytes:
        """With a right checksum; `payload` alone for other protocols."""
        if self.protocol == UDP:
            head = struct.pack("!HHHH", self.sport, self.dport, 8 + len(self.payload), 0)
        elif self.protocol == TCP:
            ports = struct.pack("!HHII", self.sport, self.dport, 7, 9)
            head = ports + struct.pack("!BBHHH", 0x50, self.flags, 512, 0, 0)
        elif self.protocol == ICMP:
            return self._icmp()
        else:
            return self.payload
        place = checksums.CHECKSUM_AT[self.protocol]
        segment = head + self.payload
        pseudo = self._addresses() + struct.pack("!HH", self.protocol, len(segment))
        right = checksum(pseudo + segment) or 0xFFFF
        return segment[:place] + struct.pack("!H", right) + segment[place + 2 :]

    def _icmp(self) -> bytes:
        words = self.quote and self.quote.padded and 32
        rest = struct.pack("!HH", words or 0, 1400) if self.quote else b""
        rest = rest or struct.pack("!HH", self.sport, 1)
        body = self.quote.wire() if self.quote else self.payload
        message = struct.pack("!BBH", self.kind, self.code, 0) + rest + body
        return message[:2] + struct.pack("!H", checksum(message)) + message[4:]

    def _addresses(self) -> bytes:
        return IPv4Address(self.source).packed + IPv4Address(self.target).packed

    def wire(self, segment: bytes | None = None) -> bytes:
        segment = self.transport() if segment is None else segment
        length = 20 + 4 * self.options
        head = struct.pack(
            "!BBHH", 0x40 | length // 4, 0, length + len(segment), self.identification
        )
        head += struct.pack("!HBBH", self.fragment, self.ttl, self.protocol, 0)
        head += self._addresses() + b"\1\1\1\1" * self.options
        return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + segment

    def pieces(self, size: int) -> list[bytes]:
        """As fragments; one without MF if all of it fits."""
        segment = self.transport()
        found = []
        for begin in range(0, len(segment) or 1, size):
            more = MORE if begin + size < len(segment) else 0
            piece = replace(self, fragment=more | begin // 8)
            found.append(piece.wire(segment[begin : begin + size]))
        return found


def framed(packet: bytes, source: str, target: str) -> bytes:
    return mac_bytes(target) + mac_bytes(source) + b"\x08\0" + packet
