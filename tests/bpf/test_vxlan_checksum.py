# SPDX-License-Identifier: GPL-2.0-or-later
"""The outer UDP checksum of frames of all lengths, written and verified; scapy has its own."""

import pytest
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from .segment import FAMILIES, FAR, HERE
from .stretched import Stretched
from .test_vxlan_decapsulate import NOT_OURS
from .test_vxlan_encapsulate import as_it_is, sent
from .vxlan_frames import SIZES, arriving, from_far, identification, leaving, source_port

families = pytest.mark.parametrize("family", FAMILIES)
UDP_CHECKSUM = {4: 40, 6: 60}
"""Where it is in the outer frame."""
LONGEST = 1614
"""Of an inner frame that CORE_MTU has room for, over IPv6 too."""
VNI = {4: 46, 6: 66}


def _frame(family: int, length: int, fill: int = 0) -> bytes:
    """Not IP, so that nothing of it but its length and its content matters."""
    head = bytes(Ether(src=HERE.mac, dst=FAR[family].mac, type=0x9000))
    return head + bytes((i * 7 + fill + length) % 256 for i in range(length - len(head)))


@families
@pytest.mark.parametrize("first", range(14, LONGEST + 1, 200))
def test_every_length_into_a_tunnel(stretched: Stretched, family: int, first: int) -> None:
    for length in range(first, min(first + 200, LONGEST + 1)):
        inner = _frame(family, length)
        frame = sent(stretched, inner)
        assert len(frame) == length + SIZES[family]
        assert frame == bytes(leaving(inner, family, **as_it_is(frame))), length


@families
@pytest.mark.parametrize("first", range(14, LONGEST + 1, 200))
def test_every_length_out_of_one(stretched: Stretched, family: int, first: int) -> None:
    """Accepted when right, and refused when a bit near its end is wrong. Every third, as the sum
    is the same code in both directions, and three is prime to the sizes of its pieces."""
    for length in range(first, min(first + 200, LONGEST + 1), 3):
        inner = bytes.fromhex(HERE.mac.replace(":", "")) + bytes.fromhex("0200c0a89628 9000")
        inner += _frame(family, length)[14:]
        frame = bytes(arriving(inner, family))
        assert stretched.from_core(frame).counted == {"BRIDGE": 1, "VXLAN_DECAP": 1}, length
        broken = bytearray(frame)
        broken[-1 - length % 5] ^= 1 << length % 8
        assert stretched.from_core(bytes(broken)).counted == {"DROP_CHECKSUM": 1}, length


@families
@pytest.mark.parametrize("fill", [0x00, 0xFF])
def test_sums_of_nothing_and_of_everything(stretched: Stretched, family: int, fill: int) -> None:
    for length in (14, 15, 60, 511, 512, 513, 1024, 1600, 1601):
        inner = _frame(family, 14) + bytes([fill]) * (length - 14)
        frame = sent(stretched, inner)
        assert frame == bytes(leaving(inner, family, **as_it_is(frame))), length


@families
def test_a_checksum_of_zero_is_sent_as_its_other_form(stretched: Stretched, family: int) -> None:
    """Zero says that there is none (RFC 768)."""
    stretched.tunnel(family, port_low=50000, port_high=50000)
    plain = _frame(family, 60)[:-2] + b"\0\0"
    ip = {"id": 0} if family == 4 else {}
    made = bytes(leaving(plain, family, sport=50000, ip=ip))
    at = UDP_CHECKSUM[family]
    inner = plain[:-2] + made[at : at + 2]
    frame = sent(stretched, inner)

    assert frame[at : at + 2] == b"\xff\xff"
    assert frame == bytes(leaving(inner, family, **as_it_is(frame)))


@families
def test_every_bit_is_covered(stretched: Stretched, family: int) -> None:
    """From the addresses on; what it says about itself is that it is wrong."""
    frame = bytes(arriving(from_far(family), family))
    first = {4: 26, 6: 22}[family]
    ports = range(UDP_CHECKSUM[family] - 4, UDP_CHECKSUM[family])
    for place in range(first, len(frame)):
        broken = bytearray(frame)
        broken[place] ^= 0x10
        counted = stretched.from_core(_mended(broken, family)).counted
        # Another address of ours, another port or length, VNI or flags: not VXLAN of ours at all.
        passed = NOT_OURS[family]
        allowed = [{"DROP_CHECKSUM": 1}]
        local = range(30, 34) if family == 4 else range(38, 54)
        if place in local or place in ports:
            allowed.append(passed)
        if place in range(UDP_CHECKSUM[family] - 2, UDP_CHECKSUM[family]):
            allowed.append({"DROP_VXLAN": 1})
        assert counted in allowed, place


def _mended(frame: bytearray, family: int) -> bytes:
    """The header checksum of IPv4 is right again."""
    if family == 4:
        header = Ether(bytes(frame)).payload
        del header.chksum
        frame[14:34] = bytes(header)[:20]
    return bytes(frame)


@families
def test_none_is_accepted(stretched: Stretched, family: int) -> None:
    inner = from_far(family)
    outcome = stretched.from_core(arriving(inner, family, checksum=0), to="seg0")

    assert outcome.counted == {"BRIDGE": 1, "VXLAN_DECAP": 1}
    assert outcome.frame == bytes(inner)


@families
@pytest.mark.parametrize("checksum", [1, 0x1234, 0xFFFE, 0xFFFF])
def test_a_wrong_one_is_not(stretched: Stretched, family: int, checksum: int) -> None:
    frame = arriving(from_far(family), family, checksum=checksum)

    assert stretched.from_core(frame).counted == {"DROP_CHECKSUM": 1}


@families
def test_the_other_form_of_zero_is_right(stretched: Stretched, family: int) -> None:
    plain = bytes(from_far(family, payload=bytes(30))) + b"\0\0"
    at = UDP_CHECKSUM[family]
    made = bytes(arriving(plain, family))
    inner = plain[:-2] + made[at : at + 2]
    frame = bytes(arriving(inner, family))
    assert frame[at : at + 2] == b"\xff\xff"

    assert stretched.from_core(frame).counted == {"BRIDGE": 1, "VXLAN_DECAP": 1}


def test_the_port_is_part_of_it(stretched: Stretched) -> None:
    """All of them, over the whole range."""
    for number in range(0, 65536, 4111):
        stretched.tunnel(6, port_low=number or 1, port_high=number or 1)
        inner = bytes(Ether(src=HERE.mac, dst=FAR[6].mac) / Raw(b"x"))
        frame = sent(stretched, inner)
        assert source_port(frame) == (number or 1)
        assert frame == bytes(leaving(inner, 6, sport=number or 1))
    assert identification(sent(stretched, _frame(4, 60))) >= 0
