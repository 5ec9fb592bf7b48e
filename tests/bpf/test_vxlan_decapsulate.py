# SPDX-License-Identifier: GPL-2.0-or-later
"""Out of a tunnel: who is believed, and where the inner frame goes or who gets the outer one."""

import time

import pytest
from _gw_native import lib
from scapy.layers.inet6 import ICMPv6EchoRequest, ICMPv6ND_NS, IPv6
from scapy.layers.l2 import ARP, Dot1AD, Dot1Q, Ether
from scapy.packet import Packet, Raw

from hybrid_gateway.bpf import DEV_BRIDGED
from tests.lib.packets import PAYLOAD

from .segment import (
    BRIDGE_MAC,
    FAMILIES,
    FAR,
    HERE,
    KERNEL_VNI,
    KERNELS,
    LOCAL,
    NOBODY,
    PEER,
    PEER_MAC,
    RESTRICTED,
    STRANGER,
    THERE,
    VNIS,
    Station,
)
from .stretched import FLAGS, TUNNELS, Stretched
from .vxlan_frames import SIZES, arriving, between, from_far

families = pytest.mark.parametrize("family", FAMILIES)
TAKEN = {"BRIDGE": 1, "VXLAN_DECAP": 1}


def _of(source: str, target: str, *layers: Packet) -> Packet:
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
        inner = bytes(_of(FAR[family].mac, HERE.mac))[:12] + kind
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
    assert stretched.from_core(arriving(inner, family, dport=8472)).verdict == "PUNT_KERNEL_MODE"
    stretched.vni(VNIS[family], family, port=8472)
    outcome = stretched.from_core(arriving(inner, family, dport=8472), to="seg0")
    assert outcome.counted == TAKEN
    for dport in (0, 1, 4788, 4790, 8473, 0x12B5 ^ 0xFFFF):
        frame = arriving(inner, family, dport=dport)
        assert stretched.from_core(frame).verdict == "PUNT_KERNEL_MODE", dport


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
        assert stretched.from_core(frame).counted == {"PUNT_KERNEL_MODE": 1}


@families
def test_to_another_mac_address(stretched: Stretched, family: int) -> None:
    for mac in (NOBODY, BRIDGE_MAC, "ff:ff:ff:ff:ff:ff", "33:33:00:00:00:01"):
        frame = arriving(from_far(family), family, macs=(PEER_MAC[family], mac))
        assert stretched.from_core(frame).counted == {"PUNT_KERNEL_MODE": 1}


def test_the_other_family_is_another_world(stretched: Stretched) -> None:
    """An IPv4 address is no IPv6 address that begins like it."""
    stretched.vni(VNIS[4], 6, local="c000:201::")
    frame = arriving(from_far(6), 6, vni=VNIS[4], target="c000:201::")
    assert stretched.from_core(frame).counted == {"DROP_VTEP": 1}

    for key in stretched.plane.dataplane.table("gw_vnis").every_key():
        if key.family == 4:
            stretched.plane.dataplane.table("gw_vnis").delete(key)
    assert stretched.from_core(arriving(from_far(4), 4)).counted == {"PUNT_KERNEL_MODE": 1}


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
        _of(FAR[family].mac, "ff:ff:ff:ff:ff:ff", ARP()),
        _of(NOBODY, HERE.mac, Raw(PAYLOAD)),
        _of(FAR[family].mac, BRIDGE_MAC, Raw(PAYLOAD)),
        b"",
    ]
    for inner in inners:
        frame = arriving(inner, family, source=STRANGER[family])
        assert stretched.from_core(frame).counted == {"DROP_VTEP": 1}


# ---- the inner frame -------------------------------------------------------------------


@families
def test_no_whole_inner_frame(stretched: Stretched, family: int) -> None:
    for length in range(14):
        for checksum in (None, 0):
            inner = bytes(from_far(family))[:length]
            frame = bytes(arriving(inner, family, checksum=checksum))
            assert stretched.from_core(frame).counted == {"DROP_VXLAN": 1}, length


