# SPDX-License-Identifier: GPL-2.0-or-later
"""Outer packets that contradict themselves, or that only the kernel can put together."""

import struct

import pytest
from scapy.layers.inet import IP, UDP, IPOption_NOP
from scapy.layers.inet6 import (
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
    Jumbo,
    Pad1,
)
from scapy.layers.l2 import Dot1Q, Ether
from scapy.packet import Packet, Raw

from .frames import mended
from .segment import BRIDGE_MAC, CORE_MAC, FAMILIES, FAR, LOCAL, PEER, PEER_MAC
from .stretched import Stretched
from .test_vxlan_decapsulate import NOT_OURS
from .vxlan_frames import SIZES, arriving, from_far

families = pytest.mark.parametrize("family", FAMILIES)
UDP_LENGTH = {4: 38, 6: 58}


def _whole(family: int, **fields: object) -> bytes:
    return bytes(arriving(from_far(family), family, **fields))


def _with(frame: bytes, place: int, value: int) -> bytes:
    """Another number of two bytes there, under a right header checksum."""
    changed = bytearray(frame)
    struct.pack_into("!H", changed, place, value)
    return mended(changed) if frame[12:14] == b"\x08\0" else bytes(changed)


@families
def test_a_frame_that_ends_early(stretched: Stretched, family: int) -> None:
    """Its IP length says so at every place."""
    whole = _whole(family)
    for length in range(14, len(whole)):
        assert stretched.from_core(whole[:length]).counted == NOT_OURS[family], length


@families
@pytest.mark.parametrize("checksum", [None, 0])
def test_trailing_bytes(stretched: Stretched, family: int, checksum: int | None) -> None:
    """The inner frame would be longer than it was: the kernel cuts them off."""
    for many in (1, 2, 6, 46, 200):
        frame = _whole(family, checksum=checksum) + bytes(range(many))
        assert stretched.from_core(frame).counted == {"PUNT_VXLAN": 1}, many


@families
def test_trailing_bytes_of_what_is_wrong(stretched: Stretched, family: int) -> None:
    frame = _whole(family, checksum=0x1234) + b"\0"

    assert stretched.from_core(frame).counted == {"DROP_CHECKSUM": 1}


@families
def test_an_ip_length_that_lies(stretched: Stretched, family: int) -> None:
    whole = _whole(family, checksum=0)
    place, header = {4: (16, 20), 6: (18, 0)}[family]
    right = len(whole) - SIZES[family] + 16 + header
    for length in (*range(header + 16), right + 1, 1500, 65535):
        assert stretched.from_core(_with(whole, place, length)).counted == NOT_OURS[family], length
    # Shorter than UDP's: that one lies then.
    for length in range(header + 16, right):
        outcome = stretched.from_core(_with(whole, place, length))
        assert outcome.counted == {"DROP_VXLAN": 1}, length
    assert stretched.from_core(_with(whole, place, right)).verdict == "BRIDGE"


@families
def test_a_udp_length_that_lies(stretched: Stretched, family: int) -> None:
    whole = _whole(family, checksum=0)
    right = len(whole) - SIZES[family] + 16
    for length in (*range(16), right + 1, 1500, 65535):
        outcome = stretched.from_core(_with(whole, UDP_LENGTH[family], length))
        assert outcome.counted == {"DROP_VXLAN": 1}, length
    # Bytes of IP after UDP's: as the kernel takes them.
    for length in range(16, right):
        outcome = stretched.from_core(_with(whole, UDP_LENGTH[family], length))
        assert outcome.counted == {"PUNT_VXLAN": 1}, length


@families
def test_lengths_of_what_is_not_ours(stretched: Stretched, family: int) -> None:
    """To an address without VXLAN nothing is judged: it may be anybody's."""
    target = {4: "192.0.2.3", 6: "2001:db8:1::3"}[family]
    whole = _whole(family, checksum=0x1234, target=target)
    right = len(whole) - SIZES[family] + 16
    for length in (0, 8, 15, 16, right, right + 1, 65535):
        outcome = stretched.from_core(_with(whole, UDP_LENGTH[family], length))
        assert outcome.counted == NOT_OURS[family], length
    assert stretched.from_core(whole + b"\0").counted == NOT_OURS[family]


def test_ipv4_that_is_the_kernels(stretched: Stretched) -> None:
    def changed(**fields: object) -> Packet:
        return arriving(from_far(4), 4, ip=fields)

    options = changed(options=[IPOption_NOP()] * 4)
    assert stretched.from_core(options).counted == {"PUNT_OPTIONS": 1}
    assert stretched.from_core(changed(chksum=0x1234)).counted == NOT_OURS[4]
    for fields in ({"flags": 1}, {"frag": 1}, {"flags": 1, "frag": 100}, {"frag": 0x1FFF}):
        assert stretched.from_core(changed(**fields)).counted == {"PUNT_FRAGMENT": 1}, fields
    for proto in (6, 132, 136, 0, 4):
        assert stretched.from_core(changed(proto=proto)).counted == NOT_OURS[4]
    for version, ihl in ((5, 5), (6, 5), (0, 5), (4, 4), (4, 6), (4, 15)):
        expected = {"PUNT_OPTIONS": 1} if version == 4 and ihl > 5 else NOT_OURS[4]
        frame = changed(version=version, ihl=ihl)
        assert stretched.from_core(frame).counted == expected, (version, ihl)
    # DF and the reserved bit are nobody's business here.
    for flags in (2, 4, 6):
        assert stretched.from_core(changed(flags=flags), to="seg0").verdict == "BRIDGE"


