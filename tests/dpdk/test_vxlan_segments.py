# SPDX-License-Identifier: GPL-2.0-or-later
"""VXLAN from drivers that give frames in several segments, or say that checksums are right."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from scapy.layers.inet import IP

from tests.dpdk.pieces import pieces
from tests.dpdk.preload import preloaded
from tests.dpdk.stretched import Stretched
from tests.dpdk.vxlan import FAMILIES, FAR, HERE, SIZES, between

pytestmark = pytest.mark.dpdk
families = pytest.mark.parametrize("family", FAMILIES)

ETHERNET = 14
WHOLE = "ff"
"""As the last byte of a source address: the frame stays in one segment, see segments.c."""
PROMISED = "06"
"""As the first byte: its checksums are said to be right."""
BRIDGE = "02:00:00:00:09:01"


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stretched]:
    source = Path(__file__).with_name("segments.c")
    directory = tmp_path_factory.mktemp("preload")
    with preloaded(source, directory), Stretched.running("vs") as running:
        running.as_made()
        yield running


def macs(sides: Stretched, last: str, first: str = "02") -> tuple[str, str]:
    return f"{first}:00:00:00:02:{last}", sides.core.mac


@families
def test_wherever_the_first_segment_ends(sides: Stretched, family: int) -> None:
    """Behind the inner Ethernet header it is ours; before, the kernel gets it, whole."""
    inner = between(FAR, HERE)
    for length in range(ETHERNET, SIZES[family] + 40):
        frame = sides.segments[family].arriving(inner, macs=macs(sides, f"{length:02x}"))
        if length >= SIZES[family] + ETHERNET:
            sides.taken(frame, inner, family)
            continue
        counting = sides.bench.counting("core")
        (seen,) = sides.bench.burst([frame], via=sides.core.far, at=sides.core.kernel)
        assert bytes(seen) == bytes(frame)
        assert not [name for name in counting.now() if not name.startswith("PUNT")]


@families
def test_a_checksum_over_segments(sides: Stretched, family: int) -> None:
    frame = sides.segments[family].arriving(between(FAR, HERE), macs=macs(sides, "61"))
    wrong = bytearray(bytes(frame))
    wrong[-1] ^= 0x10
    sides.dropped(bytes(wrong), DROP_CHECKSUM=1)


@families
@pytest.mark.parametrize("length", [60, 61, 1400])
def test_into_the_tunnel(sides: Stretched, family: int, length: int) -> None:
    """A frame of HERE's comes in three segments, the second of which has an odd length."""
    inner = between(HERE, FAR, payload=bytes(i % 251 for i in range(length - 42)))
    seen = sides.sent(inner, family)
    assert bytes(seen) == bytes(sides.leaving(inner, family, seen))


@families
def test_promises_about_the_packet(sides: Stretched, family: int) -> None:
    """Whoever promises that it is right has looked."""
    inner = between(FAR, HERE)
    ends = macs(sides, WHOLE, PROMISED)
    frame = sides.segments[family].arriving(inner, macs=ends, checksum=0x1234)
    sides.taken(frame, inner, family)


@families
def test_promises_about_what_is_inside(sides: Stretched, family: int) -> None:
    """They are none: a router looks itself (RFC 1812 section 5.2.2)."""
    packet = between(FAR, BRIDGE)
    packet[IP].chksum = 0x1234
    ends = macs(sides, WHOLE, PROMISED)
    sides.punted(sides.segments[family].arriving(packet, macs=ends), PUNT_MALFORMED=1)


def test_promises_about_pieces(sides: Stretched) -> None:
    """The checksum is that of the packet, which the device has not seen."""
    ends = macs(sides, WHOLE, PROMISED)
    whole = sides.segments[6].arriving(between(FAR, HERE), macs=ends, checksum=0x1234)
    counting = sides.bench.counting("core")
    sides.core.far.send(pieces(whole, (64,), 7))
    counting.expect(DROP_CHECKSUM=1, VXLAN_PIECE=1)
