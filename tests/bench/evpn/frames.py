# SPDX-License-Identifier: GPL-2.0-or-later
"""Frames of stations, in VXLAN or not, for net_pcap to replay."""

import struct
from collections.abc import Iterator
from pathlib import Path

from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment, fragment6
from scapy.layers.l2 import Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet, Raw

from tests.bench.dpdk.frames import PCAP_HEADER, PCAP_MAC, SENDER_MAC
from tests.bench.vxlan.path import LOCAL, PORT, REMOTE, STATIONS, UNDERLAYS, VNI, mac

VTEPS = 8
FIRST_SOURCE_PORT = 49152
IDENTIFICATION = 0x5EED0000


def inner(number: int, size: int, *, inwards: bool) -> Packet:
    """Between the stations of that number; `size` bytes with the Ethernet header."""
    here, there = LOCAL + number, REMOTE + number
    source, destination = (there, here) if inwards else (here, there)
    headers = Ether(src=mac(source), dst=mac(destination)) / IP(
        src=str(source), dst=str(destination)
    )
    headers /= UDP(sport=1024 + number, dport=9, chksum=0)
    return headers / Raw(bytes(size - len(headers)))


def outer(frame: Packet, number: int, family: int) -> Packet:
    """As a VTEP sends it; with a checksum over IPv6, without over IPv4."""
    underlay = UNDERLAYS[family]
    vtep = underlay.vtep(number % VTEPS)
    packet = Ether(src=SENDER_MAC, dst=PCAP_MAC)
    packet /= (
        IPv6(src=vtep, dst=underlay.local) if family == 6 else IP(src=vtep, dst=underlay.local)
    )
    udp = UDP(sport=FIRST_SOURCE_PORT + number, dport=PORT)
    if family == 4:
        udp.chksum = 0
    return packet / udp / VXLAN(vni=VNI, flags="Instance") / frame


def pieces(packet: Packet, number: int, mtu: int) -> list[bytes]:
    """What a link of that MTU carries of it."""
    ether, ip = packet.copy(), packet[IPv6]
    if len(ip) <= mtu:
        return [bytes(packet)]
    ether.remove_payload()
    marked = IPv6(src=ip.src, dst=ip.dst) / IPv6ExtHdrFragment(id=IDENTIFICATION + number)
    whole = IPv6(bytes(ip))
    marked[IPv6ExtHdrFragment].nh = whole.nh
    marked /= Raw(bytes(whole)[40:])
    return [bytes(ether / piece) for piece in fragment6(marked, mtu)]


def outwards(size: int) -> Iterator[bytes]:
    for number in range(STATIONS):
        yield bytes(inner(number, size, inwards=False))


def inwards(size: int, family: int, mtu: int) -> Iterator[bytes]:
    for number in range(STATIONS):
        packet = outer(inner(number, size, inwards=True), number, family)
        yield from pieces(packet, number, mtu) if family == 6 else [bytes(packet)]


def write(path: Path, frames: Iterator[bytes]) -> int:
    """Returns how many there are."""
    count = 0
    with path.open("wb") as file:
        file.write(PCAP_HEADER)
        for frame in frames:
            file.write(struct.pack("<IIII", 0, 0, len(frame), len(frame)) + frame)
            count += 1
    return count
