# SPDX-License-Identifier: GPL-2.0-or-later
"""A stretched segment whose other end is a plain Linux bridge: what passes, byte for byte.

The same cases without an agent show that XDP does what the kernel does.
"""

import pytest
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from hybrid_gateway.lab.second import LEFT, LEFT6, RIGHT, RIGHT6
from hybrid_gateway.lab.services import servers
from tests.forward.sites import Sites
from tests.lib.packets import PAYLOAD, ip, same, udp
from tests.lib.programs import blob_digest, curl, digest, pinged
from tests.lib.vxlan import BROADCAST, arriving, is_marked, leaving, segment, source_port

SIZE = 5_000_000
FITS = 1500 - 70 - 28 - len(PAYLOAD)
"""What a datagram may carry beside the mark: 70 bytes are the overhead over IPv6."""


def through(sites: Sites, frame: Packet | bytes, *, at: str, to: str, **counted: int) -> Packet:
    """Send and expect, with these counters moved and no others."""
    counts = sites.counting()
    seen = sites.wires.send_and_expect(frame, at=at, to=to, wanted=is_marked)
    counts.expect(**counted)
    return seen


def test_ping(either_sites: Sites) -> None:
    assert pinged(either_sites.lab, "left", RIGHT.ip, count=20) == 20
    assert pinged(either_sites.lab, "right", LEFT6, count=20) == 20


@pytest.mark.parametrize("server", [RIGHT.ip, RIGHT6], ids=["ipv4", "ipv6"])
def test_tcp_both_ways(either_sites: Sites, server: str) -> None:
    """A kernel at the other end does not cut: it tells its hosts to send less."""
    lab = either_sites.lab
    url = f"http://[{server}]" if ":" in server else f"http://{server}"
    with servers(lab, "right", http=[f"{server}:80"]):
        got = curl(lab, "left", f"{url}/blob/{SIZE}")
        said = curl(lab, "left", "-X", "PUT", "--data-binary", "@-", url, stdin=got)
    assert digest(got) == blob_digest(SIZE)
    assert said.decode() == blob_digest(SIZE)


class TestEncapsulation:
    def test_whole_frame(self, either_sites: Sites) -> None:
        frame = segment()
        seen = through(either_sites, frame, at="left", to="router", BRIDGE=1, VXLAN_ENCAP=1)
        same(seen, leaving(either_sites.underlay, frame, seen))

    def test_arrives_as_it_was_sent(self, either_sites: Sites) -> None:
        frame = segment()
        same(through(either_sites, frame, at="left", to="right", BRIDGE=1, VXLAN_ENCAP=1), frame)

    @pytest.mark.parametrize("size", [0, 1, 46, 1000, FITS])
    def test_sizes(self, either_sites: Sites, size: int) -> None:
        packet = udp(LEFT.ip, RIGHT.ip, 4000, 53, payload=PAYLOAD + bytes(size))
        frame = segment(packet=packet)
        seen = through(either_sites, frame, at="left", to="router", BRIDGE=1, VXLAN_ENCAP=1)
        same(seen, leaving(either_sites.underlay, frame, seen))

    def test_anything_that_is_ethernet(self, either_sites: Sites) -> None:
        frame = Ether(src=LEFT.mac, dst=RIGHT.mac, type=0x88B5) / Raw(PAYLOAD)
        seen = through(either_sites, frame, at="left", to="router", BRIDGE=1, VXLAN_ENCAP=1)
        same(seen, leaving(either_sites.underlay, frame, seen))

    def test_a_flow_keeps_its_source_port_and_others_have_others(self, either_sites: Sites) -> None:
        def port(sport: int) -> int:
            frame = segment(packet=udp(LEFT.ip, RIGHT.ip, sport, 53))
            seen = through(either_sites, frame, at="left", to="router", BRIDGE=1, VXLAN_ENCAP=1)
            return source_port(seen)

        assert port(4000) == port(4000)
        assert len({port(sport) for sport in range(4000, 4008)}) > 4

    @pytest.mark.parametrize("tos", [0xB8, 0x02, 0x01, 0x03], ids=["ef", "ect0", "ect1", "ce"])
    def test_congestion_and_class(self, either_sites: Sites, tos: int) -> None:
        """RFC 6040, 4.1, normal mode: ECN goes outside; the class does not, unless the device has
        `tos inherit`. Kernels send ECT(0) for CE, as RFC 3168 had it."""
        packet = ip(LEFT.ip, RIGHT.ip, tos=tos, proto=253) / Raw(PAYLOAD)
        frame = segment(packet=packet)
        seen = through(either_sites, frame, at="left", to="router", BRIDGE=1, VXLAN_ENCAP=1)
        outside = 2 if tos == 3 and not either_sites.gateway else tos & 3
        same(seen, leaving(either_sites.underlay, frame, seen, tos=outside))


