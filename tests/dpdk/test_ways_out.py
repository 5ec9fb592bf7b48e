# SPDX-License-Identifier: GPL-2.0-or-later
"""Where a routed frame leaves when the way out changes under it, or is narrower than its device."""

from pathlib import Path

import pytest
from scapy.layers.l2 import Ether
from scapy.utils import wrpcap

from hybrid_gateway.model import Polling
from hybrid_gateway.worker_client import WorkerPort
from tests.dpdk.harness import Bench
from tests.dpdk.wires import Cable
from tests.lib.gateway import eventually
from tests.lib.packets import udp

pytestmark = pytest.mark.dpdk

HOST = "192.0.2.10"
OUTSIDE = "198.51.100.7"
FLAPS = 300


@pytest.fixture
def ports(own_bench: Bench) -> tuple[Cable, Cable]:
    """One that routes, and one in a bridge that has an address and the host."""
    p0 = own_bench.port("p0", "198.51.100.1/24")
    p1 = own_bench.port("p1")
    own_bench.ip(
        "link add br0 type bridge forward_delay 0 mcast_snooping 0",
        "link set p1 master br0",
        "link set br0 up",
        "address add 192.0.2.1/24 dev br0",
        f"neigh add {HOST} lladdr {p1.far_mac} dev br0 nud permanent",
    )
    own_bench.run("bridge", "fdb", "add", p1.far_mac, "dev", "p1", "master", "static")
    own_bench.settle()
    return p0, p1


def frame(port: Cable, size: int = 22) -> Ether:
    return Ether(src=port.far_mac, dst=port.mac) / udp(OUTSIDE, HOST, 4000, 53, payload=bytes(size))


def test_a_neighbour_behind_a_bridge_comes_and_goes_under_load(
    own_bench: Bench, ports: tuple[Cable, Cable], tmp_path: Path
) -> None:
    """Frames are on their way between the nodes whenever the next hop changes."""
    p0, p1 = ports
    replayed = tmp_path / "replayed.pcap"
    mac = "02:00:00:00:09:09"
    wrpcap(str(replayed), [Ether(src=p0.far_mac, dst=mac) / frame(p0).payload] * 128)
    own_bench.ip("tuntap add dev r0 mode tap", f"link set r0 address {mac}", "link set r0 up")
    device = f"net_pcap0,rx_pcap={replayed},infinite_rx=1"
    own_bench.client.add_port(WorkerPort("r0", "r0", device, Polling.BUSY))
    eventually(lambda: own_bench.counters("r0").get("FORWARD_IP4", 0) > 0, "it is forwarded", 5.0)
    flap = (f"neigh del {HOST} dev br0", f"neigh replace {HOST} lladdr {p1.far_mac} dev br0")
    for _ in range(FLAPS // 50):
        own_bench.ip(*(flap * 50))
        own_bench.settle()

    assert own_bench.worker.running
