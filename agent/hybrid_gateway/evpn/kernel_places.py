# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the entries of a VNI are in the kernel, and of which VNI what is there is."""

from collections.abc import Iterable

from ..model import Segment
from .kernel_socket import Fact, FactKind


class Places:
    """Of one set of segments."""

    def __init__(self, segments: Iterable[Segment] = ()) -> None:
        """A VNI that is in there twice counts once, the first time."""
        self.segments: dict[int, Segment] = {}
        for segment in segments:
            self.segments.setdefault(segment.vni, segment)
        found = self.segments.values()
        self.tunnels = frozenset(segment.ifindex for segment in found)
        self.bridges = frozenset(segment.bridge for segment in found)
        self._stations: dict[tuple[int, int], tuple[int, ...]] = {}
        for segment in found:
            place = segment.bridge, segment.vlan
            self._stations[place] = (*self._stations.get(place, ()), segment.vni)
        self._entries = {
            (segment.ifindex, segment.vni if segment.external else 0): (segment.vni,)
            for segment in found
        }

    def vnis(self, fact: Fact) -> tuple[int, ...]:
        """None of them: it is no segment's, like a station in a VLAN that has none. Several: their
        devices are ports of one bridge."""
        if fact.kind == FactKind.STATION:
            return self._stations.get((fact.ifindex, fact.vlan), ())
        if fact.kind in (FactKind.NEIGHBOUR, FactKind.ADDRESS):
            # Of a bridge that filters VLANs, the device itself is in none of a segment's.
            return self._stations.get((fact.ifindex, 0), ())
        return self._entries.get((fact.ifindex, fact.vni), ())

    def of_device(self, ifindex: int) -> list[int]:
        """VNIs that a bridge or a VXLAN device has to do with."""
        return [
            segment.vni
            for segment in self.segments.values()
            if ifindex in (segment.ifindex, segment.bridge)
        ]

    def moved(self, other: "Places") -> list[int]:
        """VNIs that are elsewhere there, or only there."""
        return [
            vni
            for vni, segment in other.segments.items()
            if _place(self.segments.get(vni)) != _place(segment)
        ]


def _place(segment: Segment | None) -> tuple[int, int, int, bool] | None:
    if segment is None:
        return None
    return (segment.ifindex, segment.bridge, segment.vlan, segment.external)
