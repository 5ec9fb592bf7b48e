# SPDX-License-Identifier: GPL-2.0-or-later
"""Frames into VXLAN that the underlay takes in pieces only: what leaves, byte for byte."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
from scapy.layers.inet import IP, UDP
from scapy.packet import Packet

from hybrid_gateway.worker_client import WorkerPort
from tests.dpdk.harness import Bench
from tests.dpdk.pieces import family_of, fitting, number_of
from tests.dpdk.vxlan import (
    FAR,
    HERE,
    PEER,
    SIZES,
    THERE,
    Segment,
    between,
    stretch,
    underlay,
    with_tunnels,
)
from tests.dpdk.wires import Cable
from tests.lib.gateway import eventually

pytestmark = pytest.mark.dpdk

UNDERLAY = 1500
"""Its MTU: that of the inner packets as well, which is what makes it necessary."""


@dataclass
class Site:
    bench: Bench
    core: Cable
    access: Cable
    segment: Segment

    def fragment(self, wanted: bool) -> None:
        """Whether it may cut."""
        self.bench.client.set_segments([replace(self.segment.wanted, fragment=wanted)])
        self.bench.settle()

    def buffers(self) -> int:
        """Those that are free."""
        memory = self.bench.client.status().memory
        assert memory
        return memory.mbufs_free

    def route(self, mtu: int) -> None:
        """To the VTEP, of that MTU; 0: as the device has it."""
        host = f"{PEER[self.segment.family]}/{32 if self.segment.family == 4 else 128}"
        if mtu:
            self.bench.ip(f"route replace {host} dev core mtu {mtu}")
        else:
            self.bench.ip(f"route del {host} dev core")
        self.bench.settle()


@pytest.fixture(scope="module", params=(4, 6))
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    with Bench.running("vc", with_tunnels()) as bench:
        core = underlay(bench, mtu=UNDERLAY)
        access = bench.port("p0")
        segment = Segment.made(bench, core, [access], family=request.param, fragment=True)
        segment.station(HERE, access)
        segment.station(FAR, PEER[request.param])
        stretch(bench, segment)
        yield Site(bench, core, access, segment)


def inner(length: int, dport: int = 5000) -> Packet:
    """A frame of so many bytes of IP packet, each byte of its payload another."""
    load = bytes((i * 7 + i // 251) & 0xFF for i in range(length - 28))
    frame = between(HERE, FAR, payload=load, df=False)
    frame[UDP].dport = dport
    return frame


def outer(site: Site, frame: Packet, seen: Packet) -> Packet:
    """The whole packet that the frame went out in, by the first piece of it."""
    return site.segment.leaving(frame, sport=first_port(seen))


def first_port(seen: Packet) -> int:
    """The UDP source port in the first piece, which scapy does not look into."""
    start = 34 if family_of(seen) == 4 else 62
    return int.from_bytes(bytes(seen)[start : start + 2], "big")


def station_port(seen: Packet) -> int:
    """The destination port of the UDP packet inside, in the first piece."""
    start = (34 if family_of(seen) == 4 else 62) + 16 + 14 + 20
    return int.from_bytes(bytes(seen)[start + 2 : start + 4], "big")


def cut_into(site: Site, frame: Packet, count: int, mtu: int) -> list[Packet]:
    """Sends it, and compares the pieces that arrive with those that there should be."""
    seen = site.bench.burst([frame], via=site.access.far, at=site.core.far, count=count)
    wanted = fitting(outer(site, frame, seen[0]), mtu, number_of(seen[0]))
    assert [bytes(packet) for packet in seen] == [bytes(packet) for packet in wanted]
    return seen


def test_a_full_frame_leaves_in_two(site: Site) -> None:
    counting = site.bench.counting()
    cut_into(site, inner(1500), 2, UNDERLAY)
    counting.expect(VXLAN_ENCAP=1, VXLAN_CUT=1)


def test_what_fits_is_not_cut(site: Site) -> None:
    """To the byte."""
    longest = UNDERLAY - SIZES[site.segment.family]
    frame = inner(longest)
    counting = site.bench.counting()
    received = site.bench.send_and_expect(frame, via=site.access.far, at=site.core.far)
    counting.expect(VXLAN_ENCAP=1)
    number = int(received[IP].id) if site.segment.family == 4 else 0
    fields = {"ip": {"id": number}} if number else {}
    sport = int(received[UDP].sport)
    assert bytes(received) == bytes(site.segment.leaving(frame, sport=sport, **fields))

    counting = site.bench.counting()
    cut_into(site, inner(longest + 1), 2, UNDERLAY)
    counting.expect(VXLAN_ENCAP=1, VXLAN_CUT=1)


@pytest.mark.parametrize("more", range(2, 40, 5))
def test_last_pieces_of_any_length(site: Site, more: int) -> None:
    cut_into(site, inner(UNDERLAY - SIZES[site.segment.family] + more), 2, UNDERLAY)


def test_a_narrower_route(site: Site) -> None:
    """Its MTU counts, not that of the device."""
    mtu, count = (604, 3) if site.segment.family == 4 else (1280, 2)
    site.route(mtu)
    try:
        counting = site.bench.counting()
        cut_into(site, inner(1500), count, mtu)
        counting.expect(VXLAN_ENCAP=1, VXLAN_CUT=count - 1)
    finally:
        site.route(0)


def test_an_underlay_of_less_than_anybody_has(site: Site) -> None:
    if site.segment.family == 6:
        pytest.skip("IPv6 has none")
    site.route(560)
    try:
        counting = site.bench.counting()
        site.access.far.send([inner(1400)])
        counting.expect_some(PUNT_TOO_BIG=1)
    finally:
        site.route(0)


def test_numbers_do_not_repeat(site: Site) -> None:
    """A whole burst, and each packet's pieces have an identification of their own."""
    frames = [inner(1500, 5000 + number) for number in range(60)]
    counting = site.bench.counting()
    seen = site.bench.burst(frames, via=site.access.far, at=site.core.far, count=120)
    counting.expect(VXLAN_ENCAP=60, VXLAN_CUT=60)
    assert len({number_of(packet) for packet in seen}) == 60
    # The sender may have been moved to another CPU meanwhile, where a frame overtakes others.
    for first, second in zip(seen[::2], seen[1::2], strict=True):
        frame = frames[station_port(first) - 5000]
        wanted = fitting(outer(site, frame, first), UNDERLAY, number_of(first))
        assert [bytes(first), bytes(second)] == [bytes(packet) for packet in wanted]


