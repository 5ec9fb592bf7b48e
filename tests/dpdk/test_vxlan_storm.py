# SPDX-License-Identifier: GPL-2.0-or-later
"""More to flood than the host can hear, or than there are buffers for: nobody else is harmed."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from tests.dpdk.flooded import Site
from tests.dpdk.harness import NOISE
from tests.dpdk.held import held
from tests.dpdk.preload import preloaded
from tests.dpdk.vxlan import FAR, HERE, LOCAL, PEER, STRANGER, Station, between
from tests.dpdk.wires import Cable
from tests.lib.gateway import eventually
from tests.lib.packets import udp

pytestmark = pytest.mark.dpdk

EVERYBODY = "ff:ff:ff:ff:ff:ff"
RING, WALK = 1024, 256
"""Places in the ring to the kernel, and frames that come between two looks at it."""
STORM, AT_ONCE = 1000, 50
"""Frames; more than the half of that ring, and fewer than a port's own."""
OTHERS = 100
"""Frames that only the kernel can serve."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    source = Path(__file__).with_name("scarce.c")
    with (
        preloaded(source, tmp_path_factory.mktemp("scarce")),
        Site.running("vo", 4) as running,
    ):
        yield running


def frame(number: int, source: str) -> Packet:
    return Ether(src=source, dst=EVERYBODY) / Raw(number.to_bytes(4, "big") + bytes(60))


def blow(site: Site, cable: Cable, frames: list[bytes]) -> None:
    """All of them, each time so many as fit a port's ring."""
    counting = site.bench.counting(cable.name)

    def are_flooded(count: int) -> bool:
        return counting.now().get("VXLAN_FLOOD") == count

    for start in range(0, STORM, AT_ONCE):
        cable.far.send(frames[start : start + AT_ONCE])
        eventually(partial(are_flooded, start + AT_ONCE), "all have been flooded")


@pytest.mark.parametrize("inwards", [False, True], ids=["from a port", "out of a tunnel"])
def test_more_than_the_host_hears(site: Site, inwards: bool) -> None:
    """All others hear all of it; and what only the kernel can do still gets there."""
    cable, source = (site.core, FAR.mac) if inwards else (site.access, HERE.mac)
    inner = [bytes(frame(number, source)) for number in range(STORM)]
    frames = [bytes(site.segment.arriving(one)) for one in inner] if inwards else inner
    # A packet for an address of the gateway's own.
    to_us = Ether(src=cable.far_mac, dst=cable.mac) / udp(STRANGER[4], LOCAL[4], 1, 2)
    for end in site.ends:
        end.forget()
    counting = site.bench.counting(cable.name, noise=NOISE)
    with held(site.bench.client.status().pid, "gw-exception"):
        blow(site, cable, frames)
        assert [bytes(one) for one in site.other.far.expect(STORM)] == inner
        copies = site.access.far if inwards else site.core.far
        assert len(copies.expect(STORM * (1 if inwards else 2))) == STORM * (1 if inwards else 2)
        # Others are forwarded meanwhile.
        forwarded = between(HERE, FAR)
        (seen,) = site.bench.burst([forwarded], via=site.access.far, at=site.core.far)
        assert bytes(seen) == site.leaves(forwarded, seen, PEER[4])
        cable.far.send([to_us] * OTHERS)
        assert counting.now()["DROP_PUNT_FULL"] >= STORM - RING // 2 - WALK
    seen = cable.kernel.expect(OTHERS)
    assert [bytes(one) for one in seen] == [bytes(to_us)] * OTHERS
    lost = counting.now()["DROP_PUNT_FULL"]
    heard = [bytes(one) for one in site.heard.expect(STORM - lost)]
    assert heard == inner[: STORM - lost]
    assert RING // 2 <= len(heard) < RING - OTHERS
    moved = counting.now()
    assert moved["VXLAN_HEARD"] == len(heard)
    assert moved["VXLAN_FLOOD"] == STORM


@pytest.mark.parametrize("copies", [0, 1, 2])
def test_buffers_for_some_of_the_copies(site: Site, copies: int) -> None:
    """Nobody gets any of them: the kernel serves all, and what was taken is given back."""
    station = Station("10.9.0.99", f"02:00:00:00:09:{0xF0 + copies:02x}")
    site.segment.station(station, site.access)
    site.bench.settle()
    memory = site.bench.client.status().memory
    assert memory
    wanted = memory.mbufs_free
    sent = frame(0, station.mac)
    site.left_to_the_kernel(sent, "PUNT_MULTICAST")

    def are_back() -> bool:
        now = site.bench.client.status().memory
        return now is not None and now.mbufs_free >= wanted

    eventually(are_back, "all buffers are free again")
