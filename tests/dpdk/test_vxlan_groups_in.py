# SPDX-License-Identifier: GPL-2.0-or-later
"""What comes out of a tunnel for everybody, a group or nobody known: to all ports, and no VTEP."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import ICMPv6ND_NS, IPv6
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet, Raw

from tests.dpdk.flooded import HEARS, UNKNOWN, Site, changed
from tests.dpdk.harness import NOISE
from tests.dpdk.pieces import pieces
from tests.dpdk.vxlan import FAR, FARTHER, HERE, NOBODY, OTHER, Segment, between, stretch

pytestmark = pytest.mark.dpdk

EVERYBODY = "ff:ff:ff:ff:ff:ff"
SENT = frozenset({"FROM_KERNEL"})
"""Noise: what the gateway's kernel says by itself."""
BURST = 60


@pytest.fixture(scope="module", params=(4, 6))
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    with Site.running("vi", request.param) as running:
        yield running


def ether(to: str = EVERYBODY, source: str = FAR.mac) -> Packet:
    return Ether(src=source, dst=to)


def question(source: str = FAR.mac) -> Packet:
    asks = ARP(op=1, hwsrc=source, psrc=FAR.ip, hwdst=NOBODY, pdst="10.9.0.99")
    return ether(source=source) / asks / Raw(bytes(18))


def broadcast(length: int = 100, **fields: Any) -> Packet:
    head = ether() / IP(src=FAR.ip, dst="255.255.255.255", **fields) / UDP(sport=68, dport=67)
    return head / Raw(bytes(length - 28))


SPEECH = {
    "ARP": question(),
    "broadcast": broadcast(),
    "solicitation": ether("33:33:ff:00:00:10")
    / IPv6(src="fe80::1", dst="ff02::1:ff00:10")
    / ICMPv6ND_NS(tgt="fd00::10"),
}
GROUP = ether("01:00:5e:01:02:03") / IP(src=FAR.ip, dst="239.1.2.3") / UDP(sport=1, dport=2)
STRAY = between(FAR, UNKNOWN)


def is_heard(site: Site, frame: Packet, *, host: bool = True) -> None:
    """By both ports, by the host if it is to, and by nobody else."""
    counting = site.bench.counting("core", noise=SENT)
    for end in site.ends:
        end.forget()
    site.core.far.send([site.segment.arriving(frame)])
    for end in (site.access.far, site.other.far, *([site.heard] if host else [])):
        (one,) = end.expect(1)
        assert bytes(one) == bytes(frame)
    counting.expect(VXLAN_FLOOD=1, VXLAN_COPY=1, **({"VXLAN_HEARD": 1} if host else {}))
    assert site.is_silent()


def is_the_kernels(site: Site, frame: Packet, counter: str) -> None:
    """With its outer headers, as it came; the kernel's VXLAN device floods it."""
    outer = site.segment.arriving(frame)
    counting = site.bench.counting("core", noise=NOISE)
    site.heard.forget()
    (seen,) = site.bench.burst([outer], via=site.core.far, at=site.core.kernel)
    assert bytes(seen) == bytes(outer)
    counting.expect(**{counter: 1})
    assert not site.heard.arrived()
    site.drain()


# ---- who hears --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SPEECH)
def test_everybody(site: Site, name: str) -> None:
    is_heard(site, SPEECH[name])


def test_a_group(site: Site) -> None:
    """Where the bridge knows who listens it is the kernel's."""
    is_heard(site, GROUP)
    command = f"ip link set {site.segment.bridge} type bridge mcast_snooping"
    with changed(site, *command.split(), "1", back=f"{command} 0"):
        is_the_kernels(site, GROUP, "PUNT_MULTICAST")
        for frame in SPEECH.values():
            is_heard(site, frame)


def test_an_unknown_station(site: Site) -> None:
    """The host hears of it when somebody listens on its bridge."""
    is_heard(site, STRAY, host=False)
    command = f"ip link set {site.segment.bridge} promisc"
    with changed(site, *command.split(), "on", back=f"{command} off"):
        is_heard(site, STRAY)


def test_a_burst(site: Site) -> None:
    counting = site.bench.counting("core", noise=SENT)
    frames = [bytes(broadcast(100 + number)) for number in range(BURST)]
    ends = (site.access.far, site.other.far, site.heard)
    for end in ends:
        end.forget()
    site.core.far.send([site.segment.arriving(frame) for frame in frames])
    for end in ends:
        assert [bytes(one) for one in end.expect(BURST)] == frames
    counting.expect(VXLAN_FLOOD=BURST, VXLAN_COPY=BURST, VXLAN_HEARD=BURST)


def test_what_came_in_pieces(site: Site) -> None:
    """It has been put together, and goes on whole."""
    if site.segment.family == 4:
        pytest.skip("the kernel puts them together before an af_packet port sees them")
    frame = broadcast(1472)
    counting = site.bench.counting("core", noise=SENT)
    ends = (site.access.far, site.other.far, site.heard)
    for end in ends:
        end.forget()
    site.core.far.send(pieces(site.segment.arriving(frame), [1000]))
    for end in ends:
        assert [bytes(one) for one in end.expect(1)] == [bytes(frame)]
    counting.expect(VXLAN_FLOOD=1, VXLAN_COPY=1, VXLAN_HEARD=1, VXLAN_PIECE=1)


