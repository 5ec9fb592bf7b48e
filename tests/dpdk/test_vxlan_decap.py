# SPDX-License-Identifier: GPL-2.0-or-later
"""Out of a tunnel: who is believed, and what of the outer headers counts."""

from collections.abc import Iterator
from typing import Any

import pytest
from scapy.layers.inet import IP, UDP, IPOption
from scapy.layers.inet6 import (
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
)
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from hybrid_gateway.lab import namespaces
from tests.dpdk.stretched import Stretched
from tests.dpdk.test_vxlan_encap import ip4, ip6, other
from tests.dpdk.vxlan import (
    FAMILIES,
    FAR,
    FARTHER,
    HERE,
    LOCAL,
    OTHER,
    PEER,
    SIZES,
    STRANGER,
    between,
)
from tests.dpdk.wires import DEAF

pytestmark = pytest.mark.dpdk
families = pytest.mark.parametrize("family", FAMILIES)
BRIDGE = "02:00:00:00:09:01"
"""The MAC address of both bridges themselves."""
GROUP = "03:00:00:00:09:99"
SECOND_LOCAL = {4: "192.0.2.77", 6: "2001:db8:1::77"}
"""Another address of the gateway's, which no segment has."""


@pytest.fixture(scope="module")
def made() -> Iterator[Stretched]:
    with Stretched.running("vd") as running:
        running.bench.ip(
            f"address add {SECOND_LOCAL[4]}/24 dev core",
            f"address add {SECOND_LOCAL[6]}/64 dev core nodad",
        )
        running.bench.port("edge", "192.0.3.1/24", "2001:db8:3::1/64")
        yield running


@pytest.fixture
def sides(made: Stretched) -> Stretched:
    made.as_made()
    return made


def back(inner: Packet) -> Packet:
    """The same, from FAR to HERE."""
    inner.src, inner.dst = FAR.mac, HERE.mac
    return inner


# ---- the frame -------------------------------------------------------------------------


@families
@pytest.mark.parametrize("inner", [between(FAR, HERE), back(ip4()), back(ip6()), back(other())])
def test_the_whole_frame(sides: Stretched, family: int, inner: Packet) -> None:
    sides.delivered(inner, family)


@families
def test_inner_frames_of_every_length(sides: Stretched, family: int) -> None:
    for kind in (b"\x08\0", b"\x86\xdd", b"\x90\0"):
        start = bytes(back(other()))[:12] + kind
        for length in (14, 15, 33, 34, 53, 54, 55, 60, 255, 256, 1443, 1444):
            inner = start + bytes(i % 253 for i in range(length - 14))
            sides.delivered(inner, family)


@families
@pytest.mark.parametrize("sport", [0, 1, 4789, 65535])
def test_any_source_port_is_believed(sides: Stretched, family: int, sport: int) -> None:
    sides.delivered(between(FAR, HERE), family, sport=sport)


@families
def test_a_checksum_of_zero_is_accepted(sides: Stretched, family: int) -> None:
    """RFC 7348 section 4.3, RFC 6935 for IPv6."""
    sides.delivered(between(FAR, HERE), family, checksum=0)


@families
def test_a_wrong_checksum(sides: Stretched, family: int) -> None:
    segment = sides.segments[family]
    right = segment.arriving(between(FAR, HERE))
    for place in (SIZES[family] - 10, SIZES[family] - 16, SIZES[family] - 7, len(right) - 1):
        wrong = bytearray(bytes(right))
        wrong[place] ^= 0x10
        sides.dropped(bytes(wrong), DROP_CHECKSUM=1)
    # An address that is in no other checksum, but in UDP's.
    if family == 6:
        wrong = bytearray(bytes(right))
        wrong[22 + 15] ^= 0x40
        sides.dropped(bytes(wrong), DROP_CHECKSUM=1)


# ---- what VXLAN says -------------------------------------------------------------------


