# SPDX-License-Identifier: GPL-2.0-or-later
"""The instruments of the group dpdk: tables, frames, and that what is replayed is forwarded."""

from ipaddress import ip_network
from pathlib import Path

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.utils import rdpcap

from tests.bench.contenders import BareRedirect
from tests.bench.dpdk import tables
from tests.bench.dpdk.frames import FRAME, PCAP_MAC, write_pcap
from tests.bench.dpdk.hugepages import Hugepages
from tests.bench.dpdk.ours import OurRouter, options_for
from tests.bench.dpdk.replay import Forwarder, Replay
from tests.bench.dpdk.tables import Table
from tests.bench.dpdk.testpmd import IoForwarding
from tests.bench.generator import Flows, Traffic

FLOWS = 100
PAGES = 150
FAMILIES = pytest.mark.parametrize("family", [4, 6])


@FAMILIES
def test_real_tables_are_always_the_same_and_have_their_shape(family: int) -> None:
    table = tables.real(family, 10_000)

    assert table == tables.real(family, 10_000)
    assert len({(route.prefix, route.length) for route in table.routes}) == len(table.routes)
    found, shares = table.lengths(), tables.SHARES[family]
    whole = sum(shares.values())
    assert {length: round(10_000 * share / whole) for length, share in shares.items()} == found


@FAMILIES
def test_routes_are_networks_apart_from_the_links(family: int) -> None:
    table = tables.real(family, 10_000)

    networks = [ip_network(table.text(route)) for route in table.routes]
    assert not [network for network in networks if network.overlaps(tables.LINKS[family])]


@FAMILIES
def test_destinations_are_inside_routes(family: int) -> None:
    table = tables.small(family, FLOWS)

    found = {
        number >> (table.bits - 24 if family == 4 else 80) for number in table.destinations(FLOWS)
    }
    assert len(found) == FLOWS


@pytest.fixture
def replays(tmp_path: Path) -> dict[int, tuple[Table, Replay]]:
    made = {}
    for family in (4, 6):
        table, pcap = tables.small(family), tmp_path / f"{family}.pcap"
        write_pcap(pcap, family, table.destinations(FLOWS))
        made[family] = table, Replay("test", pcap, FLOWS)
    return made


def test_frames_are_right(replays: dict[int, tuple[Table, Replay]]) -> None:
    four, six = ([bytes(p) for p in rdpcap(str(replays[family][1].pcap))] for family in (4, 6))

    assert {len(frame) for frame in four + six} == {FRAME}
    packet = Ether(four[0])
    written = packet[IP].chksum
    del packet[IP].chksum
    assert Ether(bytes(packet))[IP].chksum == written
    assert (packet.dst, packet[IP].len, packet[UDP].len) == (PCAP_MAC, FRAME - 14, FRAME - 34)
    assert Ether(six[0])[IPv6].plen == FRAME - 54


@pytest.mark.forward
@FAMILIES
def test_replayed_frames_are_forwarded(
    family: int, replays: dict[int, tuple[Table, Replay]]
) -> None:
    table, replay = replays[family]
    options = options_for(table, FLOWS, memory_mb=256)
    with Hugepages(PAGES), OurRouter("worker", replay, table, options) as ours:
        assert _runs(ours)
        with ours.running():
            port = ours.worker.client.status().ports["gwout0"]
    assert port.tx_packets > port.to_kernel


@pytest.mark.forward
def test_baseline_counts(replays: dict[int, tuple[Table, Replay]]) -> None:
    with Hugepages(PAGES), IoForwarding("testpmd", replays[4][1]) as testpmd:
        assert _runs(testpmd)


def _runs(forwarder: Forwarder) -> bool:
    result = forwarder.run()
    return result.frames > 10_000 and 0 < result.ns_per_frame < 10_000


@pytest.mark.forward
def test_generator_leaves_gaps() -> None:
    with BareRedirect("test") as redirect:
        result = redirect.generator.send(Traffic(1000, Flows(), gap_ns=20_000))

    assert result.received == 1000
    assert result.ns >= 999 * 10_000
