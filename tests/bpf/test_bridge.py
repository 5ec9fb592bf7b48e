# SPDX-License-Identifier: GPL-2.0-or-later
"""Bridging from a port: to another one, into a tunnel, and what is the kernel's bridge's own."""

import time

import pytest
from _gw_native import lib
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6ND_RA,
    ICMPv6ND_Redirect,
    ICMPv6ND_RS,
    IPv6,
)
from scapy.layers.l2 import ARP, Dot1AD, Dot1Q, Ether
from scapy.packet import Packet, Raw

from hybrid_gateway.bpf import DEV_BRIDGED, DEV_PORT
from tests.lib.packets import PAYLOAD, SERVER, WAN, from_wan, udp

from .segment import FAR4, FAR6, HERE, KERNELS, NOBODY, RESTRICTED, THERE, VNIS, Station
from .stretched import FLAGS, UNUSED, Stretched, same_frame
from .vxlan_frames import arriving, between, leaving, source_port, to_gateway

OURS = between(HERE, THERE)


def _of(source: str, target: str, *layers: Packet) -> Packet:
    frame = Ether(src=source, dst=target)
    for layer in layers:
        frame = frame / layer
    return frame


def _six(*layers: Packet) -> Packet:
    packet = IPv6(src="fe80::1", dst="fe80::2")
    for layer in layers:
        packet = packet / layer
    return _of(HERE.mac, THERE.mac, packet)


def test_to_another_port(stretched: Stretched) -> None:
    outcome = stretched.run(OURS, "seg0", to="seg1")

    assert outcome.counted == {"BRIDGE": 1}
    same_frame(outcome, bytes(OURS))
    back = between(THERE, HERE)
    outcome = stretched.run(back, "seg1", to="seg0")
    assert outcome.counted == {"BRIDGE": 1}
    same_frame(outcome, bytes(back))


@pytest.mark.parametrize("kind", [0x0800, 0x86DD, 0x0001, 0x88CC, 0xFFFF])
def test_frames_of_every_length_and_type(stretched: Stretched, kind: int) -> None:
    for length in (14, 15, 16, 33, 34, 53, 54, 60, 64, 1514, 1700, 3300):
        frame = bytes(_of(HERE.mac, THERE.mac))[:12] + kind.to_bytes(2, "big")
        frame += bytes(i % 251 for i in range(length - len(frame)))
        outcome = stretched.run(frame, "seg0", to="seg1")
        assert outcome.counted == {"BRIDGE": 1}
        same_frame(outcome, frame)


def test_a_broken_packet_is_not_for_a_bridge_to_judge(stretched: Stretched) -> None:
    packet = OURS.copy()
    packet["IP"].chksum = 0xBAD
    packet["IP"].ttl = 0

    assert stretched.run(packet, "seg0", to="seg1").counted == {"BRIDGE": 1}