@families
def test_reserved_bits_are_ignored(sides: Stretched, family: int) -> None:
    """RFC 7348 section 5; those but the I flag, and the VNI."""
    inner = between(FAR, HERE)
    frame = bytes(sides.segments[family].arriving(inner, checksum=0))
    for bit in (0, 3, 5, 8, 31, 56, 63):
        changed = bytearray(frame)
        changed[SIZES[family] - 8 + bit // 8] ^= 0x80 >> bit % 8
        sides.taken(bytes(changed), inner, family)


@families
def test_without_the_flag(sides: Stretched, family: int) -> None:
    for flags in (0, 0x80, 0xF7):
        frame = sides.segments[family].arriving(between(FAR, HERE), vxlan={"flags": flags})
        sides.dropped(frame, DROP_VXLAN=1)


@families
def test_vnis_that_nobody_has(sides: Stretched, family: int) -> None:
    segment = sides.segments[family]
    for vni in (0, segment.vni - 1, segment.vni ^ 0x800000, 0xFFFFFF):
        sides.dropped(segment.arriving(between(FAR, HERE), vni=vni), DROP_VNI=1)


@families
def test_a_vni_of_the_other_family(sides: Stretched, family: int) -> None:
    frame = sides.segments[family].arriving(between(FAR, HERE), vni=sides.segments[10 - family].vni)
    sides.dropped(frame, DROP_VNI=1)


@families
@pytest.mark.parametrize("length", [0, 8, 15, 1000])
def test_lengths_that_make_no_sense(sides: Stretched, family: int, length: int) -> None:
    frame = sides.segments[family].arriving(
        between(FAR, HERE), checksum=0, udp={"len": length, "chksum": 0}
    )
    sides.dropped(frame, DROP_VXLAN=1)


@families
@pytest.mark.parametrize("inner", [b"", b"\0", bytes(13)])
def test_without_a_whole_inner_frame(sides: Stretched, family: int, inner: bytes) -> None:
    """Padding behind the packet is none of it."""
    sides.dropped(sides.segments[family].arriving(inner), DROP_VXLAN=1)


@families
def test_something_behind_the_packet(sides: Stretched, family: int) -> None:
    """The inner frame would be longer than it is: the kernel cuts it off."""
    frame = bytes(sides.segments[family].arriving(between(FAR, HERE))) + b"secret"
    sides.punted(frame, PUNT_VXLAN=1)


# ---- who sends, and to whom -----------------------------------------------------------------


@families
def test_strangers(sides: Stretched, family: int) -> None:
    segment = sides.segments[family]
    sides.dropped(segment.arriving(between(FAR, HERE), source=STRANGER[family]), DROP_VTEP=1)
    # A VTEP because a station is behind it.
    inner = between(FARTHER, HERE)
    sides.taken(segment.arriving(inner, source=OTHER[family]), inner, family)


@families
def test_from_our_own_address(sides: Stretched, family: int) -> None:
    """Nothing of ours comes by a wire. Of IPv4 the kernel says so, and has a switch for it."""
    frame = sides.segments[family].arriving(between(FAR, HERE), source=LOCAL[family])
    for any_source in (False, True):
        sides.options(family, any_source=any_source)
        if family == 4:
            sides.punted(frame, PUNT_SOURCE=1)
        elif not any_source:
            sides.dropped(frame, DROP_VTEP=1)


@families
def test_headers_that_may_hide_something(sides: Stretched, family: int) -> None:
    """Options and extension headers are the kernel's; UDP is not where it seems to be."""
    right = sides.segments[family].arriving(between(FAR, HERE), checksum=0)
    if family == 4:
        right[IP].options = IPOption(bytes.fromhex("0101010100000000"))
        right[IP].ihl = 7
        sides.punted(right, PUNT_OPTIONS=1)
        return
    for header in (IPv6ExtHdrDestOpt(), IPv6ExtHdrRouting()):
        head = Ether(src=right.src, dst=right.dst)
        outer = IPv6(src=right[IPv6].src, dst=right[IPv6].dst)
        sides.punted(head / outer / header / right[UDP], PUNT_LOCAL=1)
    hops = Ether(src=right.src, dst=right.dst) / IPv6(src=PEER[6], dst=LOCAL[6])
    sides.punted(hops / IPv6ExtHdrHopByHop() / right[UDP], PUNT_OPTIONS=1)


@families
def test_a_listed_segment(sides: Stretched, family: int) -> None:
    """Only those, whatever the FDB says."""
    segment = sides.segments[family]
    sides.options(family, listed=True, sources=(STRANGER[family],))
    inner = between(FAR, HERE)
    sides.taken(segment.arriving(inner, source=STRANGER[family]), inner, family)
    sides.dropped(segment.arriving(inner), DROP_VTEP=1)


@families
def test_any_source(sides: Stretched, family: int) -> None:
    segment = sides.segments[family]
    sides.options(family, any_source=True)
    inner = between(FAR, HERE)
    sides.delivered(inner, family)
    sides.taken(segment.arriving(inner, source=STRANGER[family]), inner, family)
    sides.dropped(segment.arriving(inner, vni=segment.vni ^ 1), DROP_VNI=1)


@families
def test_another_address_of_ours(sides: Stretched, family: int) -> None:
    """Nobody is a VTEP there, and the kernel does not get it either: it would believe anybody."""
    for source in (PEER[family], STRANGER[family]):
        frame = sides.segments[family].arriving(
            between(FAR, HERE), source=source, target=SECOND_LOCAL[family]
        )
        sides.dropped(frame, DROP_VTEP=1)


@families
def test_another_port_is_not_vxlan(sides: Stretched, family: int) -> None:
    for dport in (1, 4788, 8472):
        frame = sides.segments[family].arriving(between(FAR, HERE), dport=dport)
        sides.punted(frame, PUNT_LOCAL=1)


@families
def test_what_is_for_somebody_else(sides: Stretched, family: int) -> None:
    """Goes through, as any packet that is routed."""
    sides.bench.ip(
        f"route replace {'10.77.0.0/24' if family == 4 else '2001:db8:77::/64'} via {OTHER[family]}"
    )
    sides.bench.settle()
    target = {4: "10.77.0.1", 6: "2001:db8:77::1"}[family]
    frame = sides.segments[family].arriving(between(FAR, HERE), target=target)
    counting = sides.bench.counting("core")
    sides.core.far.send([frame] * 10)
    counting.expect_some(**{f"FORWARD_IP{family}": 1})


@pytest.mark.parametrize("family", [6])
def test_fragments_of_strangers(sides: Stretched, family: int) -> None:
    """The kernel puts them together, for whatever it is."""
    frame = sides.segments[family].arriving(between(FAR, HERE), source=STRANGER[family])
    piece = bytearray(bytes(frame))
    piece[14 + 6] = 44
    sides.punted(bytes(piece), PUNT_LOCAL=1)


@families
def test_vxlan_in_vxlan(sides: Stretched, family: int) -> None:
    """To the bridge's own address: the kernel takes off both."""
    segment = sides.segments[family]
    nested = segment.arriving(between(FAR, HERE), macs=(FAR.mac, BRIDGE))
    sides.punted(segment.arriving(nested), PUNT_LOCAL=1)


# ---- devices that do not forward ------------------------------------------------------------


@pytest.fixture
def hosts(sides: Stretched) -> Iterator[Stretched]:
    """The core port forwards neither family."""
    keys = ("net.ipv4.conf.core.forwarding", "net.ipv6.conf.all.forwarding")
    for key in keys:
        sides.bench.run("sysctl", "-q", f"{key}=0")
    sides.bench.settle()
    yield sides
    for key in keys:
        sides.bench.run("sysctl", "-q", f"{key}=1")
    sides.bench.settle()


@families
def test_a_vtep_that_is_no_router(hosts: Stretched, family: int) -> None:
    segment = hosts.segments[family]
    hosts.delivered(between(FAR, HERE), family)
    hosts.dropped(segment.arriving(between(FAR, HERE), source=STRANGER[family]), DROP_VTEP=1)
    frame = segment.arriving(between(FAR, HERE), target=STRANGER[family])
    hosts.punted(frame, PUNT_NOT_FORWARDING=1)
    hosts.punted(segment.arriving(between(FAR, HERE), dport=53), PUNT_NOT_FORWARDING=1)


@families
def test_headers_that_make_no_sense_there(hosts: Stretched, family: int) -> None:
    right = bytes(hosts.segments[family].arriving(between(FAR, HERE)))
    places = {4: (14, 14 + 3, 14 + 8), 6: (14,)}[family]
    for place in places:
        wrong = bytearray(right)
        wrong[place] ^= 0x90
        hosts.punted(bytes(wrong), PUNT_NOT_FORWARDING=1)
    cut = right[: SIZES[family] - 3]
    hosts.punted(cut, PUNT_NOT_FORWARDING=1)


@families
def test_sources_that_no_host_has_there(hosts: Stretched, family: int) -> None:
    """Not even where everybody is believed: they are the kernel's to judge (RFC 1812 5.3.7)."""
    segment = hosts.segments[family]
    hosts.options(family, any_source=True)
    hosts.taken(
        segment.arriving(between(FAR, HERE), source=STRANGER[family]), between(FAR, HERE), family
    )
    odd = {4: ("0.0.0.1", "127.0.0.1", "224.0.0.5", SECOND_LOCAL[4]), 6: ("::1", "ff02::5")}
    for source in odd[family]:
        frame = segment.arriving(between(FAR, HERE), source=source)
        hosts.punted(frame, PUNT_NOT_FORWARDING=1)


def test_a_source_that_may_not_come_there(hosts: Stretched) -> None:
    """RFC 3704, of a port that forwards nothing as well."""
    edge = hosts.bench.ports["edge"]
    hosts.bench.run("sysctl", "-q", "net.ipv4.conf.edge.rp_filter=1")
    hosts.bench.run("sysctl", "-q", "net.ipv4.conf.edge.forwarding=0")
    hosts.bench.settle()
    ends = (edge.far_mac, edge.mac)
    frame = hosts.segments[4].arriving(between(FAR, HERE), macs=ends)
    counting = hosts.bench.counting("edge")
    (seen,) = hosts.bench.burst([frame], via=edge.far, at=edge.kernel)
    assert bytes(seen) == bytes(frame)
    counting.expect(PUNT_NOT_FORWARDING=1)
    hosts.bench.run("sysctl", "-q", "net.ipv4.conf.edge.rp_filter=0")
    hosts.bench.settle()
    seen = hosts.bench.send_and_expect(frame, via=edge.far, at=hosts.access[4].far)
    assert bytes(seen) == bytes(between(FAR, HERE))


# ---- congestion --------------------------------------------------------------------------

NOT_ECT, ECT1, ECT0, CE = range(4)
# RFC 6040 figure 4: outer and inner, and what comes out; None is dropped.
COMBINED: dict[tuple[int, int], int | None] = {
    (NOT_ECT, NOT_ECT): NOT_ECT,
    (NOT_ECT, ECT0): ECT0,
    (NOT_ECT, ECT1): ECT1,
    (NOT_ECT, CE): CE,
    (ECT0, NOT_ECT): NOT_ECT,
    (ECT0, ECT0): ECT0,
    (ECT0, ECT1): ECT1,
    (ECT0, CE): CE,
    (ECT1, NOT_ECT): NOT_ECT,
    (ECT1, ECT0): ECT1,
    (ECT1, ECT1): ECT1,
    (ECT1, CE): CE,
    (CE, NOT_ECT): None,
    (CE, ECT0): CE,
    (CE, ECT1): CE,
    (CE, CE): CE,
}


def marked(kind: int, ecn: int, **ends: str) -> Packet:
    """A frame with that mark, and some DSCP."""
    tos = 0xB8 | ecn
    packet: Any = ip4(tos=tos) if kind == 4 else ip6(tc=tos)
    inner = back(packet)
    for name, value in ends.items():
        setattr(inner, name, value)
    return inner


@families
@pytest.mark.parametrize("kind", [4, 6])
def test_congestion_marks(sides: Stretched, family: int, kind: int) -> None:
    for (outer, ecn), result in COMBINED.items():
        frame = sides.segments[family].arriving(marked(kind, ecn), tos=0x20 | outer)
        if result is None:
            sides.dropped(frame, DROP_ECN=1)
        else:
            sides.taken(frame, marked(kind, result), family)


@families
def test_marks_on_what_has_none(sides: Stretched, family: int) -> None:
    sides.delivered(back(other()), family, tos=CE)


@pytest.fixture
def deaf(sides: Stretched) -> Iterator[Stretched]:
    """Behind the test's socket the kernel drops what it gets: it would write marks into frames that
    wait there to be read."""
    deaf = DEAF.format(wire=sides.core.name)
    namespaces.run(namespaces.inside(sides.bench.gw, ["nft", "-f", "-"]), stdin=deaf)
    yield sides
    sides.bench.run("nft", "delete", "table", "netdev", sides.core.name)


@families
@pytest.mark.parametrize("kind", [4, 6])
def test_marks_of_what_the_kernel_gets(deaf: Stretched, family: int, kind: int) -> None:
    """It judges them itself: also of what has no way to say that it met congestion."""
    sides = deaf
    segment = sides.segments[family]
    # One of the bridge's addresses, but not the bridge's own.
    port = sides.access[family].mac
    for ecn in (NOT_ECT, ECT0):
        frame = segment.arriving(marked(kind, ecn, dst=port), tos=CE)
        sides.punted(frame, PUNT_BRIDGE_MISS=1)
    sides.dropped(segment.arriving(marked(kind, NOT_ECT, src=GROUP), tos=CE), DROP_INNER=1)


@families
@pytest.mark.parametrize("kind", [4, 6])
def test_marks_of_what_is_routed(deaf: Stretched, family: int, kind: int) -> None:
    """They are on the inner packet when it turns out to be the kernel's; all checksums agree."""
    sides = deaf
    segment = sides.segments[family]
    for checksum in (0, None):
        frame = segment.arriving(marked(kind, ECT0, dst=BRIDGE), tos=CE, checksum=checksum)
        wanted = segment.arriving(marked(kind, CE, dst=BRIDGE), tos=CE, checksum=checksum)
        counting = sides.bench.counting("core")
        (seen,) = sides.bench.burst([frame], via=sides.core.far, at=sides.core.kernel)
        assert bytes(seen) == bytes(wanted)
        counting.expect(PUNT_NO_ROUTE=1)
    frame = segment.arriving(marked(kind, NOT_ECT, dst=BRIDGE), tos=CE)
    sides.dropped(frame, DROP_ECN=1)


# ---- many at once -------------------------------------------------------------------------


@families
def test_a_burst_of_all_kinds(sides: Stretched, family: int) -> None:
    """Each frame its own way, and in order."""
    segment = sides.segments[family]
    good = [between(FAR, HERE, payload=bytes([i])) for i in range(100)]
    frames: list[Packet] = []
    for inner in good:
        frames.append(segment.arriving(inner))
        frames.append(segment.arriving(inner, vni=7))
        frames.append(segment.arriving(between(FARTHER, HERE), source=STRANGER[family]))
    counting = sides.bench.counting("core")
    at = sides.access[family].far
    seen = sides.bench.burst(frames, via=sides.core.far, at=at, count=len(good))

    assert [bytes(one) for one in seen] == [bytes(inner) for inner in good]
    counting.expect(VXLAN_DECAP=100, DROP_VNI=100, DROP_VTEP=100)
