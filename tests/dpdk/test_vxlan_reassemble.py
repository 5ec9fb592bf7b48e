# SPDX-License-Identifier: GPL-2.0-or-later
"""VXLAN that comes in pieces: put together if they are a VTEP's, and nobody's harm if not."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations
from random import Random
from typing import Any

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from hybrid_gateway.worker_client import WorkerPort
from tests.dpdk.harness import NOISE, Bench
from tests.dpdk.pieces import fitting, payload_of, piece, pieces
from tests.dpdk.vxlan import (
    FAR,
    FARTHER,
    HERE,
    LOCAL,
    OTHER,
    PEER,
    STRANGER,
    TTL,
    Segment,
    between,
    stretch,
    with_tunnels,
)
from tests.dpdk.wires import Cable
from tests.lib.gateway import eventually

pytestmark = pytest.mark.dpdk

UNDERLAY = 1500
ELSEWHERE = "02:00:00:00:00:77"
"""No host's MAC address."""
BRIDGE = "02:00:00:00:09:01"
"""The bridge's own MAC address, see vxlan.py."""
SET_PACKETS = 64
"""Packets of one sender that wait at most, see reassembly.h."""


def built(frames: Sequence[Packet]) -> list[bytes]:
    """Before the first is sent: pieces do not wait for each other for long."""
    return [bytes(frame) for frame in frames]


@dataclass
class Site:
    bench: Bench
    core: Cable
    access: Cable
    segment: Segment

    @property
    def family(self) -> int:
        return self.segment.family

    def send(self, frames: Sequence[Packet]) -> None:
        self.core.far.send(built(frames))

    def tick(self) -> None:
        """Something else comes, at which the lcore looks who is late."""
        self.core.far.send([bytes(Ether(src=self.core.far_mac, dst=ELSEWHERE) / bytes(46))])

    def expect(self, frames: Sequence[Packet], inners: Sequence[Packet]) -> None:
        """These come out at the access port, byte for byte."""
        sent = built(frames)
        seen = self.bench.burst(sent, via=self.core.far, at=self.access.far, count=len(inners))
        # The sender may have been moved to another CPU meanwhile, where a frame overtakes others.
        assert sorted(map(bytes, seen)) == sorted(map(bytes, inners))

    def passed(self, frames: Sequence[Packet]) -> None:
        """The kernel gets them as they came."""
        seen = self.bench.burst(built(frames), via=self.core.far, at=self.core.kernel)
        assert sorted(map(bytes, seen)) == sorted(map(bytes, frames))


def add(bench: Bench, port: Cable) -> None:
    """By libpcap: the kernel puts an af_packet port's IPv4 pieces together before DPDK has them."""
    device = f"net_pcap_{port.name},rx_iface_in={port.wire},tx_iface={port.wire}"
    bench.client.add_port(WorkerPort(port.name, port.name, device))
    eventually(lambda: bench.client.status().ports[port.name].link_up, f"{port.name} is up")


def underlay(bench: Bench) -> Cable:
    core = bench.cable("core", f"{LOCAL[4]}/24", f"{LOCAL[6]}/64", mtu=UNDERLAY)
    add(bench, core)
    bench.neighbour(core, *PEER.values(), *OTHER.values(), *STRANGER.values())
    return core


@pytest.fixture(scope="module", params=(4, 6))
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    with Bench.running("vr", with_tunnels()) as bench:
        core = underlay(bench)
        access = bench.port("p0")
        segment = Segment.made(bench, core, [access], family=request.param)
        segment.flood(OTHER[request.param])
        segment.station(HERE, access)
        segment.station(FAR, PEER[request.param])
        segment.station(FARTHER, OTHER[request.param])
        stretch(bench, segment)
        yield Site(bench, core, access, segment)


def inner(number: int = 5000, length: int = 1500) -> Packet:
    load = bytes((i * 7 + number) & 0xFF for i in range(length - 28))
    frame = between(FAR, HERE, payload=load, df=False)
    frame[UDP].dport = number
    return frame


