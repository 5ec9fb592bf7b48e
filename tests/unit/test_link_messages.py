# SPDX-License-Identifier: GPL-2.0-or-later
"""What netlink says about devices that the machine of a test may not have, byte by byte.

tests/system reads the ones that it has.
"""

import struct
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybrid_gateway.link_messages import device_vnis, link, port_vlans
from hybrid_gateway.model import Link, PortRange, PortVlan, Vni, VxlanLink

HEADER = bytes(16)
BEGIN, END = 8, 16
PVID, UNTAGGED = 2, 4


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def nested(kind: int, *values: bytes) -> bytes:
    return attribute(kind | 0x8000, b"".join(values))


def number(kind: int, value: int, size: int = 4) -> bytes:
    return attribute(kind, value.to_bytes(size, "little" if struct.pack("=H", 1)[0] else "big"))


def about(*attributes: bytes, flags: int = 1) -> bytes:
    return HEADER + struct.pack("=BxHiII", 7, 1, 5, flags, 0) + b"".join(attributes)


def vlan(vid: int, flags: int = 0) -> bytes:
    return attribute(2, struct.pack("=HH", flags, vid))


def tunnel(vid: int, vni: int, flags: int = 0) -> bytes:
    return nested(3, number(1, vni), number(2, vid, 2), number(3, flags, 2))


def test_vlans_of_a_port() -> None:
    message = about(
        nested(26, vlan(1, PVID | UNTAGGED), vlan(10, BEGIN), vlan(12, END), vlan(20, UNTAGGED))
    )
    assert port_vlans(message) == (
        5,
        (
            PortVlan(1, pvid=True, untagged=True),
            PortVlan(10),
            PortVlan(11),
            PortVlan(12),
            PortVlan(20, untagged=True),
        ),
    )


def test_vnis_of_vlans() -> None:
    """Of a range both count up; the kernel lists members first, then what they lead to."""
    message = about(
        nested(
            26,
            *(vlan(vid) for vid in (10, 11, 12, 13, 20)),
            tunnel(10, 1010, BEGIN),
            tunnel(12, 1012, END),
            tunnel(20, 77),
        )
    )
    _, found = port_vlans(message)
    assert {one.vlan: one.tunnel for one in found} == {10: 1010, 11: 1011, 12: 1012, 13: 0, 20: 77}


def test_vnis_that_a_device_takes() -> None:
    message = (
        HEADER
        + struct.pack("=BBHI", 7, 0, 0, 9)
        + nested(1, number(1, 100), attribute(3, bytes([192, 0, 2, 1])))
        + nested(1, number(1, 200), number(2, 202))
        + nested(1, number(1, 300), attribute(4, IPv6Address("2001:db8::1").packed))
    )
    assert device_vnis(message) == (
        9,
        (
            Vni(100, IPv4Address("192.0.2.1")),
            Vni(200),
            Vni(201),
            Vni(202),
            Vni(300, IPv6Address("2001:db8::1")),
        ),
    )


def test_a_range_has_an_end() -> None:
    """Whatever a message says, it makes no million of objects."""
    entry = nested(1, number(1, 0), number(2, 0xFFFFFF))
    assert len(device_vnis(HEADER + struct.pack("=BBHI", 7, 0, 0, 9) + entry)[1]) <= 4096
    spread = about(nested(26, vlan(0, BEGIN), vlan(65535, END), tunnel(0, 0), tunnel(65535, 9)))
    assert len(port_vlans(spread)[1]) <= 4096


def test_a_vxlan_device() -> None:
    data = (
        number(1, 550),
        attribute(17, IPv6Address("2001:db8::1").packed),
        attribute(15, struct.pack(">H", 4789)),
        attribute(10, struct.pack(">HH", 49152, 65535)),
        attribute(26, struct.pack(">I", 0x12345)),
        number(7, 1, 1),
        number(8, 600),
        number(6, 1, 1),
        attribute(28, b""),
        number(19, 1, 1),
        attribute(23, b""),
        number(11, 0, 1),
    )
    message = about(
        attribute(3, b"vni550\0"), nested(18, attribute(1, b"vxlan\0"), nested(2, *data))
    )
    assert link(message) == Link(
        ifindex=5,
        name="vni550",
        kind="vxlan",
        mtu=0,
        carrier=False,
        vxlan=VxlanLink(
            vni=550,
            local=IPv6Address("2001:db8::1"),
            ports=PortRange(49152, 65535),
            ageing=600,
            ttl_inherit=True,
            tos=1,
            label=0x12345,
            checksum=False,
            zero_checksum6_tx=True,
            extensions=("gbp",),
        ),
    )


@pytest.mark.parametrize("read", [link, port_vlans])
@given(rest=st.binary(max_size=200))
def test_any_bytes_are_read(read: object, rest: bytes) -> None:
    assert callable(read)
    read(about(rest))


@given(rest=st.binary(max_size=200))
def test_any_bytes_are_vnis(rest: bytes) -> None:
    device_vnis(HEADER + bytes(8) + rest)