KERNELS_OWN = [
    ("broadcast", "PUNT_FLOOD", _of(HERE.mac, "ff:ff:ff:ff:ff:ff", Raw(PAYLOAD))),
    ("multicast", "PUNT_FLOOD", _of(HERE.mac, "01:00:5e:00:00:fb", Raw(PAYLOAD))),
    ("from unknown to all", "PUNT_FLOOD", _of(NOBODY, "ff:ff:ff:ff:ff:ff", Raw(PAYLOAD))),
    ("arp question", "PUNT_FLOOD", _of(HERE.mac, "ff:ff:ff:ff:ff:ff", ARP(pdst=THERE.ip))),
    ("stp", "PUNT_FLOOD", _of(HERE.mac, "01:80:c2:00:00:00", Raw(PAYLOAD))),
    ("unknown", "PUNT_FLOOD", _of(HERE.mac, NOBODY, Raw(PAYLOAD))),
    ("from unknown", "PUNT_LEARN", _of(NOBODY, THERE.mac, Raw(PAYLOAD))),
    ("from unknown to unknown", "PUNT_LEARN", _of(NOBODY, NOBODY, Raw(PAYLOAD))),
    ("moved from a port", "PUNT_LEARN", between(THERE, HERE)),
    ("moved from a tunnel", "PUNT_LEARN", between(FAR4, THERE)),
    ("from a group", "PUNT_LEARN", _of("01:00:5e:00:00:01", THERE.mac, Raw(PAYLOAD))),
    ("from zero", "PUNT_LEARN", _of("00:00:00:00:00:00", THERE.mac, Raw(PAYLOAD))),
    ("vlan", "PUNT_VLAN", _of(HERE.mac, THERE.mac, Dot1Q(vlan=5), Raw(PAYLOAD))),
    ("priority tag", "PUNT_VLAN", _of(HERE.mac, THERE.mac, Dot1Q(vlan=0), Raw(PAYLOAD))),
    ("qinq", "PUNT_VLAN", _of(HERE.mac, FAR4.mac, Dot1AD(vlan=5), Dot1Q(vlan=6))),
    ("arp", "PUNT_RESOLUTION", _of(HERE.mac, THERE.mac, ARP(pdst=THERE.ip))),
    ("arp answer", "PUNT_RESOLUTION", _of(HERE.mac, FAR4.mac, ARP(op=2, pdst=FAR4.ip))),
    ("rs", "PUNT_RESOLUTION", _six(ICMPv6ND_RS())),
    ("ra", "PUNT_RESOLUTION", _six(ICMPv6ND_RA())),
    ("ns", "PUNT_RESOLUTION", _six(ICMPv6ND_NS(tgt="fe80::2"))),
    ("na", "PUNT_RESOLUTION", _six(ICMPv6ND_NA(tgt="fe80::2"))),
    ("redirect", "PUNT_RESOLUTION", _six(ICMPv6ND_Redirect())),
    ("to itself", "PUNT_BRIDGE_PORT", _of(HERE.mac, HERE.mac, Raw(PAYLOAD))),
    ("restricted", "PUNT_BRIDGE_PORT", between(HERE, RESTRICTED)),
    ("no XDP port", "PUNT_BRIDGE_PORT", between(HERE, KERNELS)),
]


@pytest.mark.parametrize(
    ("verdict", "frame"), [row[1:] for row in KERNELS_OWN], ids=[row[0] for row in KERNELS_OWN]
)
def test_what_is_the_kernels(stretched: Stretched, verdict: str, frame: Packet) -> None:
    assert stretched.run(frame, "seg0").counted == {verdict: 1}


def test_other_icmpv6_is_bridged(stretched: Stretched) -> None:
    for packet in (ICMPv6EchoRequest(), Raw(b"\x84"), Raw(b"\x8a"), Raw(b"\x01")):
        frame = _six(packet)
        frame[IPv6].nh = 58
        assert stretched.run(frame, "seg0", to="seg1").counted == {"BRIDGE": 1}


def test_a_neighbour_solicitation_that_ends_early(stretched: Stretched) -> None:
    """It is none before the byte that says so."""
    whole = bytes(_six(ICMPv6ND_NS(tgt="fe80::2")))
    for length in range(14, len(whole)):
        expected = "PUNT_RESOLUTION" if length > 54 else "BRIDGE"
        assert stretched.run(whole[:length], "seg0").counted == {expected: 1}, length


def test_a_group_in_the_fdb(stretched: Stretched) -> None:
    """`bridge fdb add` takes one; the bridge floods all the same, and XDP cannot."""
    group = Station("224.0.0.251", "01:00:5e:00:00:fb", "seg1")
    stretched.station(group)

    assert stretched.run(between(HERE, group), "seg0").counted == {"PUNT_FLOOD": 1}


def test_a_tunnel_that_is_the_kernels(stretched: Stretched) -> None:
    """Several remotes, or one that XDP does not do: the FDB says which device, but no tunnel."""
    stretched.station(FAR4, tunnel=0)

    assert stretched.run(between(HERE, FAR4), "seg0").counted == {"PUNT_BRIDGE_PORT": 1}


