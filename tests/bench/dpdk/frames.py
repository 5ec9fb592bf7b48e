# SPDX-License-Identifier: GPL-2.0-or-later
"""Frames of 64 bytes on the wire, and the pcap files that net_pcap replays.

UDP over IPv4 fits exactly. Over IPv6 it would be two bytes too long: those frames have the
protocol number for experiments (RFC 3692) and six bytes after the header.
"""

import struct
from collections.abc import Iterable
from pathlib import Path

FRAME = 60
"""Bytes without the FCS."""
PCAP_MAC = "02:70:63:61:70:00"
"""Of the first net_pcap, which cannot be given another one."""
SENDER_MAC = "02:be:ff:00:00:01"
SOURCES = {4: int.from_bytes(bytes((192, 0, 2, 1)), "big"), 6: (0x20010DB8 << 96) + (0xFFFF << 80)}
TTL = 64
UDP, EXPERIMENT = 17, 253
DISCARD = 9
ETHERTYPES = {4: 0x0800, 6: 0x86DD}
PCAP_HEADER = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
RECORD = struct.pack("<IIII", 0, 0, FRAME, FRAME)


def mac_bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def frame(family: int, destination: int, number: int, to: str = PCAP_MAC) -> bytes:
    """The source port follows the number, and so does the flow."""
    header = mac_bytes(to) + mac_bytes(SENDER_MAC) + struct.pack("!H", ETHERTYPES[family])
    packet = _ipv4(destination, number) if family == 4 else _ipv6(destination, number)
    return header + packet


def write_pcap(path: Path, family: int, destinations: Iterable[int], to: str = PCAP_MAC) -> None:
    with path.open("wb") as file:
        file.write(PCAP_HEADER)
        for number, destination in enumerate(destinations):
            file.write(RECORD + frame(family, destination, number, to))


def _ipv4(destination: int, number: int) -> bytes:
    size = FRAME - 14
    fields = (0x45, 0, size, 0, 0, TTL, UDP, 0, SOURCES[4], destination)
    header = struct.pack("!BBHHHBBHII", *fields)
    checksum = sum(struct.unpack("!10H", header))
    checksum = (checksum & 0xFFFF) + (checksum >> 16)
    checksum = ~((checksum & 0xFFFF) + (checksum >> 16)) & 0xFFFF
    # A UDP checksum of zero is none.
    udp = struct.pack("!HHHH", 1024 + number % 60000, DISCARD, size - 20, 0)
    return (header[:10] + struct.pack("!H", checksum) + header[12:] + udp).ljust(size, b"\0")


def _ipv6(destination: int, number: int) -> bytes:
    payload = struct.pack("!HI", number & 0xFFFF, number)
    header = struct.pack("!IHBB", 6 << 28 | number & 0xFFFFF, len(payload), EXPERIMENT, TTL)
    return header + SOURCES[6].to_bytes(16, "big") + destination.to_bytes(16, "big") + payload
