# SPDX-License-Identifier: GPL-2.0-or-later
"""Frames that make no sense, of every length: a counted drop or the kernel's, and it goes on."""

import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

from hybrid_gateway.lab import EAST, SFP0, WEST
from tests.forward.fibre import CONFIGURATION, TAKEN_SECONDS, Fibre
from tests.forward.test_worker_follow import forwarded
from tests.lib.fibre import EAST6, WEST6, datagram, from_east, is_marked, to_west
from tests.lib.gateway import eventually
from tests.lib.traffic import ARRIVES_SECONDS

SHORTEST = 14
"""The kernel sends nothing that is less than an Ethernet header."""
LONGEST = 64


@pytest.fixture
def fibre_watch() -> None:
    """Much of this has no right checksums to begin with."""


def cut(version: int) -> list[bytes]:
    """A packet that ends early, at every length."""
    hosts = {4: (EAST.ip, WEST.ip), 6: (EAST6, WEST6)}[version]
    whole = bytes(from_east(datagram(*hosts)))
    return [whole[:length] for length in range(LONGEST + 1)]


def lies(version: int) -> Iterator[bytes]:
    """Headers that say what is not so."""
    hosts = {4: (EAST.ip, WEST.ip), 6: (EAST6, WEST6)}[version]
    whole = bytearray(bytes(from_east(datagram(*hosts))))
    places = {4: (14, 16, 17, 24), 6: (14, 18, 19)}[version]
    for place in places:
        for value in (0x00, 0x0F, 0x41, 0x44, 0x46, 0x54, 0x65, 0xFF):
            if value == whole[place]:
                continue
            told = whole[:]
            told[place] = value
            yield bytes(told)


def sent(fibre: Fibre, frames: Sequence[bytes]) -> list[bytes]:
    """What of them got through: all that arrives before a good packet that follows them."""
    good = from_east(datagram(sport=5555))
    fibre.wires.forget("west")
    for frame in (*frames, bytes(good)):
        fibre.wires.send(frame, at="east")
    through: list[bytes] = []
    for packet in fibre.wires.arriving("west", is_marked, ARRIVES_SECONDS):
        if bytes(packet) == bytes(to_west(datagram(sport=5555, ttl=63))):
            return through
        through.append(bytes(packet))
    raise AssertionError("nothing is forwarded any more")


@pytest.mark.parametrize("version", [4, 6])
def test_every_length(fibre: Fibre, version: int) -> None:
    counts = fibre.counting()
    frames = cut(version)[SHORTEST:]
    assert sent(fibre, frames) == []
    counts.expect(FORWARD_IP4=1, PUNT_MALFORMED=len(frames))


@pytest.mark.parametrize("version", [4, 6])
def test_headers_that_lie(fibre: Fibre, version: int) -> None:
    """A wrong checksum does not get through, nor what is shorter than it says."""
    frames = list(lies(version))
    through = sent(fibre, frames)
    assert version == 6 or not through
    for packet in map(Ether, through):
        assert packet[IPv6].plen <= len(packet) - 14 - 40
    for family in (4, 6):
        forwarded(fibre, family)


def pcap(frames: list[bytes]) -> bytes:
    """A capture file."""
    head = struct.pack("=IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
    return head + b"".join(struct.pack("=IIII", 0, 0, len(f), len(f)) + f for f in frames)


def test_every_length_from_a_capture(fibre: Fibre, tmp_path: Path) -> None:
    """A pcap port has no kernel before it that would refuse what is too short."""
    said, heard = tmp_path / "in.pcap", tmp_path / "out.pcap"
    frames = [*cut(4), *cut(6)]
    said.write_bytes(pcap(frames))
    port = f'  cap0: {{vdev: "net_pcap0,rx_pcap={said},tx_pcap={heard}", plane: dpdk}}\n'
    fibre.gateway.apply(CONFIGURATION.replace("ports:\n", f"ports:\n{port}", 1))
    eventually(lambda: fibre.taken("cap0"), "the capture is a port", TAKEN_SECONDS)
    fibre.ip("link set cap0 up")
    eventually(
        lambda: sum(fibre.counters("cap0").values()) >= len(frames),
        "each frame was counted",
        TAKEN_SECONDS,
    )
    forwarded(fibre)
    assert SFP0.device in fibre.status().ports