@pytest.mark.parametrize("order", permutations(range(3)))
def test_three_pieces_in_any_order(site: Site, order: tuple[int, ...]) -> None:
    parts = pieces(site.segment.arriving(inner()), (512, 1024), 77)
    counting = site.bench.counting()
    site.expect([parts[place] for place in order], [inner()])
    counting.expect(VXLAN_DECAP=1, VXLAN_PIECE=2)


def test_as_vteps_cut_them(site: Site) -> None:
    """A burst, each packet in two as long as can be and short, or the other way round."""
    inners = [inner(5000 + number) for number in range(20)]
    frames: list[Packet] = []
    for number, frame in enumerate(inners):
        parts = fitting(site.segment.arriving(frame), UNDERLAY, 1000 + number)
        frames += parts if number % 2 else parts[::-1]
    counting = site.bench.counting()
    site.expect(frames, inners)
    counting.expect(VXLAN_DECAP=20, VXLAN_PIECE=20)


@pytest.mark.parametrize("seed", range(6))
def test_packets_that_come_at_once(site: Site, seed: int) -> None:
    """In pieces of any number and length, all mixed."""
    random = Random(seed)
    inners = [inner(6000 + number, random.randrange(200, 1500)) for number in range(12)]
    frames: list[Packet] = []
    for number, frame in enumerate(inners):
        whole = site.segment.arriving(frame)
        places = range(8, len(payload_of(whole)), 8)
        cuts = sorted(random.sample(places, random.randint(1, 7)))
        frames += pieces(whole, cuts, 2000 + seed * 100 + number)
    random.shuffle(frames)
    counting = site.bench.counting()
    seen = site.bench.burst(built(frames), via=site.core.far, at=site.access.far, count=12)
    assert sorted(map(bytes, seen)) == sorted(map(bytes, inners))
    counting.expect(VXLAN_DECAP=12, VXLAN_PIECE=len(frames) - 12)


def test_the_same_number_of_two_senders(site: Site) -> None:
    one, two = inner(1), inner(2)
    two.src = FARTHER.mac
    first = pieces(site.segment.arriving(one), (800,), 5)
    second = pieces(site.segment.arriving(two, source=OTHER[site.family]), (800,), 5)
    site.expect([first[0], second[0], first[1], second[1]], [one, two])


def test_a_piece_that_comes_twice(site: Site) -> None:
    parts = pieces(site.segment.arriving(inner()), (800,), 6)
    counting = site.bench.counting()
    site.expect([parts[0], parts[0], parts[1]], [inner()])
    counting.expect(VXLAN_DECAP=1, VXLAN_PIECE=1, DROP_PIECES=1)


def overlapping(whole: Packet) -> dict[str, list[Packet]]:
    """What does not fit together; no two have the same identification."""
    end = len(payload_of(whole))
    return {
        "into the one before": [piece(whole, 0, 800, 11), piece(whole, 792, end, 11)],
        "into the one behind": [piece(whole, 800, end, 12), piece(whole, 0, 808, 12)],
        "within one": [piece(whole, 0, 800, 13), piece(whole, 80, 160, 13)],
        "around one": [piece(whole, 80, 160, 14), piece(whole, 0, 800, 14)],
        "behind the last": [piece(whole, 160, 320, 15, more=False), piece(whole, 320, 800, 15)],
        "two ends": [piece(whole, 160, 320, 16, more=False), piece(whole, 800, end, 16)],
        "an end before others": [
            piece(whole, 800, 960, 17),
            piece(whole, 160, 320, 17, more=False),
        ],
    }


@pytest.mark.parametrize("kind", overlapping(Ether() / IP() / UDP() / Raw(bytes(1600))))
def test_what_overlaps(site: Site, kind: str) -> None:
    """Is dropped, and what would have made it whole as well (RFC 5722)."""
    whole = site.segment.arriving(inner())
    parts = overlapping(whole)[kind]
    number = (parts[0][IP] if site.family == 4 else parts[0][IPv6ExtHdrFragment]).id
    counting = site.bench.counting()
    site.send([*parts, *pieces(whole, (800,), number)])
    counting.expect(DROP_PIECES=4)