def test_ports_that_forward_no_more(stretched: Stretched) -> None:
    stretched.devices(seg1=FLAGS["seg1"] & ~DEV_BRIDGED)
    assert stretched.run(OURS, "seg0").counted == {"PUNT_BRIDGE_PORT": 1}

    stretched.devices(seg0=FLAGS["seg0"] & ~DEV_BRIDGED)
    assert stretched.run(OURS, "seg0").counted == {"PUNT_OTHER_MAC": 1}
    stretched.devices(seg0=DEV_PORT)
    assert stretched.run(OURS, "seg0").counted == {"PUNT_KERNEL_MODE": 1}


def test_a_port_of_another_bridge(stretched: Stretched) -> None:
    """The mirror may be a moment behind when a port moves."""
    wandering = Station(THERE.ip, THERE.mac, "lan0")
    stretched.station(wandering)
    stretched.devices(lan0=FLAGS["seg1"])

    assert stretched.run(OURS, "seg0").counted == {"PUNT_BRIDGE_PORT": 1}


def test_kernel_mode(stretched: Stretched) -> None:
    stretched.plane.configure(vxlan=0)

    assert stretched.run(OURS, "seg0").counted == {"PUNT_OTHER_MAC": 1}
    assert stretched.run(between(HERE, FAR4), "seg0").counted == {"PUNT_OTHER_MAC": 1}
    stretched.plane.configure(enabled=False)
    assert stretched.run(OURS, "seg0").counted == {"PUNT_KERNEL_MODE": 1}


def test_bridging_without_nat(stretched: Stretched) -> None:
    """Each of the two works without the other."""
    stretched.plane.configure(enabled=False, vxlan=1, vxlan_ports=(4789,))

    assert stretched.run(OURS, "seg0", to="seg1").counted == {"BRIDGE": 1}
    for_us = to_gateway(HERE, udp(HERE.ip, SERVER, 4000, 53))
    assert stretched.run(for_us, "seg0").counted == {"PUNT_KERNEL_MODE": 1}


def test_who_sends_is_marked(stretched: Stretched) -> None:
    before = int(time.monotonic())
    stretched.run(OURS, "seg0", to="seg1")

    assert before - 1 <= stretched.marks(HERE).seen <= int(time.monotonic())
    assert stretched.marks(HERE).used == 0
    assert stretched.marks(THERE) == stretched.marks(FAR4)
    assert stretched.marks(THERE).seen == 0
    stretched.run(between(THERE, FAR6), "seg1", to="core0")
    assert stretched.marks(THERE).seen >= before - 1
    assert stretched.marks(FAR6).seen == 0


def test_who_sends_to_the_gateway_is_marked(stretched: Stretched) -> None:
    """NAT in XDP is as blind for the kernel, and a silent answer must not age the sender out."""
    to_us = to_gateway(HERE, udp(HERE.ip, SERVER, 4000, 53))
    assert stretched.run(to_us, "seg1").verdict == "FORWARD"
    assert stretched.marks(HERE).seen == 0
    assert stretched.run(to_us, "seg0").verdict == "FORWARD"
    assert stretched.marks(HERE).seen
    tagged = to_gateway(THERE, Dot1Q(vlan=5) / to_us.payload)
    assert stretched.run(tagged, "seg1").counted == {"PUNT_VLAN": 1}
    assert stretched.marks(THERE).seen == 0


def test_who_sends_from_elsewhere_is_not_marked(stretched: Stretched) -> None:
    """The kernel has to learn that it moved; until then it is not there."""
    stretched.run(OURS, "seg1")
    stretched.run(between(FAR4, THERE), "seg0")

    assert stretched.marks(HERE).seen == 0
    assert stretched.marks(FAR4).seen == 0


def test_who_moved_is_the_kernels_to_find(stretched: Stretched) -> None:
    """Whatever it sent from there; an answer may come before the agent has followed."""
    answer = arriving(between(FAR4, HERE), 4)
    for first in (between(HERE, FAR6), _of(HERE.mac, "ff:ff:ff:ff:ff:ff", ARP(op=2))):
        stretched.station(HERE)
        assert stretched.from_core(answer, to="seg0").verdict == "BRIDGE"
        stretched.run(first, "seg1")
        outcome = stretched.from_core(answer)
        assert outcome.counted == {"PUNT_LEARN": 1}
        same_frame(outcome, bytes(answer))
    stretched.station(HERE, moved=int(time.monotonic()) - 10)
    assert stretched.from_core(answer, to="seg0").verdict == "BRIDGE"


