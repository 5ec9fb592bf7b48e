# SPDX-License-Identifier: GPL-2.0-or-later
"""A worker with one segment that floods: two access ports, two VTEPs, and a host that may hear.

HERE is at the first port, FAR behind PEER, and nobody knows where UNKNOWN is.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from hybrid_gateway.lab import namespaces
from hybrid_gateway.worker_values import SegmentStatus
from tests.dpdk.harness import NOISE, Bench
from tests.dpdk.vxlan import (
    FAR,
    HERE,
    OTHER,
    PEER,
    Segment,
    between,
    identification,
    source_port,
    stretch,
    underlay,
    with_tunnels,
)
from tests.dpdk.wires import Cable, End

UNKNOWN = "02:00:00:00:09:99"
HEARS = "hear0"
"""The TAP by which the bridge would hear; here it is the end of the way."""

ARP_TYPE, IPV6_TYPE, ICMPV6 = 0x0806, 0x86DD, 58


@dataclass
class Site:
    bench: Bench
    core: Cable
    access: Cable
    other: Cable
    segment: Segment
    heard: End

    @classmethod
    @contextmanager
    def running(cls, name: str, family: int, *, hears: bool = True) -> Iterator["Site"]:
        """Without `hears` there is such a TAP as well, and nobody tells the worker."""
        with Bench.running(name, with_tunnels(1024)) as bench:
            core = underlay(bench)
            access, other = bench.port("p0"), bench.port("p1")
            # A bridge that looks into IGMP joins a group of its own.
            namespaces.write_sysctl(bench.gw, "net/ipv4/igmp_link_local_mcast_reports", "0")
            heard = HEARS if hears else ""
            segment = Segment.made(bench, core, [access, other], family=family, heard=heard)
            segment.flood(OTHER[family])
            segment.station(HERE, access)
            segment.station(FAR, PEER[family])
            tap = listening(bench)
            stretch(bench, segment)
            yield cls(bench, core, access, other, segment, tap)

    @property
    def vteps(self) -> tuple[str, str]:
        return PEER[self.segment.family], OTHER[self.segment.family]

    @property
    def status(self) -> SegmentStatus:
        (status,) = self.bench.client.status().segments
        return status

    @property
    def ends(self) -> tuple[End, ...]:
        """Wherever a frame may arrive."""
        cables = self.core, self.access, self.other
        return *(end for cable in cables for end in (cable.far, cable.kernel)), self.heard

    def leaves(self, frame: Packet, seen: Packet, vtep: str) -> bytes:
        fields = {"ip": {"id": identification(seen)}} if self.segment.family == 4 else {}
        sport = source_port(seen)
        return bytes(self.segment.leaving(frame, target=vtep, sport=sport, **fields))

    def is_search(self, packet: Packet) -> bool:
        """The gateway's kernel asks for a neighbour, as it does for a while if nobody answers."""
        if packet.src != self.core.mac:
            return False
        if packet.type == IPV6_TYPE:
            return bool(packet[IPv6].nh == ICMPV6)
        return bool(packet.type == ARP_TYPE)

    def at_core(self, count: int) -> list[Packet]:
        """The next frames of the underlay that are no search of the kernel's for somebody."""
        packets: list[Packet] = []
        for packet in self.core.far.arriving():
            if not self.is_search(packet):
                packets.append(packet)
            if len(packets) == count:
                break
        assert len(packets) == count
        return packets

    def to_core(self, frames: list[Packet] | list[bytes], count: int) -> list[Packet]:
        """Sends these from HERE; so many arrive at the underlay."""
        self.core.far.forget()
        self.access.far.send(frames)
        return self.at_core(count)

    def is_silent(self) -> bool:
        """Nothing more has arrived anywhere."""
        packets = (packet for end in self.ends for packet in end.arrived())
        return all(self.is_search(packet) for packet in packets)

    def flooded(self, frame: Packet, *vteps: str) -> None:
        """To these, and as it is to the other port; nothing comes back by its own."""
        for cable in (self.core, self.access, self.other):
            cable.far.forget()
        self.access.far.send([frame])
        (bridged,) = self.other.far.expect(1)
        assert bytes(bridged) == bytes(frame)
        seen = self.at_core(len(vteps))
        assert sorted(target(packet) for packet in seen) == sorted(vteps)
        for packet in seen:
            assert bytes(packet) == self.leaves(frame, packet, target(packet))
        assert not self.access.far.arrived()

    def left_to_the_kernel(self, frame: Packet, counter: str = "PUNT_BRIDGE_MISS") -> None:
        """Which floods it as well, but for no copy of ours."""
        counting = self.bench.counting("p0", noise=NOISE)
        self.heard.forget()
        (seen,) = self.bench.burst([frame], via=self.access.far, at=self.access.kernel)
        assert bytes(seen) == bytes(frame)
        counting.expect(**{counter: 1})
        assert not self.heard.arrived()
        self.drain()

    def drain(self) -> None:
        """What the kernel has flooded so far has arrived, and is forgotten: behind it comes a frame
        that it sends by each port."""
        ports = self.bench.client.status().ports
        for cable in (self.core, self.access, self.other):
            if not ports[cable.name].admin_up:
                continue
            last = Ether(dst=cable.far_mac, src=cable.mac, type=0x88B5) / Raw(os.urandom(46))
            # A socket says once that its device has been down.
            cable.kernel.forget()
            cable.kernel.send([last])
            arriving = (bytes(packet) for packet in cable.far.arriving())
            assert bytes(last) in arriving
        self.heard.forget()


def target(packet: Packet) -> str:
    return str(packet.payload.dst)


@contextmanager
def changed(site: Site, *words: str, back: str) -> Iterator[None]:
    """What a program of the gateway's makes different, and how it is undone."""
    site.bench.run(*words)
    site.bench.settle()
    try:
        yield
    finally:
        site.bench.run(*back.split())
        site.bench.settle()


def unknown(length: int = 100) -> Packet:
    return between(HERE, UNKNOWN, payload=bytes(length - 28), df=False)


def listening(bench: Bench) -> End:
    """HEARS, made and up."""
    bench.ip(f"tuntap add dev {HEARS} mode tap")
    namespaces.write_sysctl(bench.gw, f"net/ipv6/conf/{HEARS}/disable_ipv6", "1")
    bench.ip(f"link set {HEARS} up")
    return End(bench.gw, HEARS, bench.stack)


@contextmanager
def cutting(site: Site) -> Iterator[None]:
    """What the underlay does not take is cut."""
    site.bench.client.set_segments([replace(site.segment.wanted, fragment=True)])
    site.bench.settle()
    try:
        yield
    finally:
        stretch(site.bench, site.segment)