def test_pieces_that_no_sender_makes(site: Site) -> None:
    whole = site.segment.arriving(inner())
    end = len(payload_of(whole))
    counting = site.bench.counting()
    # Not a multiple of eight, none at all, and beyond what a packet has room for.
    site.send([piece(whole, 0, 801, 21, more=True), piece(whole, end, end, 22)])
    beyond = piece(whole, 0, 800, 23, more=True)
    if site.family == 4:
        beyond[IP].frag = 0x1FFF
    else:
        beyond[IPv6ExtHdrFragment].offset = 0x1FFF
    site.send([beyond])
    counting.expect(DROP_PIECES=3)


def test_too_many_pieces(site: Site) -> None:
    parts = pieces(site.segment.arriving(inner()), range(8, 16 * 8, 8), 24)
    counting = site.bench.counting()
    site.send(parts)
    counting.expect(DROP_PIECES=len(parts))


def test_late_ones(site: Site) -> None:
    """A packet waits for two seconds; what comes then for it is late itself."""
    first, second = pieces(site.segment.arriving(inner()), (800,), 31)
    counting = site.bench.counting()

    def late(count: int) -> bool:
        site.tick()
        return counting.now().get("DROP_PIECES_LATE") == count

    site.send([first])
    eventually(lambda: late(1), "the piece is given up")
    site.send([second])
    eventually(lambda: late(2), "so is what came too late for it")
    assert counting.now().keys() == {"DROP_PIECES_LATE", "DROP_NOT_FOR_US"}


def test_one_sender_has_no_more_than_its_share(site: Site) -> None:
    """Its oldest packets make room, and another one's wait on."""
    mine, yours = inner(1), inner(2)
    yours.src = FARTHER.mac
    other = pieces(site.segment.arriving(yours, source=OTHER[site.family]), (800,), 41)
    whole = site.segment.arriving(mine)
    lost = [piece(whole, 0, 800, 100 + number) for number in range(2 * SET_PACKETS)]
    last = pieces(whole, (800,), 42)
    counting = site.bench.counting()
    site.send([other[0], *lost])
    counting.expect_some(DROP_PIECES_LATE=SET_PACKETS)
    site.expect([*last, other[1]], [mine, yours])
    counting.expect_some(VXLAN_DECAP=2, VXLAN_PIECE=2)

    def all_late() -> bool:
        site.tick()
        return counting.now().get("DROP_PIECES_LATE") == len(lost)

    eventually(all_late, "the rest is given up as well")


def nonsense(site: Site, random: Random) -> bytes:
    """A piece of a VTEP's with few identifications, so that they meet, and anything else."""
    size = random.choice((0, 1, 8, 64, 800, 1400))
    begin = random.choice((0, 0, 8, 64, 800, 1400, 60000))
    number = random.randrange(300, 310)
    port = random.choice((4789, 4789, 4789, 53))
    whole = site.segment.arriving(inner(length=1400), dport=port)
    part = piece(whole, 0, size, number, more=random.random() < 0.7)
    if site.family == 4:
        part[IP].frag = begin // 8
    else:
        part[IPv6ExtHdrFragment].offset = begin // 8
    frame = bytearray(bytes(part))
    if random.random() < 0.2:
        frame[random.randrange(14, len(frame))] ^= 1 << random.randrange(8)
    return bytes(frame)


@pytest.mark.parametrize("seed", range(2))
def test_nonsense(site: Site, seed: int) -> None:
    """Every frame counts once, wherever it ends; and what is right goes through afterwards."""
    random = Random(seed)
    counting = site.bench.counting("core", noise=frozenset({"FROM_KERNEL", "DROP_NOT_FOR_US"}))

    def all_counted() -> bool:
        site.tick()
        return sum(counting.now().values()) == 150

    site.core.far.send([nonsense(site, random) for _ in range(150)])
    eventually(all_counted, "each frame is counted")
    site.expect(pieces(site.segment.arriving(inner()), (800,), 320), [inner()])


def test_a_stranger(site: Site) -> None:
    """Is the kernel's from the first piece on."""
    whole = site.segment.arriving(inner(), source=STRANGER[site.family])
    counting = site.bench.counting()
    site.passed(pieces(whole, (800,), 51))
    counting.expect(PUNT_LOCAL=2)


