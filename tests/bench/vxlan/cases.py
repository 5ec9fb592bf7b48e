# SPDX-License-Identifier: GPL-2.0-or-later
"""The cases of the group vxlan, by the setup that they run in."""

from tests.bench.generator import Flows, Traffic
from tests.bench.measure import Case
from tests.bench.vxlan.path import JUMBO, STATIONS, TunnelSetup

FRAMES = 1_000_000
VTEPS = 8
FLOWS = Flows(STATIONS, destinations=VTEPS)


def _case(name: str, *, backwards: bool = False) -> Case:
    """Every pair of stations has met before."""
    return Case(
        name,
        Traffic(FRAMES, FLOWS, backwards=backwards),
        Traffic(STATIONS, FLOWS, backwards=backwards),
    )


SMALL = tuple(
    (
        TunnelSetup(family, vteps=VTEPS),
        (_case(f"vxlan.encap.v{family}.64"), _case(f"vxlan.decap.v{family}.64", backwards=True)),
    )
    for family in (4, 6)
)
"""64 bytes with the inner Ethernet header: an inner frame has no checksum of its own (RFC 7348)."""

WHOLE = _case("vxlan.encap.v6.1500")
WHOLE_SETUP = TunnelSetup(family=6, size=1514, vteps=VTEPS)
"""What has to be cut on an underlay of 1500 bytes."""
JUMBO_SETUP = TunnelSetup(family=6, size=1514, mtu=JUMBO, vteps=VTEPS)

BY_SETUP = (*SMALL, (WHOLE_SETUP, (WHOLE,)))
"""As the gateway is measured."""