class TestDecapsulation:
    def test_whole_frame(self, either_sites: Sites) -> None:
        frame = segment(RIGHT, LEFT)
        sent = arriving(either_sites.underlay, frame)
        same(through(either_sites, sent, at="router", to="left", BRIDGE=1, VXLAN_DECAP=1), frame)

    def test_across_both_sites(self, either_sites: Sites) -> None:
        frame = segment(RIGHT, LEFT)
        same(through(either_sites, frame, at="right", to="left", BRIDGE=1, VXLAN_DECAP=1), frame)

    @pytest.mark.parametrize(
        ("outside", "inside", "wanted"),
        [(3, 2, 3), (3, 1, 3), (2, 1, 1), (1, 2, 1), (0, 2, 2), (3, 3, 3)],
    )
    def test_congestion_met_outside(
        self, either_sites: Sites, outside: int, inside: int, wanted: int
    ) -> None:
        """RFC 6040, figure 4."""

        def frame(tos: int) -> Packet:
            packet = ip(RIGHT.ip, LEFT.ip, tos=tos, proto=253) / Raw(PAYLOAD)
            return segment(RIGHT, LEFT, packet)

        sent = arriving(either_sites.underlay, frame(inside), tos=outside)
        seen = through(either_sites, sent, at="router", to="left", BRIDGE=1, VXLAN_DECAP=1)
        same(seen, frame(wanted))

    def test_without_a_checksum(self, sites: Sites) -> None:
        """RFC 7348, 4.1. Kernels take it for a mistake over IPv6 unless they are told otherwise."""
        frame = segment(RIGHT, LEFT)
        sent = arriving(sites.underlay, frame, checksum=0)
        same(through(sites, sent, at="router", to="left", BRIDGE=1, VXLAN_DECAP=1), frame)

    def test_reserved_bits_do_not_matter(self, sites: Sites) -> None:
        """RFC 7348, section 5: ignored on receipt. Kernels insist on zeros."""
        frame = segment(RIGHT, LEFT)
        head = bytes.fromhex("08 123456 000064 78")
        sent = arriving(sites.underlay, frame, head=head)
        same(through(sites, sent, at="router", to="left", BRIDGE=1, VXLAN_DECAP=1), frame)


class TestFlooding:
    """Broadcast, multicast and unknown stations are the kernel's, in both directions."""

    @pytest.mark.parametrize("to", [BROADCAST, "01:00:5e:01:02:03", "02:00:00:00:00:99"])
    def test_goes_everywhere(self, either_sites: Sites, to: str) -> None:
        frame = segment(dst=to)
        counts = either_sites.counting()
        either_sites.wires.forget("left2")
        seen = either_sites.wires.send_and_expect(frame, at="left", to="right", wanted=is_marked)
        same(seen, frame)
        same(next(either_sites.wires.arriving("left2", is_marked, 1)), frame)
        counts.expect(PUNT_FLOOD=1)