def test_a_host_of_the_bridge_as_a_vtep(site: Site) -> None:
    """Its pieces are not put together with those of the VTEP, and harm none of them."""
    if site.family == 4:
        pytest.skip("the kernel puts an af_packet port's IPv4 pieces together")
    site.bench.ip(f"address add 10.9.0.1/24 dev {site.segment.bridge}")
    site.bench.settle()
    ends = (HERE.mac, BRIDGE)
    forged = site.segment.arriving(inner(5001), checksum=0, macs=ends)
    counting = site.bench.counting(site.access.name)
    site.access.far.send(built([pieces(forged, (800,), 70)[1], between(HERE, FAR)]))
    site.core.far.expect(1)
    # Nor do they take a place in the table from others.
    counting.expect(VXLAN_ENCAP=1, PUNT_LOCAL=1)
    whole = site.segment.arriving(inner(), checksum=0)
    site.expect(pieces(whole, (800,), 70), [inner()])

    parts = pieces(site.segment.arriving(inner(5002), checksum=0), (512, 1024), 71)
    site.send(parts[:1])
    overlapping_one = pieces(forged, (256, 1024), 71)[1]
    site.access.far.send(built([overlapping_one, between(HERE, FAR)]))
    site.core.far.expect(1)
    site.expect(parts[1:], [inner(5002)])
    site.bench.ip(f"address del 10.9.0.1/24 dev {site.segment.bridge}")


def test_a_source_that_may_not_come_there(site: Site) -> None:
    """RFC 3704: each piece is judged, not the packet that they make."""
    if site.family == 6:
        pytest.skip("IPv6 has no rp_filter")
    edge = site.bench.cable("edge", "192.0.3.1/24")
    add(site.bench, edge)
    site.bench.run("sysctl", "-q", "net.ipv4.conf.edge.rp_filter=1")
    site.bench.settle()
    ends = (edge.far_mac, edge.mac)
    forged = site.segment.arriving(inner(5001), checksum=0, macs=ends)
    counting = site.bench.counting("edge")
    edge.far.send(built(pieces(forged, (800,), 75)[1:]))
    counting.expect(PUNT_RP_FILTER=1)
    site.expect(pieces(site.segment.arriving(inner(), checksum=0), (800,), 75), [inner()])


@pytest.mark.parametrize("reverse", [False, True])
def test_a_vtep_that_sends_something_else(site: Site, reverse: bool) -> None:
    """Other ports than VXLAN's are the kernel's, though pieces without ports waited before."""
    whole = site.segment.arriving(inner(), dport=4500)
    parts = pieces(whole, (512, 1024), 52 + reverse)
    counting = site.bench.counting()
    site.passed(parts[::-1] if reverse else parts)
    counting.expect(PUNT_LOCAL=3)


def test_more_than_an_mbuf_has_room_for(site: Site) -> None:
    """Such a packet is put together by the kernel."""
    whole = site.segment.arriving(between(FAR, HERE, payload=bytes(3000), df=False))
    counting = site.bench.counting()
    site.passed(pieces(whole, (1000, 2000), 54))
    counting.expect(PUNT_LOCAL=3)


def test_pieces_for_somebody_else(site: Site) -> None:
    """They are routed one by one, also those of a VTEP."""
    target = {4: "198.51.100.9", 6: "2001:db8:2::9"}[site.family]
    beyond = site.bench.port("p1", "198.51.100.1/24", "2001:db8:2::1/64")
    site.bench.neighbour(beyond, target)
    site.bench.settle()
    sent = pieces(site.segment.arriving(inner(), target=target), (800,), 56)
    counting = site.bench.counting()
    seen = site.bench.burst(built(sent), via=site.core.far, at=beyond.far)
    counting.expect(**{f"FORWARD_IP{site.family}": 2})
    ends = (beyond.mac, beyond.far_mac)
    whole = site.segment.arriving(inner(), target=target, macs=ends, ttl=TTL - 1)
    assert [bytes(part) for part in seen] == built(pieces(whole, (800,), 56))


