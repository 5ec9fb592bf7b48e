# SPDX-License-Identifier: GPL-2.0-or-later
"""Out of a tunnel: who is believed, and where the inner frame goes or who gets the outer one."""

import pytest
from _gw_native import lib
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet, Raw

from hybrid_gateway.bpf import DEV_INSIDE, DEV_PORT
from tests.lib.packets import PAYLOAD

from .segment import (
    BRIDGE_MAC,
    FAMILIES,
    FAR,
    HERE,
    KERNEL_VNI,
    LOCAL,
    NOBODY,
    PEER,
    PEER_MAC,
    STRANGER,
    THERE,
    VNIS,
)
from .stretched import TUNNELS, Stretched
from .vxlan_frames import SIZES, arriving, between, from_far

families = pytest.mark.parametrize("family", FAMILIES)
NOT_OURS = {4: {"PUNT_NOT_NAT": 1}, 6: {"PUNT_NOT_IPV4": 1}}
"""The core port has no other part: the kernel gets the frame, and judges it."""
TAKEN = {"BRIDGE": 1, "VXLAN_DECAP": 1}


def framed(source: str, target: str, *layers: Packet) -> Packet:
    frame = Ether(src=source, dst=target)
    for layer in layers:
        frame = frame / layer
    return frame


def delivered(stretched: Stretched, inner: Packet | bytes, family: int, to: str = "seg0") -> None:
    """The inner frame leaves by that port, as it was."""
    outcome = stretched.from_core(arriving(inner, family), to)
    assert outcome.counted == TAKEN
    assert outcome.frame == bytes(inner)


@families
def test_to_a_port(stretched: Stretched, family: int) -> None:
    delivered(stretched, from_far(family), family)
    delivered(stretched, between(FAR[family], THERE), family, "seg1")


@families
@pytest.mark.parametrize("length", [14, 15, 33, 34, 54, 55, 60, 1500, 1514, 1515, 3300])
def test_inner_frames_of_every_length(stretched: Stretched, family: int, length: int) -> None:
    for kind in (b"\x08\0", b"\x86\xdd", b"\x90\0"):
        inner = bytes(framed(FAR[family].mac, HERE.mac))[:12] + kind
        inner += bytes(i % 253 for i in range(length - 14))
        delivered(stretched, inner, family)


# ---- what VXLAN says -------------------------------------------------------------------