INNER = [
    ("broadcast", "PUNT_FLOOD", "ff:ff:ff:ff:ff:ff", Raw(PAYLOAD)),
    ("arp", "PUNT_FLOOD", "ff:ff:ff:ff:ff:ff", ARP()),
    ("multicast", "PUNT_FLOOD", "33:33:00:00:00:01", Raw(PAYLOAD)),
    ("unknown", "PUNT_FLOOD", NOBODY, Raw(PAYLOAD)),
    ("stp", "DROP_INNER", "01:80:c2:00:00:00", Raw(PAYLOAD)),
    ("pause", "DROP_INNER", "01:80:c2:00:00:01", Raw(PAYLOAD)),
    ("lldp", "DROP_INNER", "01:80:c2:00:00:0e", Raw(PAYLOAD)),
    ("last of them", "DROP_INNER", "01:80:c2:00:00:0f", Raw(PAYLOAD)),
    ("none of them", "PUNT_FLOOD", "01:80:c2:00:00:10", Raw(PAYLOAD)),
    ("nor this", "PUNT_FLOOD", "01:80:c2:00:01:00", Raw(PAYLOAD)),
    ("nor that", "PUNT_FLOOD", "01:80:c3:00:00:00", Raw(PAYLOAD)),
    ("arp answer", "PUNT_RESOLUTION", HERE.mac, ARP(op=2)),
    ("ns", "PUNT_RESOLUTION", HERE.mac, IPv6() / ICMPv6ND_NS()),
    ("vlan", "PUNT_VLAN", HERE.mac, Dot1Q(vlan=7) / Raw(PAYLOAD)),
    ("qinq", "PUNT_VLAN", HERE.mac, Dot1AD(vlan=7) / Dot1Q(vlan=7)),
    ("restricted", "PUNT_BRIDGE_PORT", RESTRICTED.mac, Raw(PAYLOAD)),
    ("no XDP port", "PUNT_BRIDGE_PORT", KERNELS.mac, Raw(PAYLOAD)),
]


@families
@pytest.mark.parametrize(
    ("verdict", "target", "payload"), [row[1:] for row in INNER], ids=[row[0] for row in INNER]
)
def test_where_the_inner_frame_goes(
    stretched: Stretched, family: int, verdict: str, target: str, payload: Packet
) -> None:
    frame = arriving(_of(FAR[family].mac, target, payload), family)

    assert stretched.from_core(frame).counted == {verdict: 1}


@families
@pytest.mark.parametrize("source", ["ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:01", "33:33:00:00:00:01"])
def test_from_a_group(stretched: Stretched, family: int, source: str) -> None:
    for target in (HERE.mac, BRIDGE_MAC, "ff:ff:ff:ff:ff:ff"):
        frame = arriving(_of(source, target, Raw(PAYLOAD)), family)
        assert stretched.from_core(frame).counted == {"DROP_INNER": 1}


@families
def test_split_horizon(stretched: Stretched, family: int) -> None:
    """Never from a tunnel into one of the same device, be it XDP's or the kernel's."""
    neighbour = Station("192.168.150.99", "02:00:c0:a8:96:63", family)
    frame = arriving(between(FAR[family], neighbour), family)
    for tunnel in (1 + TUNNELS[family], 25, 0):
        stretched.station(neighbour, tunnel=tunnel)
        assert stretched.from_core(frame).counted == {"DROP_SPLIT_HORIZON": 1}


@families
def test_into_another_devices_tunnel(stretched: Stretched, family: int) -> None:
    """Whether the bridge does that is the bridge's to say (isolated ports)."""
    frame = arriving(between(FAR[family], FAR[10 - family]), family)

    assert stretched.from_core(frame).counted == {"PUNT_BRIDGE_PORT": 1}


@families
def test_echo_over_ipv6_is_delivered(stretched: Stretched, family: int) -> None:
    delivered(stretched, _of(FAR[family].mac, HERE.mac, IPv6() / ICMPv6EchoRequest()), family)


@families
def test_to_the_gateway_itself(stretched: Stretched, family: int) -> None:
    """What is not IPv4 is not NAT's; and without NAT nothing is."""
    for payload in (IPv6() / ICMPv6EchoRequest(), Raw(PAYLOAD)):
        frame = arriving(_of(FAR[family].mac, BRIDGE_MAC, payload), family)
        assert stretched.from_core(frame).counted == {"PUNT_HOST": 1}
    stretched.devices(**{"br-seg": lib.GW_DEV_BRIDGE})
    packet = between(FAR[family], HERE).payload
    frame = arriving(_of(FAR[family].mac, BRIDGE_MAC, packet), family)
    assert stretched.from_core(frame).counted == {"PUNT_HOST": 1}


