# SPDX-License-Identifier: GPL-2.0-or-later
"""Where a routed frame leaves when the way out changes under it, or is narrower than its device."""

from pathlib import Path

import pytest
from scapy.layers.inet import ICMP, UDP
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


def test_a_port_that_spanning_tree_blocks(own_bench: Bench, ports: tuple[Cable, Cable]) -> None:
    """The FDB keeps its stations; routed frames do not leave by it either."""
    p0, p1 = ports
    counting = own_bench.counting()
    own_bench.burst([frame(p0)], via=p0.far, at=p1.far)
    counting.expect(FORWARD_IP4=1)

    own_bench.run("bridge", "link", "set", "dev", "p1", "state", "0")
    own_bench.settle()
    counting = own_bench.counting()
    own_bench.burst([frame(p0)], via=p0.far, at=p1.far, count=0)
    counting.expect(PUNT_BRIDGE_MISS=1)
    assert not [seen for seen in p1.far.arriving(0.3) if UDP in seen]


def test_the_address_of_another_port(own_bench: Bench, ports: tuple[Cable, Cable]) -> None:
    """The bridge's FDB has it as local, but by this port it is another host's."""
    _, p1 = ports
    p2 = own_bench.port("p2")
    own_bench.ip("link set p2 master br0", f"link set br0 address {p1.mac}")
    # The kernel forgets all neighbours at that.
    own_bench.ip(f"neigh replace {HOST} lladdr {p1.far_mac} dev br0")
    own_bench.run("bridge", "fdb", "add", p2.far_mac, "dev", "p2", "master", "static")
    own_bench.settle()
    # Routed to another host of the bridge, and the kernel may send a redirect.
    for mac, counter in ((p1.mac, "PUNT_REDIRECT"), (p2.mac, "PUNT_BRIDGE_MISS")):
        sent = Ether(src=p2.far_mac, dst=mac) / frame(p1).payload
        counting = own_bench.counting()
        p2.far.send([sent])
        counting.expect(**{counter: 1})


def test_the_mtu_of_a_route_without_gateway(own_bench: Bench, ports: tuple[Cable, Cable]) -> None:
    """It is the route's that counts, not that of the host's device."""
    p0, p1 = ports
    own_bench.ip("route add 192.0.2.10/32 dev br0 mtu 1000")
    own_bench.settle()
    counting = own_bench.counting()
    own_bench.burst([frame(p0, 1000 - 28)], via=p0.far, at=p1.far)
    counting.expect(FORWARD_IP4=1)

    counting = own_bench.counting()
    p0.far.forget()
    p0.far.send([frame(p0, 1001 - 28)])
    counting.expect(PUNT_TOO_BIG=1)


def test_a_bridge_with_an_isolated_port(own_bench: Bench, ports: tuple[Cable, Cable]) -> None:
    """All of it is the kernel's, what is routed there too."""
    p0, p1 = ports
    own_bench.run("bridge", "link", "set", "dev", "p1", "isolated", "on")
    own_bench.settle()
    counting = own_bench.counting()
    received = own_bench.send_and_expect(frame(p0), via=p0.far, at=p1.far)
    assert received.dst == p1.far_mac
    counting.expect(PUNT_VLAN=1)


def test_a_frame_of_several_mbufs(
    own_bench: Bench, ports: tuple[Cable, Cable], tmp_path: Path
) -> None:
    """It is too long for the way out, and nothing else is wrong with it."""
    p0, _ = ports
    replayed = tmp_path / "replayed.pcap"
    mac = "02:00:00:00:09:09"
    wrpcap(str(replayed), [Ether(src=p0.far_mac, dst=mac) / frame(p0, 3000).payload])
    own_bench.ip("tuntap add dev r0 mode tap", f"link set r0 address {mac}", "link set r0 up")
    own_bench.client.add_port(WorkerPort("r0", "r0", f"net_pcap0,rx_pcap={replayed}"))

    eventually(lambda: own_bench.counters("r0").get("PUNT_TOO_BIG") == 1, "it is counted")


def test_out_by_the_port_it_came_in_by(own_bench: Bench, ports: tuple[Cable, Cable]) -> None:
    """The worker forwards it, but for a few that the kernel does: it tells the host of the way."""
    p0, _ = ports
    own_bench.neighbour(p0, "198.51.100.9", OUTSIDE)
    own_bench.ip("route add 10.1.0.0/16 via 198.51.100.9")
    own_bench.settle()
    counting = own_bench.counting("p0")
    frames = [
        Ether(src=p0.far_mac, dst=p0.mac) / udp(OUTSIDE, "10.1.0.1", 4000, 1 + number)
        for number in range(200)
    ]
    p0.far.forget()
    p0.far.send(frames)

    missing, redirects = set(range(1, 201)), set()
    for packet in p0.far.arriving():
        if ICMP in packet:
            redirects.add((packet[ICMP].type, packet[ICMP].gw))
        elif UDP in packet and packet.dst == p0.far_mac:
            missing.discard(packet.dport)
        if redirects and not missing:
            break
    assert not missing
    assert redirects == {(5, "198.51.100.9")}

    def moved(counter: str) -> int:
        return counting.now().get(counter, 0)

    eventually(lambda: moved("FORWARD_IP4") + moved("PUNT_REDIRECT") == 200, "each is counted")
    assert moved("FORWARD_IP4") > moved("PUNT_REDIRECT") > 0
