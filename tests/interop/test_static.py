# SPDX-License-Identifier: GPL-2.0-or-later
"""Lists of VTEPs and no BGP: XDP, the worker and a plain Linux bridge stretch one segment."""

import os
from collections.abc import Iterator

import pytest

from hybrid_gateway.lab import sites
from hybrid_gateway.lab.sites import Family, Kind
from tests.interop.three import Three, standing
from tests.lib.gateway import eventually

SIZE = 5_000_000
KINDS = (Kind.XDP, Kind.WORKER, Kind.KERNEL)
OURS = ((1, 2), (2, 1))
THEIRS = ((1, 3), (2, 3))


@pytest.fixture(scope="module", params=list(Family), ids=lambda family: family.name.lower())
def built(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Three]:
    family: Family = request.param
    name = f"s{family.value}p{os.getpid()}"
    directory = tmp_path_factory.mktemp("static")
    with standing(name, directory, KINDS, family, learning=True) as three:
        for site in three.sites:
            peers = [peer.vtep(family) for peer in sites.peers_of(site, three.sites)]
            sites.flood_to(three.lab, site, *peers)
        three.meet()
        yield three


@pytest.fixture
def three(built: Three) -> Iterator[Three]:
    with built.watched():
        yield built


@pytest.mark.parametrize(("here", "there"), [*OURS, *THEIRS])
def test_known_stations_are_not_the_kernels(three: Three, here: int, there: int) -> None:
    eventually(lambda: three.all_by_us(here, there), "it knows both stations")
    counts = three.counting(here)
    assert three.pinged(here, there, 10) == 10
    counts.expect_some(VXLAN_ENCAP=10, VXLAN_DECAP=10)


@pytest.mark.parametrize(("here", "there"), OURS)
def test_full_frames(three: Three, here: int, there: int) -> None:
    """1500 bytes over an underlay of 1500: what does not fit is cut, and made whole."""
    counts, others = three.counting(here), three.counting(there)
    assert three.pinged_full(here, there) == 10
    counts.expect_some(VXLAN_CUT=10)
    # XDP leaves pieces to the kernel, and the worker never gets those of IPv4 by a packet socket.
    if three.site(there).kind is Kind.WORKER and three.family is Family.IPV6:
        others.expect_some(VXLAN_PIECE=10, VXLAN_DECAP=10)


@pytest.mark.parametrize(("here", "there"), THEIRS)
def test_full_frames_reach_a_plain_bridge(three: Three, here: int, there: int) -> None:
    """And are answered, by less at once: see hybrid_gateway.lab.sites."""
    counts = three.counting(here)
    assert three.pinged_full(here, there) == 10
    counts.expect_some(VXLAN_CUT=10)


@pytest.mark.parametrize(("here", "there"), [*OURS, *THEIRS])
def test_copies(three: Three, here: int, there: int) -> None:
    three.copies(here, there, SIZE)


def test_a_stranger_is_not_heard(three: Three) -> None:
    """A VTEP in no list: the plain bridge, whose packets have another source meanwhile."""
    header, other = {
        Family.IPV4: ("ip", "203.0.113.66"),
        Family.IPV6: ("ip6", "2001:db8:0:3::66"),
    }[three.family]
    rule = f"udp dport 4789 {header} saddr set {other}"
    chain = f"chain output {{ type filter hook output priority raw; {rule}; }}"
    gateway = three.site(3).gateway
    three.lab.run(gateway, ["nft", f"table {header} stranger {{ {chain}\n}}"])
    try:
        for number in (1, 2):
            counts = three.counting(number)
            assert three.pinged(3, number, 3) == 0
            counts.expect_some(DROP_VTEP=3)
    finally:
        three.lab.run(gateway, ["nft", f"delete table {header} stranger"])
    three.met(3, 1)
    three.met(3, 2)
