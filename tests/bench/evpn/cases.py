# SPDX-License-Identifier: GPL-2.0-or-later
"""What is replayed, and what it must reach."""

from collections.abc import Iterator
from dataclasses import dataclass

from tests.bench.evpn import frames
from tests.bench.vxlan.path import ETHERNET_HEADER, JUMBO

MTU = 1500
WHOLE = MTU + ETHERNET_HEADER


@dataclass(frozen=True)
class Case:
    """One direction over one underlay; all stations are known, and every source is checked."""

    name: str
    family: int
    inwards: bool
    limit_ns: float | None  # over testpmd
    size: int = 64  # of the inner frame, bytes with its Ethernet header
    underlay_mtu: int = MTU

    @property
    def pieces(self) -> int:
        """Frames that arrive for each one that leaves to a station."""
        return 2 if self.inwards and self.cut else 1

    @property
    def cut(self) -> bool:
        """It does not fit the underlay."""
        return self.size == WHOLE and self.underlay_mtu == MTU

    def frames(self) -> Iterator[bytes]:
        if self.inwards:
            return frames.inwards(self.size, self.family, self.underlay_mtu)
        return frames.outwards(self.size)


SMALL = (
    Case("evpn.encap.v4.64", 4, inwards=False, limit_ns=75.0),
    Case("evpn.encap.v6.64", 6, inwards=False, limit_ns=90.0),
    Case("evpn.decap.v4.64", 4, inwards=True, limit_ns=75.0),
    Case("evpn.decap.v6.64", 6, inwards=True, limit_ns=75.0),
)
CUT = (
    Case("evpn.encap.v6.cut", 6, inwards=False, limit_ns=300.0, size=WHOLE),
    Case("evpn.decap.v6.cut", 6, inwards=True, limit_ns=300.0, size=WHOLE),
)
"""Into two pieces, and put together out of two."""
LARGE = tuple(
    Case(
        f"evpn.{'decap' if inwards else 'encap'}.v{family}.1500",
        family,
        inwards=inwards,
        limit_ns=None,
        size=WHOLE,
        underlay_mtu=JUMBO,
    )
    for inwards in (False, True)
    for family in (4, 6)
)
"""Over an underlay that they fit, which others need."""
BESIDE = (*SMALL, *LARGE)
"""What others do as well."""
CASES = (*BESIDE, *CUT)