def test_who_moved_out_of_a_tunnel_is_not_looked_for_there(stretched: Stretched) -> None:
    stretched.run(between(FAR4, THERE), "seg0")
    assert stretched.run(between(THERE, FAR4), "seg1").counted == {"PUNT_LEARN": 1}


def test_who_moved_into_a_tunnel_is_not_at_its_port(stretched: Stretched) -> None:
    """Only if the device learns; otherwise it is the control plane that says so."""
    stretched.from_core(arriving(between(HERE, THERE), 4))
    assert stretched.run(between(THERE, HERE), "seg1", to="seg0").counted == {"BRIDGE": 1}
    stretched.vni(VNIS[4], 4, flags=lib.GW_VNI_LEARNS)
    stretched.from_core(arriving(between(HERE, THERE), 4))
    assert stretched.run(between(THERE, HERE), "seg1").counted == {"PUNT_LEARN": 1}


class TestVlans:
    """The bridge filters VLANs: a port's untagged frames are of one, and stations too."""

    def test_of_the_same_one(self, stretched: Stretched) -> None:
        stretched.vlans(seg0=10, seg1=10)
        stretched.station(HERE, vlan=10)
        stretched.station(THERE, vlan=10)

        assert stretched.run(OURS, "seg0", to="seg1").counted == {"BRIDGE": 1}
        assert stretched.marks(HERE, vlan=10).seen
        assert stretched.marks(HERE).seen == 0

    def test_of_another_one(self, stretched: Stretched) -> None:
        stretched.vlans(seg0=10, seg1=20)
        stretched.station(HERE, vlan=10)
        stretched.station(THERE, vlan=20)

        assert stretched.run(OURS, "seg0").counted == {"PUNT_FLOOD": 1}

    def test_to_a_port_where_it_is_tagged(self, stretched: Stretched) -> None:
        """It would leave untagged, into the VLAN of that port's untagged frames."""
        stretched.vlans(seg0=10, seg1=20)
        stretched.station(HERE, vlan=10)
        stretched.station(THERE, vlan=10)

        assert stretched.run(OURS, "seg0").counted == {"PUNT_BRIDGE_PORT": 1}

    def test_by_nat_to_a_port_where_it_is_tagged(self, stretched: Stretched) -> None:
        stretched.vlans(**{"br-seg": 10, "seg0": 10, "seg1": 20})
        for station in (HERE, THERE):
            stretched.station(station, vlan=10)
        verdicts = {}
        for station in (HERE, THERE):
            packet = to_gateway(station, udp(station.ip, SERVER, 4000, 53))
            sent = stretched.run(packet, str(station.place))
            answer = udp(SERVER, WAN.ip, 53, sent.packet["UDP"].sport)
            verdicts[station] = stretched.run(from_wan(answer), "wan0").verdict

        assert verdicts == {HERE: "FORWARD", THERE: "PUNT_NOT_A_PORT"}

    def test_into_a_tunnel(self, stretched: Stretched) -> None:
        stretched.vlans(seg0=10)
        stretched.station(HERE, vlan=10)
        stretched.station(FAR6, vlan=10)
        outcome = stretched.run(between(HERE, FAR6), "seg0", to="core0")

        assert outcome.counted == {"BRIDGE": 1, "VXLAN_ENCAP": 1}
        expected = leaving(between(HERE, FAR6), 6, sport=source_port(outcome.frame))
        same_frame(outcome, bytes(expected))


def test_no_tunnel_number_reaches_beyond_the_table(stretched: Stretched) -> None:
    for tunnel in (8193, 1 << 31, 0xFFFFFFFF, 1 + UNUSED):
        stretched.station(FAR4, tunnel=tunnel)
        assert stretched.run(between(HERE, FAR4), "seg0").counted == {"PUNT_UNDERLAY": 1}
