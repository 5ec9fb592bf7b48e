# SPDX-License-Identifier: GPL-2.0-or-later
"""The instruments of the group evpn: frames in pieces or whole, and what one of them costs."""

from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pytest
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment, defragment6
from scapy.layers.l2 import Ether
from scapy.layers.vxlan import VXLAN

from tests.bench.dpdk.hugepages import Hugepages
from tests.bench.dpdk.replay import Replay
from tests.bench.evpn import cases, frames
from tests.bench.evpn.cases import CASES, CUT, SMALL, Case
from tests.bench.evpn.group import BASELINE, OURS, cost
from tests.bench.evpn.ours import OurTunnels
from tests.bench.measure import Series

PAGES = 250
OUT, IN = CUT


@dataclass(frozen=True)
class Took:
    ns_per_frame: float
    waited_share: float = 0.0


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_frames_fit_their_link(case: Case) -> None:
    longest = max(map(len, islice(case.frames(), 4)))

    assert longest <= (case.underlay_mtu if case.inwards else cases.MTU) + 14


def test_pieces_are_of_one_packet() -> None:
    first, second, *_ = (Ether(frame) for frame in IN.frames())

    # scapy takes packets of IPv6 alone for pieces.
    whole = defragment6([IPv6(bytes(piece[IPv6])) for piece in (first, second)])
    assert IPv6ExtHdrFragment in first
    assert bytes(whole[VXLAN].payload) == bytes(frames.inner(0, IN.size, inwards=True))


def test_what_is_put_together_costs_what_both_pieces_take() -> None:
    series = Series(IN, {BASELINE: [Took(20.0), Took(30.0)], OURS: [Took(200.0), Took(260.0)]})

    assert cost(series, IN) == (160.0 + 200.0) / 2
    assert cost(series, OUT) == (180.0 + 230.0) / 2


@pytest.mark.forward
@pytest.mark.parametrize("case", [SMALL[0], *CUT], ids=lambda case: case.name)
def test_all_inner_frames_go_through(case: Case, tmp_path: Path) -> None:
    pcap = tmp_path / "replay.pcap"
    replay = Replay(case.name, pcap, frames.write(pcap, case.frames()))
    with Hugepages(PAGES), OurTunnels(OURS, replay, case) as ours:
        forwarded = ours.run()
        with ours.running():
            port = ours.worker.client.status().ports["gwout0"]

    assert forwarded.frames > 10_000
    assert port.tx_packets > port.to_kernel
