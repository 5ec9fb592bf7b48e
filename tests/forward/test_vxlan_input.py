# SPDX-License-Identifier: GPL-2.0-or-later
"""VXLAN that is wrong, forbidden or hostile: dropped for a reason that is counted, nothing else."""

from collections.abc import Iterator

import pytest
from scapy.layers.inet import IP, UDP, fragment
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment, fragment6
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from hybrid_gateway.lab.second import (
    LEFT,
    NEAR_ROUTER,
    NEAR_UPLINK,
    RIGHT,
    VXLAN,
    Underlay,
    vxlan_kind,
)
from tests.forward.sites import Sites
from tests.lib.gateway import NOISE, eventually
from tests.lib.packets import same
from tests.lib.programs import pinged
from tests.lib.vxlan import (
    BROADCAST,
    arriving,
    full,
    header,
    is_marked,
    segment,
)

STRANGER = {Underlay.IPV4: "198.51.100.66", Underlay.IPV6: "2001:db8:2::66"}
KERNELS = {Underlay.IPV4: "PUNT_NOT_NAT", Underlay.IPV6: "PUNT_NOT_IPV4"}
"""What is not VXLAN for us, at a port of the underlay that has no part in NAT."""
FLOOD = 300
BACK = segment(RIGHT, LEFT)


@pytest.fixture(autouse=True)
def unharmed(sites: Sites) -> Iterator[None]:
    """Whatever came in, the segment works afterwards and the agent lives."""
    yield
    assert sites.agent.process.running
    assert pinged(sites.lab, "left", RIGHT.ip) == 3


def dropped(sites: Sites, *frames: Packet | bytes, reason: str) -> None:
    """Nothing of them reaches the segment, nor comes back to the underlay."""
    counts = sites.agent.counting()
    sites.wires.forget("left2", "router")
    for frame in frames[:-1]:
        sites.wires.send(frame, at="router")
    sites.wires.send_and_expect_nothing(frames[-1], at="router", to="left", wanted=is_marked)
    for place in ("left2", "router"):
        assert not list(sites.wires.arriving(place, is_marked, 0)), place
    if reason in NOISE:
        counts.expect_some(**{reason: len(frames)})
    else:
        counts.expect(**{reason: len(frames)})


class TestHeader:
    def test_without_the_i_flag(self, sites: Sites) -> None:
        heads = [header(flags=flags) for flags in (0x00, 0xF7)]
        sent = [arriving(sites.underlay, BACK, head=head) for head in heads]
        dropped(sites, *sent, reason="DROP_VXLAN")

    def test_shorter_than_itself(self, sites: Sites) -> None:
        """Nothing tells it from any other datagram: the kernel drops it."""
        sent = [arriving(sites.underlay, b"", head=header()[:length]) for length in range(8)]
        dropped(sites, *sent, reason=KERNELS[sites.underlay])

    def test_a_vni_that_nobody_has(self, sites: Sites) -> None:
        heads = [header(vni) for vni in (0, 101, 0xFFFFFF)]
        sent = [arriving(sites.underlay, BACK, head=head) for head in heads]
        dropped(sites, *sent, reason="DROP_VNI")

    def test_a_vni_of_the_kernel(self, sites: Sites) -> None:
        """A device that is not in the file: the frame goes there, as it came."""
        lab, kind = sites.lab, vxlan_kind(300, sites.underlay.near, sites.underlay.far)
        lab.run("gw", ["ip", "link", "add", "vni300", *kind.split()])
        try:
            lab.run("gw", ["ip", "link", "set", "vni300", "up"])
            sent = arriving(sites.underlay, BACK, head=header(300))

            def passed() -> bool:
                counts = sites.agent.counting()
                sites.wires.send(sent, at="router")
                return counts.now() == {"PUNT_VXLAN": 1}

            eventually(passed, "the agent knows the device")
        finally:
            lab.run("gw", ["ip", "link", "delete", "vni300"])
        assert "vni300" not in sites.fdb(RIGHT.mac)


