# SPDX-License-Identifier: GPL-2.0-or-later
"""Frames in several pieces, wherever the first one ends: nothing behind it is looked at."""

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet

from tests.dpdk.harness import Bench
from tests.dpdk.preload import preloaded
from tests.dpdk.test_as_the_kernel import Sides, both_sides, damaged, packet4, packet6

pytestmark = pytest.mark.dpdk

SOURCE = Path(__file__).with_name("segments.c")
ETHERNET, IP4, IP6 = 14, 34, 54
"""Bytes to the end of the header."""


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sides]:
    """Of a worker whose ports receive pieces."""
    with (
        preloaded(SOURCE, tmp_path_factory.mktemp("cutter")),
        Bench.running("cut") as bench,
        both_sides(bench) as made,
    ):
        yield made


@pytest.mark.parametrize("length", [*range(ETHERNET, 64), 255])
def test_what_is_forwarded_is_the_same(sides: Sides, length: int) -> None:
    """By the worker, or by the kernel when a header is not in the first piece."""
    packets = damaged(Random(length))
    for behind in (0, 1, 6, 7, 8, 60):
        for packet in (packet4(behind + 1, load=bytes(30)), packet6(behind + 1, load=bytes(30))):
            packets[f"{packet.name} {behind}"] = bytes(packet) + b"secret" * 10

    wanted = sides.forwarded(sides.kernel, packets)

    assert sides.forwarded(sides.worker, packets, length) == wanted


@pytest.mark.parametrize(("packet", "header"), [(packet4(), IP4), (packet6(), IP6)])
def test_where_it_is_counted(sides: Sides, packet: Packet, header: int) -> None:
    """Less than an Ethernet header is nothing; else it is the kernel's, whole."""
    p0, p1 = sides.worker.into, sides.worker.out
    for length in range(header + 2):
        ether = Ether(dst=sides.worker.mac, src=f"02:00:00:00:02:{length:02x}")
        frame = bytes(ether / packet)
        counting = sides.bench.counting("p0")
        p1.forget()
        p0.send([frame])
        if length < ETHERNET:
            counting.expect(DROP_SHORT=1)
            continue
        (seen,) = p1.expect(1)
        assert len(seen) == len(frame)
        kind = "FORWARD_IP4" if header == IP4 else "FORWARD_IP6"
        counting.expect(**{kind if length >= header else "PUNT_MALFORMED": 1})


def test_what_the_kernel_gets_is_whole(sides: Sides) -> None:
    kernel = sides.bench.ports["p0"].kernel
    for length in range(ETHERNET, 60):
        ether = Ether(dst="ff:ff:ff:ff:ff:ff", src=f"02:00:00:00:02:{length:02x}")
        frame = bytes(ether / ARP(op=2, psrc="198.51.100.77", pdst="198.51.100.77") / bytes(40))
        received = sides.bench.send_and_expect(frame, via=sides.worker.into, at=kernel)
        assert bytes(received) == frame