def test_what_has_met_congestion(site: Site) -> None:
    """All hear of it (RFC 6040), and of one that cannot say so nobody hears."""
    marked = site.segment.arriving(broadcast(tos=2), tos=3)
    ends = (site.access.far, site.other.far, site.heard)
    for end in ends:
        end.forget()
    site.core.far.send([marked])
    for end in ends:
        assert [bytes(one) for one in end.expect(1)] == [bytes(broadcast(tos=3))]
    counting = site.bench.counting("core", noise=SENT)
    site.core.far.send([site.segment.arriving(broadcast(), tos=3)])
    counting.expect(DROP_ECN=1)


def test_one_port_is_down(site: Site) -> None:
    with changed(site, "ip", "link", "set", "p1", "down", back="ip link set p1 up"):
        counting = site.bench.counting("core", noise=SENT)
        for end in site.ends:
            end.forget()
        site.core.far.send([site.segment.arriving(broadcast())])
        for end in (site.access.far, site.heard):
            assert [bytes(one) for one in end.expect(1)] == [bytes(broadcast())]
        counting.expect(VXLAN_FLOOD=1, VXLAN_HEARD=1)
        assert site.is_silent()


# ---- when it is the kernel's ------------------------------------------------------------------


def test_a_station_that_has_to_be_learned(site: Site) -> None:
    segment = site.segment
    device = segment.device
    command = f"bridge link set dev {device} learning"
    with changed(site, *command.split(), "on", back=f"{command} off"):
        is_heard(site, broadcast())
        is_the_kernels(site, question(FARTHER.mac), "PUNT_LEARN")
    segment.fdb("del", FARTHER.mac, "dev", device, "master")
    site.bench.settle()


def test_a_port_of_the_kernel(site: Site) -> None:
    site.bench.ip("link add kernel0 type veth peer name kernel1")
    join = f"ip link set kernel0 master {site.segment.bridge}"
    with changed(site, *join.split(), back="ip link del kernel0"):
        is_the_kernels(site, broadcast(), "PUNT_MULTICAST")
        is_the_kernels(site, question(), "PUNT_ARP")
        is_the_kernels(site, STRAY, "PUNT_BRIDGE_MISS")
    is_heard(site, broadcast())


def test_a_port_that_does_not_get_all(site: Site) -> None:
    command = "bridge link set dev p1 bcast_flood"
    with changed(site, *command.split(), "off", back=f"{command} on"):
        is_the_kernels(site, broadcast(), "PUNT_MULTICAST")
        is_the_kernels(site, STRAY, "PUNT_BRIDGE_MISS")


def test_no_port_that_could_hear(site: Site) -> None:
    """The kernel has what there is to hear all the same."""
    site.bench.ip("link set p1 down", "link set p0 nomaster")
    site.bench.settle()
    try:
        is_the_kernels(site, broadcast(), "PUNT_MULTICAST")
    finally:
        site.bench.ip(f"link set p0 master {site.segment.bridge}", "link set p1 up")
        site.segment.station(HERE, site.access)
        site.bench.settle()


def test_longer_than_a_port_takes(site: Site) -> None:
    """One that could is left out as well, and the kernel counts why."""
    command = "ip link set p1 mtu"
    with changed(site, *command.split(), "1280", back=f"{command} 1500"):
        # The bridge's MTU is that of its smallest port.
        is_the_kernels(site, broadcast(1400), "PUNT_MULTICAST")
        is_heard(site, broadcast(1200))


def test_a_tap_that_is_down(site: Site) -> None:
    """Who is not for the host is flooded all the same."""
    command = f"ip link set {HEARS}"
    with changed(site, *command.split(), "down", back=f"{command} up"):
        is_the_kernels(site, broadcast(), "PUNT_MULTICAST")
        is_heard(site, STRAY, host=False)


def test_a_worker_that_was_not_told(site: Site) -> None:
    site.bench.client.set_segments([replace(site.segment.wanted, heard="")])
    site.bench.settle()
    is_the_kernels(site, broadcast(), "PUNT_MULTICAST")
    is_heard(site, STRAY, host=False)
    stretch(site.bench, site.segment)


def test_a_second_segment_of_the_bridge(site: Site) -> None:
    """What comes from one has to go to the other: the kernel does that."""
    family = site.segment.family
    second = Segment.made(
        site.bench, site.core, [], family=family, vni=101, device="vx1", heard=HEARS
    )
    second.flood(OTHER[family])
    stretch(site.bench, site.segment, second)
    try:
        for _ in range(2):
            is_the_kernels(site, broadcast(), "PUNT_MULTICAST")
            is_the_kernels(site, STRAY, "PUNT_BRIDGE_MISS")
        statuses = site.bench.client.status().segments
        assert [one.flood_problem for one in statuses] == [
            "port vx1 of its bridge is not the worker's",
            "port vx0 of its bridge is not the worker's",
        ]
    finally:
        site.bench.ip("link del vx1")
        stretch(site.bench, site.segment)
    is_heard(site, broadcast())