class TestSender:
    def test_not_a_vtep_of_the_vni(self, sites: Sites) -> None:
        sent = arriving(sites.underlay, BACK, source=STRANGER[sites.underlay])
        dropped(sites, sent, reason="DROP_VTEP")
        assert STRANGER[sites.underlay] not in sites.fdb(RIGHT.mac)

    def test_not_a_vtep_in_fragments(self, sites: Sites) -> None:
        """XDP has no ports to judge by; nftables has, after reassembly."""
        big = full(RIGHT, LEFT)
        for source, arrives in ((STRANGER[sites.underlay], False), ("", True)):
            sent = arriving(sites.underlay, big, source=source)
            pieces = fragments(sites.underlay, sent)
            assert len(pieces) == 2
            for piece in pieces[:-1]:
                sites.wires.send(piece, at="router")
            if arrives:
                last = pieces[-1]
                same(
                    sites.wires.send_and_expect(last, at="router", to="left", wanted=is_marked), big
                )
            else:
                sites.wires.send_and_expect_nothing(
                    pieces[-1], at="router", to="left", wanted=is_marked
                )

    def test_ourselves(self, sites: Sites) -> None:
        """Our own address from outside is nobody's VTEP."""
        dropped(
            sites, arriving(sites.underlay, BACK, source=sites.underlay.near), reason="DROP_VTEP"
        )


class TestDatagram:
    def test_a_wrong_checksum(self, sites: Sites) -> None:
        dropped(sites, arriving(sites.underlay, BACK, checksum=0x1234), reason="DROP_CHECKSUM")

    def test_congestion_that_the_inner_packet_cannot_tell(self, sites: Sites) -> None:
        """RFC 6040, 4.2: not ECN-capable inside, CE outside."""
        dropped(sites, arriving(sites.underlay, BACK, tos=3), reason="DROP_ECN")

    def test_a_length_that_contradicts_the_packet(self, sites: Sites) -> None:
        sent = [arriving(sites.underlay, BACK) for _ in range(4)]
        for frame, length in zip(sent, (0, 7, 15, 2000), strict=True):
            frame[UDP].len = length
        dropped(sites, *sent, reason="DROP_VXLAN")

    def test_a_frame_that_ends_early(self, sites: Sites) -> None:
        """Its lengths say so, and the kernel drops it."""
        whole = bytes(arriving(sites.underlay, BACK))
        sent = [whole[:kept] for kept in (42, 49, 60, 90, len(whole) - 1)]
        dropped(sites, *sent, reason=KERNELS[sites.underlay])