def test_a_segment_that_may_not(site: Site) -> None:
    """Then its frames are as for any tunnel that is too narrow: the kernel's."""
    site.fragment(False)
    try:
        counting = site.bench.counting()
        site.access.far.send([inner(1500)])
        counting.expect_some(PUNT_TOO_BIG=1)
        assert not {"VXLAN_ENCAP", "VXLAN_CUT"} & counting.now().keys()
    finally:
        site.fragment(True)


def test_nothing_is_lost_of_the_pool(site: Site) -> None:
    """Buffers that are free come back."""
    frames = [inner(1500, 5000 + number) for number in range(100)]
    site.bench.burst(frames, via=site.access.far, at=site.core.far, count=200)
    before = site.buffers()
    counting = site.bench.counting()
    for _ in range(5):
        site.bench.burst(frames, via=site.access.far, at=site.core.far, count=200)
    counting.expect(VXLAN_ENCAP=500, VXLAN_CUT=500)
    # What the lcore's cache holds at the moment comes and goes.
    assert site.buffers() > before - 1000


def test_stations_know_nothing_of_it(site: Site) -> None:
    """A frame between two access ports is not cut, however long."""
    other = site.bench.ports.get("p1") or site.bench.port("p1")
    site.bench.ip(f"link set {other.name} master {site.segment.bridge}")
    site.segment.station(THERE, other)
    site.bench.settle()
    frame = inner(1500)
    frame.dst = THERE.mac
    counting = site.bench.counting()
    received = site.bench.send_and_expect(frame, via=site.access.far, at=other.far)
    counting.expect(FORWARD_BRIDGE=1)
    assert bytes(received) == bytes(frame)


def test_a_frame_of_several_mbufs() -> None:
    """Longer than one of them, from a port that takes such: each piece leaves in one."""
    length = 3900
    with Bench.running("vj", with_tunnels()) as bench:
        core = underlay(bench, mtu=UNDERLAY)
        access = bench.cable("p0", mtu=4000)
        device = f"net_pcap_p0,rx_iface_in={access.wire},tx_iface={access.wire}"
        bench.client.add_port(WorkerPort(access.name, access.name, device))
        eventually(lambda: bench.client.status().ports["p0"].link_up, "p0 is up")
        segment = Segment.made(bench, core, [access], family=6, fragment=True, mtu=4000)
        bench.ip(f"link set {segment.device} mtu 4000")
        segment.station(HERE, access)
        segment.station(FAR, PEER[6])
        stretch(bench, segment)
        site = Site(bench, core, access, segment)
        counting = bench.counting()
        cut_into(site, inner(length), 3, UNDERLAY)
        counting.expect(VXLAN_ENCAP=1, VXLAN_CUT=2)
