# SPDX-License-Identifier: GPL-2.0-or-later
"""The way between the ports and the kernel: everything, unmodified, in order, both ways."""

import hashlib
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from hybrid_gateway.lab import namespaces
from tests.dpdk.harness import Bench
from tests.dpdk.wires import Cable
from tests.lib.gateway import eventually
from tests.lib.packets import same

pytestmark = pytest.mark.dpdk

OURS, PEER = "198.51.100.1", "198.51.100.2"
MINIMUM, MAXIMUM = 14, 1514
"""Of an Ethernet frame without its checksum, at an MTU of 1500."""
MEGABYTE = bytes(range(256)) * 4096


@pytest.fixture(scope="module")
def ports(bench: Bench) -> tuple[Cable, Cable]:
    made = bench.port("p0", f"{OURS}/24"), bench.port("p1", "203.0.113.1/24")
    bench.settle()
    return made


def frame(port: Cable, length: int, *, outwards: bool) -> Ether:
    """Of no protocol that anybody knows, so that only the kernel can judge it."""
    ends = (port.far_mac, port.mac) if outwards else (port.mac, port.far_mac)
    body = bytes(index * 7 & 0xFF for index in range(length - MINIMUM))
    return Ether(dst=ends[0], src=ends[1], type=0x88B5) / Raw(body)


# ---- as they are ----------------------------------------------------------------------------


@pytest.mark.parametrize("length", [MINIMUM, 15, 59, 60, 64, 128, 1513, MAXIMUM])
def test_to_the_kernel(bench: Bench, ports: tuple[Cable, Cable], length: int) -> None:
    counting = bench.counting()
    sent = frame(ports[0], length, outwards=False)

    same(bench.send_and_expect(sent, via=ports[0].far, at=ports[0].kernel), sent)

    counting.expect(PUNT_ETHERTYPE=1)


@pytest.mark.parametrize("length", [MINIMUM, 15, 59, 60, 64, 128, 1513, MAXIMUM])
def test_from_the_kernel(bench: Bench, ports: tuple[Cable, Cable], length: int) -> None:
    counting = bench.counting("p0", noise=frozenset())
    sent = frame(ports[0], length, outwards=True)

    same(bench.send_and_expect(sent, via=ports[0].kernel, at=ports[0].far), sent)

    counting.expect(FROM_KERNEL=1)


def test_a_tagged_frame_of_full_length(bench: Bench, ports: tuple[Cable, Cable]) -> None:
    """The tag comes on top of the MTU."""
    p0 = ports[0]
    tag = b"\x00\x07\x88\xb5"
    out = Ether(dst=p0.far_mac, src=p0.mac, type=0x8100) / Raw(tag + bytes(1500))
    into = Ether(dst=p0.mac, src=p0.far_mac, type=0x8100) / Raw(tag + bytes(1500))
    counting = bench.counting("p0")

    bench.burst([out], via=p0.kernel, at=p0.far)
    bench.burst([into], via=p0.far, at=p0.kernel)

    counting.expect(PUNT_VLAN=1)


# ---- in order -------------------------------------------------------------------------------


def test_many_stay_in_order(bench: Bench, ports: tuple[Cable, Cable]) -> None:
    """More than a burst of any part of the way, and less than its smallest queue."""
    p0 = ports[0]
    into = [frame(p0, 60 + number, outwards=False) for number in range(300)]
    out = [frame(p0, 60 + number, outwards=True) for number in range(300)]
    counting = bench.counting("p0", noise=frozenset())

    received = bench.burst(into, via=p0.far, at=p0.kernel)
    sent = bench.burst(out, via=p0.kernel, at=p0.far)

    assert [bytes(one) for one in received] == [bytes(one) for one in into]
    assert [bytes(one) for one in sent] == [bytes(one) for one in out]
    counting.expect_some(PUNT_ETHERTYPE=300, FROM_KERNEL=300)


def test_a_flood_leaves_the_other_port_alone(bench: Bench, ports: tuple[Cable, Cable]) -> None:
    """What is too much for the kernel is dropped and counted; nobody waits behind it."""
    p0, p1 = ports
    flood = bytes(frame(p0, 60, outwards=False))
    other = frame(p1, 60, outwards=False)

    for _ in range(8):
        p0.far.send([flood] * 512)
        same(bench.send_and_expect(other, via=p1.far, at=p1.kernel), other)

    def accounted() -> bool:
        """Every frame that came in is one counter's."""
        ends = bench.counters("p0")
        came = sum(ends.values()) - ends.get("FROM_KERNEL", 0)
        return came == bench.client.status().ports["p0"].rx_packets >= 4096 // 2

    eventually(accounted, "all that came in is accounted for")


# ---- connections of the gateway itself ------------------------------------------------------


@pytest.mark.usefixtures("ports")
def test_tcp_to_the_gateway(bench: Bench) -> None:
    """Both ways at once; whole, and by the port alone."""
    namespaces.ip_batch(bench.far, [f"address replace {PEER}/24 dev p0"])
    # A veth leaves checksums to a NIC, which the frame in a packet socket never sees.
    namespaces.run(namespaces.inside(bench.far, ["ethtool", "-K", "p0", "tx", "off"]))
    with namespaces.entered(bench.gw):
        listener = socket.create_server((OURS, 0))
    with namespaces.entered(bench.far):
        client = socket.create_connection(listener.getsockname(), timeout=10)
    server, _ = listener.accept()
    server.settimeout(10)
    with listener, client, server, ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(pour, one) for one in (client, server)]
        digests = [pool.submit(drain, one) for one in (client, server)]
        for job in jobs:
            job.result()
        wanted = hashlib.sha256(MEGABYTE * 20).hexdigest()
        assert [digest.result() for digest in digests] == [wanted, wanted]
    status = bench.client.status().ports["p0"]
    assert min(status.to_kernel, status.from_kernel) * 1500 > len(MEGABYTE) * 20


def pour(connection: socket.socket) -> None:
    for _ in range(20):
        connection.sendall(MEGABYTE)
    connection.shutdown(socket.SHUT_WR)


def drain(connection: socket.socket) -> str:
    seen = hashlib.sha256()
    while data := connection.recv(1 << 16):
        seen.update(data)
    return seen.hexdigest()
