# SPDX-License-Identifier: GPL-2.0-or-later
"""A worker with one segment over each family: an access port, a bridge, a VXLAN device.

HERE is at the access port, THERE at a second one, FAR behind PEER, FARTHER behind OTHER.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from scapy.layers.l2 import Ether
from scapy.packet import Packet

from tests.dpdk.harness import Bench
from tests.dpdk.vxlan import (
    FAMILIES,
    FAR,
    FARTHER,
    HERE,
    OTHER,
    PEER,
    SIZES,
    THERE,
    Segment,
    identification,
    source_port,
    stretch,
    underlay,
    with_tunnels,
)
from tests.dpdk.wires import Cable


@dataclass(frozen=True, slots=True)
class Stretched:
    """`access` and `second` are the ports of each family's bridge."""

    bench: Bench
    core: Cable
    access: dict[int, Cable]
    second: dict[int, Cable]
    segments: dict[int, Segment]

    @classmethod
    @contextmanager
    def running(cls, name: str) -> Iterator["Stretched"]:
        options = replace(with_tunnels(), memory_mb=192, mbufs=20480)
        with Bench.running(name, options) as bench:
            core = underlay(bench)
            access = {family: bench.port(f"p{family}") for family in FAMILIES}
            second = {family: bench.port(f"q{family}") for family in FAMILIES}
            segments = {
                family: Segment.made(
                    bench,
                    core,
                    [access[family], second[family]],
                    family=family,
                    vni=0xABCD00 + family,
                    device=f"vx{family}",
                    bridge=f"br{family}",
                )
                for family in FAMILIES
            }
            for family, segment in segments.items():
                segment.station(HERE, access[family])
                segment.station(THERE, second[family])
                segment.station(FAR, PEER[family])
                segment.station(FARTHER, OTHER[family])
            yield cls(bench, core, access, second, segments)

    def as_made(self) -> None:
        """With the options of `Segment.made`."""
        stretch(self.bench, *self.segments.values())

    def options(self, family: int, **options: Any) -> None:
        """The segment of that family gets these fields of WorkerSegment instead of its own."""
        segments = dict(self.segments)
        wanted = replace(segments[family].wanted, **options)
        segments[family] = replace(segments[family], wanted=wanted)
        stretch(self.bench, *segments.values())

    def all_options(self, **options: Any) -> None:
        """Both segments get them."""
        segments = self.segments.values()
        stretch(self.bench, *(replace(s, wanted=replace(s.wanted, **options)) for s in segments))

    # ---- into the tunnel ----

    def sent(self, inner: Packet | bytes, family: int) -> Packet:
        """What leaves by the core for a frame from HERE."""
        counting = self.bench.counting()
        seen = self.through(inner, family, self.core)
        counting.expect(VXLAN_ENCAP=1)
        return seen

    def through(self, inner: Packet | bytes, family: int, by: Cable) -> Packet:
        """Sends it from HERE; the outer frame around it that leaves by that port, whatever else the
        kernel sends there of what it got before."""
        by.far.forget()
        self.access[family].far.send([inner])
        for seen in by.far.arriving():
            if bytes(seen)[SIZES[family] :] == bytes(inner):
                return seen
        raise AssertionError(f"nothing left by {by.name} for {Ether(bytes(inner)).summary()}")

    def leaving(self, inner: Packet | bytes, family: int, seen: Packet, **fields: Any) -> Packet:
        """What whoever reads RFC 7348 would send, but for the source port and the identification
        that were chosen: these are those of `seen`."""
        chosen = {"sport": source_port(seen)}
        if family == 4:
            ip = {"id": identification(seen)} | fields.pop("ip", {})
            return self.segments[4].leaving(inner, ip=ip, **(chosen | fields))
        return self.segments[6].leaving(inner, **(chosen | fields))

    def kept(self, inner: Packet | bytes, family: int, **counters: int) -> None:
        """A frame from HERE that the kernel gets by the port's TAP, as it came."""
        port = self.access[family]
        counting = self.bench.counting()
        (seen,) = self.bench.burst([inner], via=port.far, at=port.kernel)
        assert bytes(seen) == bytes(inner)
        counting.expect(**counters)

    # ---- out of the tunnel ----

    def delivered(self, inner: Packet | bytes, family: int, **fields: Any) -> None:
        """From PEER to HERE, as it was; `fields` are those of `around`."""
        self.taken(self.segments[family].arriving(inner, **fields), inner, family)

    def taken(self, outer: Packet | bytes, inner: Packet | bytes, family: int) -> None:
        """The same, of an outer frame."""
        counting = self.bench.counting("core")
        seen = self.bench.send_and_expect(outer, via=self.core.far, at=self.access[family].far)
        assert bytes(seen) == bytes(inner)
        counting.expect(VXLAN_DECAP=1)

    def punted(self, outer: Packet | bytes, **counters: int) -> None:
        """The kernel gets it by the core's TAP, with its outer headers, as it came."""
        counting = self.bench.counting("core")
        (seen,) = self.bench.burst([outer], via=self.core.far, at=self.core.kernel)
        assert bytes(seen) == bytes(outer)
        counting.expect(**counters)

    def dropped(self, outer: Packet | bytes, **counters: int) -> None:
        counting = self.bench.counting("core")
        self.core.far.send([outer])
        counting.expect(**counters)