def _six(*layers: Packet) -> Packet:
    """An outer IPv6 packet with these headers in front of UDP."""
    packet = Ether(src=PEER_MAC[6], dst=CORE_MAC) / IPv6(src=PEER[6], dst=LOCAL[6])
    for layer in layers:
        packet = packet / layer
    vxlan = bytes(arriving(from_far(6), 6, checksum=0))[54:]
    return packet / Raw(vxlan)


SIX = [
    ("hop by hop", [IPv6ExtHdrHopByHop(nh=17)]),
    ("destination options", [IPv6ExtHdrDestOpt(nh=17)]),
    ("options that look like ports", [IPv6ExtHdrDestOpt(nh=17, options=[Pad1()] * 6)]),
    ("routing", [IPv6ExtHdrRouting(nh=17)]),
    ("atomic fragment", [IPv6ExtHdrFragment(nh=17, id=7)]),
    ("first fragment", [IPv6ExtHdrFragment(nh=17, id=7, m=1)]),
    ("later fragment", [IPv6ExtHdrFragment(nh=17, id=7, offset=64)]),
    ("fragment behind options", [IPv6ExtHdrHopByHop(nh=44), IPv6ExtHdrFragment(nh=17, m=1)]),
]


@pytest.mark.parametrize("layers", [row[1] for row in SIX], ids=[row[0] for row in SIX])
def test_ipv6_extension_headers_are_the_kernels(stretched: Stretched, layers: list[Packet]) -> None:
    """Only the first of them is looked at, to say why."""
    fragment = isinstance(layers[0], IPv6ExtHdrFragment)
    expected = {"PUNT_FRAGMENT": 1} if fragment else NOT_OURS[6]

    assert stretched.from_core(_six(*layers)).counted == expected


def test_a_jumbogram_is_the_kernels(stretched: Stretched) -> None:
    """A length of 0 and the true one in an option (RFC 2675), or none at all."""
    jumbo = IPv6ExtHdrHopByHop(nh=17, options=[Jumbo(jumboplen=70000)])
    frame = _six(jumbo)
    frame[IPv6].plen = 0
    assert stretched.from_core(frame).counted == NOT_OURS[6]
    whole = _whole(6, checksum=0)
    assert stretched.from_core(_with(whole, 18, 0)).counted == NOT_OURS[6]


def test_ipv6_that_is_none(stretched: Stretched) -> None:
    for version in (0, 4, 5, 7, 15):
        frame = bytearray(_whole(6))
        frame[14] = version << 4 | frame[14] & 0x0F
        assert stretched.from_core(bytes(frame)).counted == NOT_OURS[6]
    for number in (6, 136, 59, 58, 41):
        frame = bytearray(_whole(6))
        frame[20] = number
        assert stretched.from_core(bytes(frame)).counted == NOT_OURS[6]


@families
def test_a_tag_in_front(stretched: Stretched, family: int) -> None:
    whole = Ether(_whole(family))
    tagged = Ether(src=whole.src, dst=whole.dst) / Dot1Q(vlan=5) / whole.payload

    assert stretched.from_core(tagged).counted == {"PUNT_VLAN": 1}


@families
def test_vxlan_in_vxlan_to_ourselves(stretched: Stretched, family: int) -> None:
    """To the gateway's MAC address the kernel takes it, where its sender is judged anew."""
    inside = arriving(from_far(family), family, macs=(FAR[family].mac, BRIDGE_MAC))
    expected = {"PUNT_HOST": 1}

    assert stretched.from_core(arriving(inside, family)).counted == expected
    deeper = arriving(inside, family, macs=(FAR[family].mac, BRIDGE_MAC))
    assert stretched.from_core(arriving(deeper, family)).counted == expected


@families
def test_vxlan_in_vxlan_to_a_station(stretched: Stretched, family: int) -> None:
    """That is the station's business: what is inside its packets is not looked at."""
    inside = arriving(from_far(family), family, macs=(FAR[family].mac, BRIDGE_MAC))
    inside.dst = "02:00:c0:a8:96:0a"
    outcome = stretched.from_core(arriving(inside, family), to="seg0")

    assert (outcome.verdict, outcome.frame) == ("BRIDGE", bytes(inside))


@families
def test_vxlan_from_a_station_to_our_vtep(stretched: Stretched, family: int) -> None:
    """It comes from inside: whether it is a VTEP is the kernel's rule to say."""
    frame = arriving(from_far(family), family, macs=(FAR[family].mac, BRIDGE_MAC))
    expected = {4: "PUNT_HOST", 6: "PUNT_NOT_IPV4"}[family]

    assert stretched.run(frame, "seg0").counted == {expected: 1}


@families
def test_noise(stretched: Stretched, family: int) -> None:
    """Where an inner frame is expected, and all of it."""
    for fill in (0, 0xFF, 0x45, 0x60):
        for length in (14, 34, 60, 1500):
            noise = bytes([fill]) * length
            outcome = stretched.from_core(arriving(noise, family))
            assert outcome.verdict.startswith(("PUNT_", "DROP_"))
            assert stretched.from_core(noise).verdict.startswith(("PUNT_", "DROP_"))


@families
def test_udp_that_is_not_vxlan(stretched: Stretched, family: int) -> None:
    """Of eight bytes less than VXLAN has, and none."""
    ends = {4: IP(src=PEER[4], dst=LOCAL[4]), 6: IPv6(src=PEER[6], dst=LOCAL[6])}
    for length in range(9):
        packet = ends[family] / UDP(sport=50000, dport=4789) / Raw(bytes(length))
        frame = Ether(src=PEER_MAC[family], dst=CORE_MAC) / packet
        expected = {"DROP_VXLAN": 1} if length == 8 else NOT_OURS[family]
        assert stretched.from_core(frame).counted == expected, length