def test_another_protocol(site: Site) -> None:
    """A ping between VTEPs, say."""
    source, target = PEER[site.family], LOCAL[site.family]
    head = Ether(src=site.core.far_mac, dst=site.core.mac)
    ip = IP(src=source, dst=target, proto=253) if site.family == 4 else None
    packet = head / (ip or IPv6(src=source, dst=target, nh=253)) / Raw(bytes(1400))
    counting = site.bench.counting()
    site.passed(pieces(packet, (800,), 55))
    counting.expect(PUNT_LOCAL=2)


def test_congestion_on_the_way(site: Site) -> None:
    """If one piece met it, the packet has (RFC 3168 section 5.3), and so what is inside."""
    frame, wanted = inner(), inner()
    frame[IP].tos, wanted[IP].tos = 2, 3
    whole = site.segment.arriving(frame, tos=2)
    none: dict[str, Any] = {}
    congested: dict[str, Any] = {"tos": 3} if site.family == 4 else {"tc": 3}
    end = len(payload_of(whole))
    for number, marked in enumerate((0, 1)):
        parts = [
            piece(whole, begin, stop, 61 + number, **(congested if place == marked else none))
            for place, (begin, stop) in enumerate(((0, 800), (800, end)))
        ]
        site.expect(parts, [wanted])

    counting = site.bench.counting()
    incapable: dict[str, Any] = dict.fromkeys(congested, 0)
    site.send([piece(whole, 0, 800, 63), piece(whole, 800, end, 63, **incapable)])
    counting.expect(DROP_PIECES=2)


def test_a_piece_that_is_all(site: Site) -> None:
    """IPv6 has such (RFC 6946); others with its identification are none of its business."""
    if site.family == 4:
        pytest.skip("a packet of IPv4 then is no fragment")
    whole = site.segment.arriving(inner(length=1000))
    end = len(payload_of(whole))
    first, second = pieces(site.segment.arriving(inner()), (800,), 71)
    counting = site.bench.counting()
    site.expect([first, piece(whole, 0, end, 71), second], [inner(length=1000), inner()])
    counting.expect(VXLAN_DECAP=2, VXLAN_PIECE=1)


def test_a_vni_that_nobody_has(site: Site) -> None:
    """Who may send is known when there is a VNI, which is in the first piece."""
    whole = site.segment.arriving(inner(), vni=site.segment.vni ^ 1)
    counting = site.bench.counting()
    site.send(pieces(whole, (800,), 85)[::-1])
    counting.expect(DROP_VNI=1, VXLAN_PIECE=1)


def test_a_checksum_that_is_wrong(site: Site) -> None:
    """It is that of the whole packet."""
    whole = site.segment.arriving(inner(), checksum=0x1234)
    counting = site.bench.counting()
    site.send(pieces(whole, (800,), 81))
    counting.expect(DROP_CHECKSUM=1, VXLAN_PIECE=1)


def test_padding_of_short_pieces(site: Site) -> None:
    """What Ethernet adds is no part of them."""
    frame = inner(length=300)
    whole = site.segment.arriving(frame)
    parts = [bytes(part) + b"secret" for part in pieces(whole, (8, 16), 82)]
    received = site.bench.burst(parts, via=site.core.far, at=site.access.far, count=1)
    assert bytes(received[0]) == bytes(frame)


def test_a_port_that_goes(site: Site) -> None:
    """What waited for the rest goes with it: the next port of that number has nothing of it."""
    first, second = pieces(site.segment.arriving(inner(5001)), (800,), 83)
    site.send([first])
    counting = site.bench.counting()
    site.tick()
    counting.expect(DROP_NOT_FOR_US=1)
    site.bench.client.remove_port(site.core.name)
    add(site.bench, site.core)
    site.bench.settle()

    # The second half may become late meanwhile.
    counting = site.bench.counting(noise=NOISE | {"DROP_PIECES_LATE"})
    site.send([second])
    site.expect(pieces(site.segment.arriving(inner()), (800,), 84), [inner()])
    counting.expect(VXLAN_DECAP=1, VXLAN_PIECE=1)
