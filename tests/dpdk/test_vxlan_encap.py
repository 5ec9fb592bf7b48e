# SPDX-License-Identifier: GPL-2.0-or-later
"""Into a tunnel: whole outer frames, and what they take over from the inner one."""

from collections.abc import Iterator
from typing import Any

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet, Raw

from tests.dpdk.stretched import Stretched
from tests.dpdk.vxlan import (
    FAMILIES,
    FAR,
    FARTHER,
    FIRST_PORT,
    HERE,
    LAST_PORT,
    OTHER,
    THERE,
    TTL,
    between,
    identification,
    source_port,
)

pytestmark = pytest.mark.dpdk
families = pytest.mark.parametrize("family", FAMILIES)


@pytest.fixture(scope="module")
def made() -> Iterator[Stretched]:
    with Stretched.running("ve") as running:
        yield running


@pytest.fixture
def sides(made: Stretched) -> Stretched:
    made.as_made()
    return made


def ip4(size: int = 30, **fields: Any) -> Packet:
    packet = IP(src=HERE.ip, dst=FAR.ip, **fields)
    return Ether(src=HERE.mac, dst=FAR.mac) / packet / UDP(sport=1, dport=2) / Raw(bytes(size))


def ip6(size: int = 30, **fields: Any) -> Packet:
    packet = IPv6(src="2001:db8:9::10", dst="2001:db8:9::40", **fields)
    return Ether(src=HERE.mac, dst=FAR.mac) / packet / UDP(sport=1, dport=2) / Raw(bytes(size))


def other(size: int = 46) -> Packet:
    return Ether(src=HERE.mac, dst=FAR.mac, type=0x9000) / Raw(bytes(range(size)))


# ---- the frame -------------------------------------------------------------------------


@families
@pytest.mark.parametrize("inner", [between(HERE, FAR), ip4(), ip6(), other()])
def test_the_whole_frame(sides: Stretched, family: int, inner: Packet) -> None:
    seen = sides.sent(inner, family)

    assert bytes(seen) == bytes(sides.leaving(inner, family, seen))
    assert FIRST_PORT <= source_port(seen) <= LAST_PORT


@families
@pytest.mark.parametrize("head", [b"\x08\0\x45\0\0\0", b"\x86\xdd\x60\0\0\0", b"\x90\0\0\0\0\0"])
def test_inner_frames_of_every_length(sides: Stretched, family: int, head: bytes) -> None:
    """Odd ones are summed right, and headers that are not all there are not read."""
    start = bytes(other())[:12] + head
    for length in (18, 33, 34, 37, 38, 53, 54, 57, 58, 61, 127, 255, 256, 1443, 1444):
        inner = start + bytes(i % 251 for i in range(length - len(start)))
        seen = sides.sent(inner, family)
        # The inner TTL is not asked for, nor is DF.
        assert bytes(seen) == bytes(sides.leaving(inner, family, seen)), length


@families
def test_to_another_vtep(sides: Stretched, family: int) -> None:
    inner = between(HERE, FARTHER)
    seen = sides.sent(inner, family)

    assert bytes(seen) == bytes(sides.leaving(inner, family, seen, target=OTHER[family]))


@families
def test_unicast_arp_is_a_frame_like_others(sides: Stretched, family: int) -> None:
    inner = Ether(src=HERE.mac, dst=FAR.mac) / ARP(op=1, psrc=HERE.ip, pdst=FAR.ip) / Raw(bytes(18))
    seen = sides.sent(inner, family)

    assert bytes(seen) == bytes(sides.leaving(inner, family, seen))


@families
def test_a_checksum_where_it_is_wanted(sides: Stretched, family: int) -> None:
    """RFC 768: one that comes out as zero is sent as ones."""
    sides.options(family, checksum=True)
    for number in range(64):
        inner = ip4(31) if number % 2 else ip6(number)
        seen = sides.sent(inner, family)
        assert bytes(seen) == bytes(sides.leaving(inner, family, seen, checksum=None))
        assert seen[UDP].chksum
    sides.options(family, checksum=False)
    seen = sides.sent(inner, family)
    assert bytes(seen) == bytes(sides.leaving(inner, family, seen, checksum=0))


@families
def test_the_checksum_that_would_be_zero(sides: Stretched, family: int) -> None:
    sides.options(family, checksum=True)
    seen = sides.sent(other(), family)
    zero = bytearray(bytes(other()))
    # Two more bytes that take the sum of all others to ones; the port comes from the head alone.
    zero += b"\0\0"
    seen = sides.sent(bytes(zero), family)
    zero[-2:] = int(seen[UDP].chksum).to_bytes(2, "big")

    assert sides.sent(bytes(zero), family)[UDP].chksum == 0xFFFF


# ---- what is taken over ------------------------------------------------------------------


@families
@pytest.mark.parametrize("inner", [ip4, ip6])
def test_congestion_marks(sides: Stretched, family: int, inner: Any) -> None:
    """RFC 6040 section 4.1, normal mode: those of the inner packet; DSCP as configured."""
    field = "tos" if inner is ip4 else "tc"
    for configured, inherit in ((0, False), (0xB8, False), (0xFF, False), (0, True), (0x48, True)):
        sides.options(family, tos=configured, tos_inherit=inherit)
        for tos in (0, 1, 2, 3, 0xB8, 0xFF):
            frame = inner(**{field: tos})
            seen = sides.sent(frame, family)
            dscp = (tos if inherit else configured) & ~3
            wanted = sides.leaving(frame, family, seen, tos=dscp | tos & 3)
            assert bytes(seen) == bytes(wanted), (configured, inherit, tos)


