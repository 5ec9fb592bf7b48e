# SPDX-License-Identifier: GPL-2.0-or-later
"""An agent at each site: frames of every size pass in both directions, as over one cable."""

import pytest

from hybrid_gateway.lab.second import LEFT, RIGHT
from hybrid_gateway.lab.services import servers
from tests.forward.sites import Sites
from tests.lib.packets import same
from tests.lib.programs import blob_digest, curl, digest
from tests.lib.vxlan import full, is_marked, segment

SIZE = 20_000_000


@pytest.mark.parametrize("size", [1, 1400, 1430, 1450, 1472])
def test_ping(both_sites: Sites, size: int) -> None:
    argv = ["ping", "-n", "-i", "0.02", "-c", "10", "-M", "do", "-s", str(size), RIGHT.ip]
    said = both_sites.lab.run("left", argv, check=False)
    assert "10 received" in said, said


def test_a_small_frame_is_xdp_s_at_both_ends(both_sites: Sites) -> None:
    assert both_sites.far
    here, there = both_sites.counting(), both_sites.far.counting()
    frame = segment()
    same(both_sites.wires.send_and_expect(frame, at="left", to="right", wanted=is_marked), frame)
    here.expect(BRIDGE=1, VXLAN_ENCAP=1)
    there.expect(BRIDGE=1, VXLAN_DECAP=1)


def test_a_full_frame_is_cut_and_made_whole(both_sites: Sites) -> None:
    """What the kernel has put together is the bridge's to deliver."""
    for here, there, at, to in ((LEFT, RIGHT, "left", "right"), (RIGHT, LEFT, "right", "left")):
        frame = full(here, there)
        same(both_sites.wires.send_and_expect(frame, at=at, to=to, wanted=is_marked), frame)


def test_tcp_both_ways(both_sites: Sites) -> None:
    """Full segments, and the digest of what arrives."""
    assert both_sites.far
    here, there = both_sites.agent.counting(), both_sites.far.counting()
    lab, url = both_sites.lab, f"http://{RIGHT.ip}"
    with servers(lab, "right", http=[f"{RIGHT.ip}:80"]):
        got = curl(lab, "left", f"{url}/blob/{SIZE}")
        assert digest(got) == blob_digest(SIZE)
        path = lab.directory / "upload"
        path.write_bytes(got)
        assert curl(lab, "left", "-T", str(path), f"{url}/").decode() == blob_digest(SIZE)
    here.expect_some(VXLAN_CUT=SIZE // 1460)
    there.expect_some(VXLAN_CUT=SIZE // 1460)