@families
def test_reserved_bits_are_ignored(stretched: Stretched, family: int) -> None:
    inner = from_far(family)
    for bit in range(64):
        frame = bytearray(bytes(arriving(inner, family, checksum=0)))
        if bit == 4 or 32 <= bit < 56:  # the I flag and the VNI
            continue
        frame[SIZES[family] - 8 + bit // 8] ^= 0x80 >> bit % 8
        outcome = stretched.from_core(bytes(frame), to="seg0")
        assert (outcome.counted, outcome.frame) == (TAKEN, bytes(inner)), bit


@families
def test_without_the_flag(stretched: Stretched, family: int) -> None:
    for flags in (0, 0x80, 0xF7, 1):
        frame = arriving(from_far(family), family, vxlan={"flags": flags})
        assert stretched.from_core(frame).counted == {"DROP_VXLAN": 1}, flags


@families
def test_vnis(stretched: Stretched, family: int) -> None:
    inner, own = from_far(family), VNIS[family]
    other = VNIS[10 - family]
    for vni in (0, own - 1, own + 1, own | 0x800000, own << 8, 0xFFFFFF, other):
        frame = arriving(inner, family, vni=vni)
        assert stretched.from_core(frame).counted == {"DROP_VNI": 1}, vni
    frame = arriving(inner, family, vni=KERNEL_VNI)
    assert stretched.from_core(frame).counted == {"PUNT_VXLAN": 1}


@families
@pytest.mark.parametrize("vni", [0, 0xFFFFFF])
def test_the_first_vni_and_the_last(stretched: Stretched, family: int, vni: int) -> None:
    stretched.vni(vni, family)
    stretched.vtep(PEER[family], family, 1 + TUNNELS[family], vni)
    outcome = stretched.from_core(arriving(from_far(family), family, vni=vni), to="seg0")

    assert outcome.counted == TAKEN


@families
def test_every_udp_port_is_another_world(stretched: Stretched, family: int) -> None:
    inner = from_far(family)
    # VXLAN's, but no device of ours has it.
    assert stretched.from_core(arriving(inner, family, dport=8472)).counted == NOT_OURS[family]
    stretched.vni(VNIS[family], family, port=8472)
    outcome = stretched.from_core(arriving(inner, family, dport=8472), to="seg0")
    assert outcome.counted == TAKEN
    for dport in (0, 1, 4788, 4790, 8473, 0x12B5 ^ 0xFFFF):
        frame = arriving(inner, family, dport=dport)
        assert stretched.from_core(frame).counted == NOT_OURS[family], dport


@families
def test_any_source_port(stretched: Stretched, family: int) -> None:
    for sport in (0, 1, 4789, 49151, 65535):
        frame = arriving(from_far(family), family, sport=sport)
        assert stretched.from_core(frame, to="seg0").counted == TAKEN


@families
def test_to_another_address(stretched: Stretched, family: int) -> None:
    """One of the host's that no VXLAN device listens at, or nobody's."""
    for target in {4: ("192.0.2.3", "10.99.0.1"), 6: ("2001:db8:1::3", "ff02::1")}[family]:
        frame = arriving(from_far(family), family, target=target)
        assert stretched.from_core(frame).counted == NOT_OURS[family]


@families
def test_to_another_mac_address(stretched: Stretched, family: int) -> None:
    for mac in (NOBODY, BRIDGE_MAC, "ff:ff:ff:ff:ff:ff", "33:33:00:00:00:01"):
        frame = arriving(from_far(family), family, macs=(PEER_MAC[family], mac))
        assert (
            stretched.from_core(frame).counted == {4: {"PUNT_OTHER_MAC": 1}, 6: NOT_OURS[6]}[family]
        )


def test_the_other_family_is_another_world(stretched: Stretched) -> None:
    """An IPv4 address is no IPv6 address that begins like it."""
    stretched.vni(VNIS[4], 6, local="c000:201::")
    frame = arriving(from_far(6), 6, vni=VNIS[4], target="c000:201::")
    assert stretched.from_core(frame).counted == {"DROP_VTEP": 1}

    for key in stretched.plane.dataplane.table("gw_vnis").every_key():
        if key.family == 4:
            stretched.plane.dataplane.table("gw_vnis").delete(key)
    assert stretched.from_core(arriving(from_far(4), 4)).counted == NOT_OURS[4]


# ---- who sends -------------------------------------------------------------------------


@families
def test_a_sender_that_is_no_vtep(stretched: Stretched, family: int) -> None:
    for source in (STRANGER[family], LOCAL[family]):
        frame = arriving(from_far(family), family, source=source)
        assert stretched.from_core(frame).counted == {"DROP_VTEP": 1}
    stretched.vtep(STRANGER[family], family, 0)
    frame = arriving(from_far(family), family, source=STRANGER[family])
    assert stretched.from_core(frame, to="seg0").counted == TAKEN
    stretched.no_vtep(STRANGER[family], family)
    assert stretched.from_core(frame).counted == {"DROP_VTEP": 1}


@families
def test_a_vtep_of_another_vni(stretched: Stretched, family: int) -> None:
    stretched.vni(VNIS[family] + 1, family)
    frame = arriving(from_far(family), family, vni=VNIS[family] + 1)

    assert stretched.from_core(frame).counted == {"DROP_VTEP": 1}


@families
def test_any_sender(stretched: Stretched, family: int) -> None:
    stretched.vni(VNIS[family], family, flags=lib.GW_VNI_ANY_SOURCE)
    frame = arriving(from_far(family), family, source=STRANGER[family])

    assert stretched.from_core(frame, to="seg0").counted == TAKEN


@families
def test_the_sender_is_judged_before_the_frame(stretched: Stretched, family: int) -> None:
    """So that a stranger cannot flood, teach or fill anything by way of the kernel either."""
    inners: list[Packet | bytes] = [
        framed(FAR[family].mac, "ff:ff:ff:ff:ff:ff", ARP()),
        framed(NOBODY, HERE.mac, Raw(PAYLOAD)),
        framed(FAR[family].mac, BRIDGE_MAC, Raw(PAYLOAD)),
        b"",
    ]
    for inner in inners:
        frame = arriving(inner, family, source=STRANGER[family])
        assert stretched.from_core(frame).counted == {"DROP_VTEP": 1}


@families
def test_a_vtep_s_address_from_inside(stretched: Stretched, family: int) -> None:
    """A host behind an inside port claims it; one whose route leads there is believed."""
    flags = DEV_PORT | DEV_INSIDE | lib.GW_DEV_UNDERLAY
    stretched.devices(lan0=flags, core0=flags)
    macs = (PEER_MAC[family], stretched.site.devices["lan0"].mac)
    frame = arriving(from_far(family), family, macs=macs)

    assert stretched.run(frame, "lan0").counted == {"DROP_VTEP": 1}
    assert stretched.from_core(arriving(from_far(family), family)).verdict == "BRIDGE"
