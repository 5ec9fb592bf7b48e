# SPDX-License-Identifier: GPL-2.0-or-later
"""Frames as bytes, for what scapy would be too slow or too correct for."""

import struct

from hybrid_gateway.lab import checksums

ETHERNET, IPV4 = 14, 20
IP_CHECKSUM, SADDR, DADDR = 24, 26, 30
SPORT, DPORT, UDP_CHECKSUM = 34, 36, 40
"""Offsets in an untagged frame without IPv4 options."""


def mended(frame: bytearray) -> bytes:
    """The same with a right IPv4 header checksum, so that what lies behind is looked at."""
    header = frame[ETHERNET : ETHERNET + IPV4]
    if len(header) == IPV4:
        header[10:12] = b"\0\0"
        struct.pack_into("!H", frame, IP_CHECKSUM, 0xFFFF - checksums.folded(bytes(header)))
    return bytes(frame)