# ---- learning --------------------------------------------------------------------------


class TestLearning:
    @pytest.fixture(autouse=True)
    def _learning(self, stretched: Stretched) -> None:
        for family in FAMILIES:
            stretched.vni(VNIS[family], family, flags=lib.GW_VNI_LEARNS)

    @families
    def test_a_station_where_it_is_known_to_be(self, stretched: Stretched, family: int) -> None:
        delivered(stretched, from_far(family), family)

    @families
    def test_a_station_that_nobody_knows(self, stretched: Stretched, family: int) -> None:
        stretched.no_station(FAR[family])
        frame = arriving(from_far(family), family)
        assert stretched.from_core(frame).counted == {"PUNT_LEARN": 1}

    @families
    def test_a_station_that_was_here(self, stretched: Stretched, family: int) -> None:
        frame = arriving(between(THERE, HERE), family)
        assert stretched.from_core(frame).counted == {"PUNT_LEARN": 1}
        assert stretched.marks(THERE).seen == 0

    @families
    def test_a_station_behind_another_vtep(self, stretched: Stretched, family: int) -> None:
        stretched.vtep(STRANGER[family], family, 25)
        frame = arriving(from_far(family), family, source=STRANGER[family])
        assert stretched.from_core(frame).counted == {"PUNT_LEARN": 1}
        assert stretched.marks(FAR[family]).seen == 0

    @families
    def test_a_sender_that_there_is_no_way_back_to(self, stretched: Stretched, family: int) -> None:
        """0 is no tunnel, and no two stations without one are at the same place."""
        stretched.vtep(PEER[family], family, 0)
        stretched.station(FAR[family], tunnel=0)
        frame = arriving(from_far(family), family)
        assert stretched.from_core(frame).counted == {"PUNT_LEARN": 1}


@families
def test_without_learning_nobody_has_to_be_known(stretched: Stretched, family: int) -> None:
    stretched.no_station(FAR[family])

    delivered(stretched, from_far(family), family)


@families
def test_who_sends_is_marked(stretched: Stretched, family: int) -> None:
    before = int(time.monotonic())
    delivered(stretched, from_far(family), family)

    assert before - 1 <= stretched.marks(FAR[family]).seen <= int(time.monotonic())
    assert stretched.marks(FAR[10 - family]).seen == stretched.marks(HERE).seen == 0


# ---- ports and VLANs -------------------------------------------------------------------


@families
def test_a_port_that_forwards_no_more(stretched: Stretched, family: int) -> None:
    stretched.devices(seg0=FLAGS["seg0"] & ~DEV_BRIDGED)

    frame = arriving(from_far(family), family)
    assert stretched.from_core(frame).counted == {"PUNT_BRIDGE_PORT": 1}


@families
def test_vlans(stretched: Stretched, family: int) -> None:
    """The VNI is one VLAN's; its frames leave where that is the untagged one."""
    stretched.vlans(seg0=10, seg1=20)
    stretched.vni(VNIS[family], family, vlan=10)
    for station in (HERE, THERE, FAR[family]):
        stretched.station(station, vlan=10)

    delivered(stretched, from_far(family), family)
    assert stretched.marks(FAR[family], vlan=10).seen
    frame = arriving(between(FAR[family], THERE), family)
    assert stretched.from_core(frame).counted == {"PUNT_BRIDGE_PORT": 1}
    stretched.vni(VNIS[family], family, vlan=20)
    assert stretched.from_core(frame).counted == {"PUNT_FLOOD": 1}


@families
def test_at_a_port_that_is_no_underlay(stretched: Stretched, family: int) -> None:
    stretched.devices(core0=FLAGS["core0"] & ~lib.GW_DEV_UNDERLAY)

    frame = arriving(from_far(family), family)
    assert stretched.from_core(frame).counted == {"PUNT_KERNEL_MODE": 1}


@families
def test_kernel_mode(stretched: Stretched, family: int) -> None:
    stretched.plane.configure(vxlan=0, vxlan_ports=(4789,))

    for vni in (VNIS[family], 1):
        frame = arriving(from_far(family), family, vni=vni)
        assert stretched.from_core(frame).counted == {"PUNT_KERNEL_MODE": 1}
