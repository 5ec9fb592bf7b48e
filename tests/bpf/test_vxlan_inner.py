# SPDX-License-Identifier: GPL-2.0-or-later
"""The inner frame of a VTEP that is believed: to a port, to the kernel, or nowhere."""

import time

import pytest
from _gw_native import lib
from scapy.layers.inet6 import ICMPv6EchoRequest, ICMPv6ND_NS, IPv6
from scapy.layers.l2 import ARP, Dot1AD, Dot1Q
from scapy.packet import Packet, Raw

from hybrid_gateway.bpf import DEV_BRIDGED
from tests.lib.packets import PAYLOAD, SERVER, udp

from .segment import (
    BRIDGE,
    BRIDGE_MAC,
    FAMILIES,
    FAR,
    HERE,
    KERNELS,
    NOBODY,
    PEER,
    RESTRICTED,
    STRANGER,
    THERE,
    VNIS,
    Station,
)
from .stretched import FLAGS, TUNNELS, Stretched
from .test_vxlan_decapsulate import delivered, framed
from .vxlan_frames import arriving, between, from_far, to_gateway

families = pytest.mark.parametrize("family", FAMILIES)


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
    frame = arriving(framed(FAR[family].mac, target, payload), family)

    assert stretched.from_core(frame).counted == {verdict: 1}


@families
@pytest.mark.parametrize(
    "source",
    ["ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:01", "33:33:00:00:00:01", "00:00:00:00:00:00"],
)
def test_from_what_is_no_station(stretched: Stretched, family: int, source: str) -> None:
    for target in (HERE.mac, BRIDGE_MAC, "ff:ff:ff:ff:ff:ff"):
        frame = arriving(framed(source, target, Raw(PAYLOAD)), family)
        assert stretched.from_core(frame).counted == {"DROP_INNER": 1}


@families
def test_from_a_station_with_a_short_address(stretched: Stretched, family: int) -> None:
    for source in ("00:00:00:00:00:01", "02:00:00:00:00:00", "00:00:00:01:00:00"):
        delivered(stretched, framed(source, HERE.mac, Raw(PAYLOAD)), family)


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
    delivered(stretched, framed(FAR[family].mac, HERE.mac, IPv6() / ICMPv6EchoRequest()), family)


@families
def test_to_the_gateway_itself(stretched: Stretched, family: int) -> None:
    """What is not IPv4 is not NAT's; and without NAT nothing is."""
    for payload in (IPv6() / ICMPv6EchoRequest(), Raw(PAYLOAD)):
        frame = arriving(framed(FAR[family].mac, BRIDGE_MAC, payload), family)
        assert stretched.from_core(frame).counted == {"PUNT_HOST": 1}
    stretched.devices(**{"br-seg": lib.GW_DEV_BRIDGE})
    packet = between(FAR[family], HERE).payload
    frame = arriving(framed(FAR[family].mac, BRIDGE_MAC, packet), family)
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


@families
def test_the_gateways_own_vlan(stretched: Stretched, family: int) -> None:
    """Its MAC address in another one is not the bridge device's own business."""
    packet = to_gateway(FAR[family], udp(FAR[family].ip, SERVER, 4000, 53))
    stretched.station(FAR[family], vlan=10)
    stretched.vni(VNIS[family], family, vlan=10)
    for vlan, expected in ((10, "FORWARD"), (20, "PUNT_HOST"), (0, "PUNT_HOST")):
        stretched.vlans(**{BRIDGE: vlan})
        assert stretched.from_core(arriving(packet, family)).verdict == expected