class TestInnerFrame:
    def test_no_whole_ethernet_header(self, sites: Sites) -> None:
        sent = [arriving(sites.underlay, bytes(BACK)[:length]) for length in range(14)]
        dropped(sites, *sent, reason="DROP_VXLAN")

    def test_a_header_and_nothing_else(self, sites: Sites) -> None:
        """It is a frame, if a useless one."""
        counts = sites.counting()
        empty = Ether(src=RIGHT.mac, dst=LEFT.mac, type=0x88B5)
        sent = arriving(sites.underlay, empty)
        seen = sites.wires.send_and_expect(
            sent, at="router", to="left", wanted=lambda p: p.type == 0x88B5
        )
        assert bytes(seen)[:14] == bytes(empty)
        counts.expect(BRIDGE=1, VXLAN_DECAP=1)

    def test_from_a_group(self, sites: Sites) -> None:
        """No station has such an address (IEEE 802.1Q, 8.6)."""
        frames = [
            Ether(src=source, dst=LEFT.mac) / BACK.payload
            for source in (BROADCAST, "01:00:5e:00:00:01")
        ]
        dropped(sites, *(arriving(sites.underlay, frame) for frame in frames), reason="DROP_INNER")

    def test_from_nobody(self, sites: Sites) -> None:
        """Zeros are no address either, to XDP as to the kernel's bridge."""
        frame = Ether(src="00:00:00:00:00:00", dst=LEFT.mac) / BACK.payload
        dropped(sites, arriving(sites.underlay, frame), reason="DROP_INNER")

    def test_to_the_next_bridge_alone(self, sites: Sites) -> None:
        """01:80:c2:00:00:0x ends at each bridge (IEEE 802.1Q, 8.6.3)."""
        frames = [
            Ether(src=RIGHT.mac, dst=f"01:80:c2:00:00:{last:02x}") / BACK.payload
            for last in (0x00, 0x02, 0x0E)
        ]
        dropped(sites, *(arriving(sites.underlay, frame) for frame in frames), reason="DROP_INNER")

    def test_back_into_the_tunnel(self, sites: Sites) -> None:
        frame = Ether(src="02:00:cb:00:71:99", dst=RIGHT.mac) / BACK.payload
        learnt = Ether(src="02:00:cb:00:71:99", dst=BROADCAST) / BACK.payload
        sites.wires.send(arriving(sites.underlay, learnt), at="router")
        eventually(lambda: VXLAN in sites.fdb("02:00:cb:00:71:99"), "the kernel has learnt it")
        dropped(sites, arriving(sites.underlay, frame), reason="DROP_SPLIT_HORIZON")

    def test_vxlan_in_vxlan_to_ourselves(self, sites: Sites) -> None:
        """The inner packet is one host's to another: where it says it goes does not matter."""
        frame = BACK
        for _ in range(3):
            inner = arriving(sites.underlay, frame)
            frame = Ether(src=RIGHT.mac, dst=LEFT.mac) / inner.payload
        counts = sites.counting()
        sent = arriving(sites.underlay, frame)
        seen = sites.wires.send_and_expect(sent, at="router", to="left", wanted=is_marked)
        same(seen, frame)
        counts.expect(BRIDGE=1, VXLAN_DECAP=1)


class TestFragments:
    def test_that_overlap(self, sites: Sites) -> None:
        """RFC 5722: the whole packet is lost, whichever version of the bytes comes first."""
        big = full(RIGHT, LEFT)
        first, last = fragments(sites.underlay, arriving(sites.underlay, big))
        twisted = shifted(last)
        for piece in (first, twisted):
            sites.wires.send(piece, at="router")
        sites.wires.send_and_expect_nothing(last, at="router", to="left", wanted=is_marked)

    def test_in_floods(self, sites: Sites) -> None:
        """First fragments whose rest never comes, and rests without a first; the segment and
        what fits it go on (the fixture pings)."""
        big = full(RIGHT, LEFT)
        counts = sites.agent.counting()
        for number in range(FLOOD):
            pieces = fragments(sites.underlay, arriving(sites.underlay, big), number)
            sites.wires.send(pieces[number % 2], at="router")
        counts.expect_some(PUNT_FRAGMENT=FLOOD)
        frame = segment(RIGHT, LEFT)
        sent = arriving(sites.underlay, frame)
        same(sites.wires.send_and_expect(sent, at="router", to="left", wanted=is_marked), frame)


def fragments(underlay: Underlay, frame: Packet, ident: int = 0x4711) -> list[Packet]:
    """The frames in which a router, or the sender, would send it over a link of 1400 bytes."""
    head = Ether(src=NEAR_ROUTER.mac, dst=NEAR_UPLINK.mac)
    if underlay is Underlay.IPV4:
        packet = IP(bytes(frame[IP]))
        packet.id = ident
        del packet.chksum
        return [head / piece for piece in fragment(packet, 1376)]
    packet = IPv6(bytes(frame[IPv6]))
    packet = (
        IPv6(src=packet.src, dst=packet.dst, hlim=62)
        / IPv6ExtHdrFragment(id=ident)
        / packet.payload
    )
    return [head / piece for piece in fragment6(packet, 1400)]


def shifted(last: Packet) -> Packet:
    """A last fragment that begins eight bytes too early."""
    piece = Ether(bytes(last))
    if IP in piece:
        piece[IP].frag -= 1
        del piece[IP].chksum
    else:
        piece[IPv6ExtHdrFragment].offset -= 1
    return piece