@families
def test_hop_limits(sides: Stretched, family: int) -> None:
    for ttl in (1, 2, 64, 255):
        seen = sides.sent(ip4(ttl=ttl), family)
        assert bytes(seen) == bytes(sides.leaving(ip4(ttl=ttl), family, seen, ttl=TTL))
    sides.options(family, ttl_inherit=True)
    for ttl in (1, 2, 64, 255):
        for inner in (ip4(ttl=ttl), ip6(hlim=ttl)):
            seen = sides.sent(inner, family)
            assert bytes(seen) == bytes(sides.leaving(inner, family, seen, ttl=ttl))
    seen = sides.sent(other(), family)
    assert bytes(seen) == bytes(sides.leaving(other(), family, seen, ttl=TTL))


@pytest.mark.parametrize(
    ("options", "inner", "df"),
    [
        ({}, ip4(flags="DF"), False),
        ({"df": True}, ip4(), True),
        ({"df_inherit": True}, ip4(), False),
        ({"df_inherit": True}, ip4(flags="DF"), True),
        ({"df_inherit": True}, ip6(), True),
        ({"df_inherit": True}, other(), False),
    ],
)
def test_who_may_be_cut(
    sides: Stretched, options: dict[str, bool], inner: Packet, df: bool
) -> None:
    """And a packet that nobody cuts needs no identification (RFC 6864 section 4.1)."""
    sides.options(4, **options)
    seen = [sides.sent(inner, 4) for _ in range(3)]

    for one in seen:
        wanted = sides.leaving(inner, 4, one, ip={"flags": "DF" if df else 0})
        assert bytes(one) == bytes(wanted)
    assert len({identification(one) for one in seen}) == (1 if df else 3)
    assert not df or identification(seen[0]) == 0


# ---- the source port --------------------------------------------------------------------


def flows(count: int) -> list[Packet]:
    """That differ in one thing each, as little as may be."""
    made: list[Packet] = []
    for number in range(count):
        layers = [
            IP(src="10.9.0.10", dst=f"10.9.{number // 256}.{number % 256}") / UDP(sport=1, dport=2),
            IP(src="10.9.0.10", dst="10.9.0.40") / TCP(sport=1000 + number, dport=80),
            IPv6(src="2001:db8:9::10", dst=f"2001:db8:9::{number:x}") / UDP(sport=1, dport=2),
            IPv6(src="2001:db8:9::10", dst="2001:db8:9::40") / UDP(sport=1, dport=2 + number),
        ]
        made.append(Ether(src=HERE.mac, dst=FAR.mac) / layers[number % 4] / Raw(bytes(20)))
    return made


@families
def test_flows_have_ports_of_their_own(sides: Stretched, family: int) -> None:
    frames = flows(128)
    seen = sides.bench.burst(frames, via=sides.access[family].far, at=sides.core.far)
    ports = [source_port(one) for one in seen]
    again = sides.bench.burst(frames, via=sides.access[family].far, at=sides.core.far)

    assert [source_port(one) for one in again] == ports
    # Of 128 balls in 16384 boxes, one box with two is likely, and ten are not.
    assert len(set(ports)) > 118
    assert all(FIRST_PORT <= port <= LAST_PORT for port in ports)
    assert min(ports) < FIRST_PORT + 4096
    assert max(ports) > LAST_PORT - 4096


@families
def test_a_range_of_ports(sides: Stretched, family: int) -> None:
    for first, last in ((5000, 5000), (5000, 5001), (65535, 65535)):
        sides.options(family, first_port=first, last_port=last)
        frames = flows(32)
        seen = sides.bench.burst(frames, via=sides.access[family].far, at=sides.core.far)
        assert {source_port(one) for one in seen} == set(range(first, last + 1))


@families
def test_fragments_of_one_packet(sides: Stretched, family: int) -> None:
    """Have one port, though but one of them has those of the flow. (IPv4's are put together by
    the kernel before an af_packet port gets them.)"""
    head = IPv6(src="2001:db8:9::10", dst="2001:db8:9::40")
    pieces = [
        Ether(src=HERE.mac, dst=FAR.mac)
        / head
        / IPv6ExtHdrFragment(nh=17, id=7, offset=place, m=place < 4)
        / Raw(bytes(range(place, place + 16)))
        for place in (0, 2, 4)
    ]
    assert len({source_port(sides.sent(piece, family)) for piece in pieces}) == 1


# ---- what does not go there ----------------------------------------------------------------


@families
def test_a_source_that_is_not_at_this_port(sides: Stretched, family: int) -> None:
    """The kernel learns, or sees a station move."""
    for mac in ("02:00:00:00:0a:01", THERE.mac, FARTHER.mac):
        inner = between(HERE, FAR)
        inner.src = mac
        sides.kept(inner, family, PUNT_BRIDGE_MISS=1)


@families
def test_longer_than_the_device(sides: Stretched, family: int) -> None:
    sides.options(family, mtu=1000)
    sides.sent(other(0) / Raw(bytes(1000)), family)
    sides.kept(other(0) / Raw(bytes(1001)), family, PUNT_TOO_BIG=1)
