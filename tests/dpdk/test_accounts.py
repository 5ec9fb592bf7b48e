# SPDX-License-Identifier: GPL-2.0-or-later
"""Every frame that comes is one counter's, and every buffer comes back, whatever happens."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw
from scapy.utils import wrpcap

from hybrid_gateway.model import Polling
from hybrid_gateway.worker_client import PortStatus, WorkerPort
from tests.dpdk.harness import Bench
from tests.dpdk.wires import Cable
from tests.lib.gateway import eventually
from tests.lib.packets import same, udp

pytestmark = pytest.mark.dpdk

OUTSIDE, OURS, FAR = "198.51.100.7", "192.0.2.1", "192.0.2.9"
PCAP_MAC, PEER_MAC = "02:70:63:61:70:00", "02:00:00:00:0a:01"
FLOOD = 3000
"""Frames; more than a memif's ring has."""
STASH = 64
"""Buffers that the exception thread may hold for what the kernel sends."""


def status(bench: Bench, name: str) -> PortStatus:
    return bench.client.status().ports[name]


def free(bench: Bench) -> int:
    """Buffers that nobody has: the pool counts those in lcores' caches as free."""
    memory = bench.client.status().memory
    assert memory
    return memory.mbufs_free


def routed(mac: str, *, number: int = 1) -> Packet:
    return Ether(dst=mac, src="02:00:00:00:02:01") / udp(OUTSIDE, FAR, 4000, number)


def balanced(bench: Bench, name: str) -> bool:
    """What came in by it, from the wire or from the kernel, is what its counters add up to."""
    seen = status(bench, name)
    return sum(bench.counters(name).values()) == seen.rx_packets + seen.from_kernel


@contextmanager
def replaying(
    bench: Bench, directory: Path, frames: list[Packet], *, again: bool = False
) -> Iterator[str]:
    """A port of net_pcap that brings these frames once, or for as long as it is there."""
    wrpcap(str(directory / "in.pcap"), frames)
    bench.ip("tuntap add dev r0 mode tap", f"link set r0 address {PCAP_MAC}", "link set r0 up")
    device = f"net_pcap0,rx_pcap={directory}/in.pcap{',infinite_rx=1' if again else ''}"
    bench.client.add_port(WorkerPort("r0", "r0", device, Polling.BUSY))
    yield "r0"
    bench.client.remove_port("r0")
    bench.ip("link del r0")


@pytest.fixture
def beside(own_bench: Bench, tmp_path: Path) -> Iterator[Bench]:
    """Another worker, at the other end of a memif of this one's, which routes FAR there."""
    socket = f"id=0,socket={tmp_path}/memif.sock,socket-abstract=no"
    with Bench.running("peer") as peer:
        for bench, name, role in ((own_bench, "m0", "server"), (peer, "m1", "client")):
            bench.ip(f"tuntap add dev {name} mode tap", f"link set {name} up")
            bench.client.add_port(WorkerPort(name, name, f"net_memif_{name},role={role},{socket}"))
        for bench, name in ((own_bench, "m0"), (peer, "m1")):
            eventually(lambda: status(bench, name).link_up, f"{name} is connected", 5.0)  # noqa: B023
        own_bench.ip(f"address add {OURS}/24 dev m0", f"neigh add {FAR} lladdr {PEER_MAC} dev m0")
        own_bench.settle()
        yield peer


def test_a_peer_that_does_not_read(own_bench: Bench, beside: Bench) -> None:
    """A full ring loses frames, which were not forwarded then; it keeps no buffers."""
    p0 = own_bench.port("p0", "198.51.100.1/24")
    own_bench.settle()
    before = free(own_bench)
    pid = beside.client.status().pid
    os.kill(pid, signal.SIGSTOP)
    try:
        counting = own_bench.counting("p0")
        frame = bytes(routed(p0.mac))
        while counting.now().get("DROP_TX_FULL", 0) < FLOOD:
            p0.far.send([frame] * 100)
        eventually(lambda: balanced(own_bench, "p0"), "each frame is one counter's")
        sent = counting.now()["FORWARD_IP4"] + own_bench.counters("m0")["FROM_KERNEL"]
        assert sent == status(own_bench, "m0").tx_packets
        eventually(lambda: free(own_bench) >= before - STASH, "the buffers are back")
    finally:
        os.kill(pid, signal.SIGCONT)
    counting = beside.counting("m1")
    p0.far.send([frame])
    eventually(lambda: sum(counting.now().values()) > 0, "it goes on")


def test_a_frame_that_the_tap_refuses(own_bench: Bench, tmp_path: Path) -> None:
    """Of more parts than are written at once: it was not handed over."""
    before = free(own_bench)
    long = Ether(dst=PCAP_MAC, src=PEER_MAC, type=0x88B5) / Raw(bytes(20000))
    with replaying(own_bench, tmp_path, [long]):
        eventually(lambda: own_bench.counters("r0").get("DROP_TAP") == 1, "it is dropped")
        assert balanced(own_bench, "r0")
        assert own_bench.counters("r0")["PUNT_ETHERTYPE"] == 0
    eventually(lambda: free(own_bench) >= before - STASH, "the buffers are back")


@pytest.fixture
def ports(own_bench: Bench) -> tuple[Cable, Cable]:
    p0, p1 = own_bench.port("p0", "198.51.100.1/24"), own_bench.port("p1", f"{OURS}/24")
    own_bench.neighbour(p1, FAR)
    own_bench.settle()
    return p0, p1


def test_a_way_out_that_comes_and_goes(
    own_bench: Bench, ports: tuple[Cable, Cable], tmp_path: Path
) -> None:
    """Its link, the port itself, and then the device for good, while all that comes goes there."""
    p0, p1 = ports
    before = free(own_bench)
    with replaying(own_bench, tmp_path, [routed(PCAP_MAC)] * 64, again=True):
        for line in (f"link set {p1.wire} down", f"link set {p1.wire} up") * 5:
            own_bench.ip(line)
            own_bench.settle()
        for line in ("link set p1 down", "link set p1 up") * 5:
            own_bench.ip(line)
            own_bench.settle()
        own_bench.neighbour(p1, FAR)
        own_bench.client.remove_port("p1")
        own_bench.add(p1)
        own_bench.ip(f"link del {p1.wire}")
        eventually(lambda: "is gone" in status(own_bench, "p1").problem, "it is noticed", 5.0)
    # What the kernel has sent meanwhile waits there for a port that does not come back.
    own_bench.client.remove_port("p1")
    eventually(lambda: free(own_bench) >= before - STASH, "the buffers are back")
    assert balanced(own_bench, "p0")
    odd = Ether(dst=p0.mac, src=p0.far_mac, type=0x88B5) / Raw(b"from outside")
    same(own_bench.send_and_expect(odd, via=p0.far, at=p0.kernel), odd)


def test_ports_come_and_go(own_bench: Bench, ports: tuple[Cable, Cable]) -> None:
    """With frames on their way to the kernel and from it."""
    p0 = ports[0]
    before = free(own_bench)
    for _ in range(10):
        p0.far.send([Ether(dst=p0.mac, src=p0.far_mac, type=0x88B5) / Raw(bytes(50))] * 200)
        p0.kernel.send([Ether(dst=p0.far_mac, src=p0.mac, type=0x88B5) / Raw(bytes(50))] * 200)
        own_bench.client.remove_port("p0")
        own_bench.add(p0)
    eventually(lambda: free(own_bench) >= before - STASH, "the buffers are back")
