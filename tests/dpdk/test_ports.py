# SPDX-License-Identifier: GPL-2.0-or-later
"""Ports come, follow the kernel and their devices, and vanish, while the others go on."""

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from scapy.layers.l2 import Ether
from scapy.packet import Raw
from scapy.utils import wrpcap

from hybrid_gateway.errors import BadDeviceError, DeviceBusyError, NoSuchDeviceError, WorkerError
from hybrid_gateway.lab import namespaces
from hybrid_gateway.model import Polling
from hybrid_gateway.worker_client import PortStatus, WorkerPort
from tests.dpdk.harness import SMALL, Bench
from tests.dpdk.wires import Cable, End
from tests.lib.gateway import eventually
from tests.lib.packets import same, udp

pytestmark = pytest.mark.dpdk

OURS, PEER = "198.51.100.1", "198.51.100.2"
PCAP_MAC = "02:70:63:61:70:00"
"""Every port of net_pcap has it, and cannot have another."""

REFUSED = [
    ("0000:99:00.0", NoSuchDeviceError, "there is no device 0000:99:00.0"),
    ("net_af_packet9,iface=nothing", NoSuchDeviceError, "No such device"),
    ("net_af_packet9", NoSuchDeviceError, "its driver refuses it"),
    ("net_null9,bogus=1", NoSuchDeviceError, "its driver refuses it"),
    ("net_pcap9,rx_pcap=/nothing", NoSuchDeviceError, "/nothing"),
    ("net_nobody9", BadDeviceError, "whose driver is installed"),
    ("what is this", BadDeviceError, "neither a PCI address nor a vdev"),
]


@pytest.fixture
def ports(own_bench: Bench) -> tuple[Cable, Cable]:
    made = own_bench.port("p0", f"{OURS}/24"), own_bench.port("p1", "203.0.113.1/24")
    own_bench.settle()
    return made


@pytest.fixture(scope="module")
def spare(bench: Bench) -> Cable:
    """What a port that is refused would have had."""
    return bench.cable("spare")


def link(bench: Bench, device: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = json.loads(bench.run("ip", "-j", "-d", "link", "show", device))
    return found[0]


def status(bench: Bench, name: str) -> PortStatus:
    return bench.client.status().ports[name]


def passes(bench: Bench, port: Cable, mac: str | None = None) -> None:
    """A frame comes in and reaches the kernel as it was; of no protocol that anybody answers."""
    frame = Ether(dst=mac or port.mac, src=port.far_mac, type=0x88B5) / Raw(b"from outside")

    same(bench.send_and_expect(frame, via=port.far, at=port.kernel), frame)


# ---- what cannot be a port ------------------------------------------------------------------


@pytest.mark.parametrize(("device", "error", "words"), REFUSED)
def test_refused_with_the_reason(
    bench: Bench, spare: Cable, device: str, error: type[WorkerError], words: str
) -> None:
    with pytest.raises(error) as refusal:
        bench.client.add_port(WorkerPort("odd", spare.name, device, Polling.ADAPTIVE))

    assert str(refusal.value).startswith("port odd: ")
    assert words in str(refusal.value)
    assert "odd" not in bench.client.status().ports


def test_an_absent_tap_is_not_made(bench: Bench, spare: Cable) -> None:
    with pytest.raises(NoSuchDeviceError, match="there is no TAP nowhere"):
        bench.client.add_port(WorkerPort("odd", "nowhere", spare.device, Polling.ADAPTIVE))
    assert not Path(f"/sys/class/net/{spare.name}").exists(), "that would be this namespace"
    with pytest.raises(WorkerError, match="another kind than a TAP"):
        bench.client.add_port(WorkerPort("odd", spare.wire, spare.device, Polling.ADAPTIVE))


def test_nothing_is_taken_twice(own_bench: Bench, ports: tuple[Cable, Cable]) -> None:
    p0 = ports[0]
    own_bench.cable("p2")
    wire = f"net_af_packet_p2,iface={p0.wire}"
    before = link(own_bench, p0.wire)
    for wanted, words in (
        (WorkerPort("p0", "p2", "net_null8"), "the worker has it already"),
        (WorkerPort("p2", "p0", "net_null8"), "TAP p0 is that of port p0"),
        (WorkerPort("p2", "p2", p0.device), "is port p0"),
        (WorkerPort("p2", "p2", f"{p0.device},framesz=2048"), "DPDK has a device"),
        (WorkerPort("p2", "p2", wire), "port p0 has the device of"),
    ):
        with pytest.raises(DeviceBusyError, match=words):
            own_bench.client.add_port(wanted)
    assert link(own_bench, p0.wire) == before
    passes(own_bench, p0)


def test_more_queues_than_one(own_bench: Bench) -> None:
    cable = own_bench.cable("p0")

    with pytest.raises(BadDeviceError, match="leave qpairs"):
        own_bench.client.add_port(WorkerPort("p0", "p0", f"{cable.device},qpairs=2"))


# ---- the kernel decides ---------------------------------------------------------------------


def test_carrier_follows_the_wire(own_bench: Bench, ports: tuple[Cable, Cable]) -> None:
    def carrier(on: bool) -> None:
        eventually(lambda: status(own_bench, "p0").link_up == on, f"carrier {on}", 5.0)
        eventually(lambda: ("LOWER_UP" in link(own_bench, "p0")["flags"]) == on, "the TAP's", 5.0)

    own_bench.ip(f"link set {ports[0].wire} down")
    carrier(False)
    assert status(own_bench, "p1").link_up
    own_bench.ip(f"link set {ports[0].wire} up")
    carrier(True)
    passes(own_bench, ports[0])


def test_mtu_and_address_follow_the_tap(own_bench: Bench, ports: tuple[Cable, Cable]) -> None:
    mac = "02:00:00:00:77:01"
    own_bench.ip("link set p0 mtu 1400", f"link set p0 address {mac}")
    own_bench.settle()

    eventually(lambda: status(own_bench, "p0").mtu == 1400, "the device's MTU")
    assert (link(own_bench, ports[0].wire)["mtu"], status(own_bench, "p0").mac) == (1400, mac)
    assert link(own_bench, ports[0].wire)["address"] == mac
    assert status(own_bench, "p0").problem == ""
    passes(own_bench, ports[0], mac)


def test_an_mtu_beyond_the_device_is_a_problem(
    own_bench: Bench, ports: tuple[Cable, Cable]
) -> None:
    own_bench.neighbour(ports[0], PEER)
    own_bench.ip("link set p0 mtu 9000")
    own_bench.settle()
    assert "takes an MTU of at most 1500, and p0 has 9000" in status(own_bench, "p0").problem
    counting = own_bench.counting()

    ping = namespaces.inside(own_bench.gw, ["ping", "-c1", "-W1", "-s4000", "-Mdo", PEER])
    namespaces.run(ping, check=False)

    counting.expect_some(DROP_TX_TOO_LONG=1)
    passes(own_bench, ports[0])
    own_bench.ip("link set p0 mtu 1500")
    own_bench.settle()
    assert status(own_bench, "p0").problem == ""


def test_down_drops_both_ways(own_bench: Bench, ports: tuple[Cable, Cable]) -> None:
    p0 = ports[0]
    frame = Ether(dst=p0.mac, src=p0.far_mac) / udp(PEER, OURS, 4000, 4001)
    own_bench.ip("link set p0 down")
    own_bench.settle()
    counting = own_bench.counting()

    own_bench.burst([frame] * 3, via=p0.far, at=p0.kernel, count=0)

    counting.expect(DROP_PORT_DOWN=3)
    own_bench.ip("link set p0 up")
    own_bench.settle()
    passes(own_bench, p0)


# ---- what vanishes --------------------------------------------------------------------------


def test_a_wire_that_vanishes_under_load(own_bench: Bench, ports: tuple[Cable, Cable]) -> None:
    p0, p1 = ports
    own_bench.neighbour(p1, "203.0.113.9")
    own_bench.settle()
    load = Ether(dst=p0.mac, src=p0.far_mac) / udp(PEER, "203.0.113.9", 4000, 4001)
    own_bench.burst([load] * 64, via=p0.far, at=p1.far)

    own_bench.ip(f"link delete {p1.wire}")
    for _ in range(8):
        p0.far.send([load] * 64)

    eventually(lambda: "is gone" in status(own_bench, "p1").problem, "p1 is lost", 5.0)
    eventually(lambda: not status(own_bench, "p1").link_up, "and without carrier", 5.0)
    passes(own_bench, p0)
    own_bench.client.remove_port("p1")
    assert set(own_bench.client.status().ports) == {"p0"}
    passes(own_bench, p0)


def test_a_tap_that_vanishes(own_bench: Bench, ports: tuple[Cable, Cable]) -> None:
    own_bench.ip("link delete p1")

    eventually(lambda: "p1 was deleted" in status(own_bench, "p1").problem, "noticed", 5.0)
    passes(own_bench, ports[0])
    own_bench.client.remove_port("p1")
    passes(own_bench, ports[0])


# ---- several lcores -------------------------------------------------------------------------


@pytest.fixture
def ports_on_two_lcores() -> Iterator[tuple[Bench, Cable, Cable]]:
    cores = tuple(sorted(os.sched_getaffinity(0)))[:2]
    with Bench.running("two", replace(SMALL, cores=cores)) as bench:
        yield bench, bench.port("p0", f"{OURS}/24"), bench.port("p1", "203.0.113.1/24")


def test_two_lcores_send_by_one_queue(ports_on_two_lcores: tuple[Bench, Cable, Cable]) -> None:
    """af_packet has one; what comes in by either port leaves by p1, its own frames included."""
    bench, p0, p1 = ports_on_two_lcores
    assert len({status(bench, "p0").lcore, status(bench, "p1").lcore}) == 2
    bench.neighbour(p1, "203.0.113.9")
    bench.settle()
    counting = bench.counting()
    routed = [
        Ether(dst=p.mac, src=p.far_mac) / udp(PEER, "203.0.113.9", 4000, 1 + number)
        for number in range(100)
        for p in (p0, p1)
    ]
    p1.far.forget()

    for frame, end in zip(routed, [p0.far, p1.far] * 100, strict=True):
        end.send([frame])

    arrived = p1.far.expect(200)
    assert {packet.dport for packet in arrived} == set(range(1, 101))
    assert all((packet.dst, packet.ttl) == (p1.far_mac, 63) for packet in arrived)
    # What leaves as it came, the kernel forwards a few of.
    ends = {"FORWARD_IP4", "PUNT_REDIRECT"}
    eventually(lambda: sum(counting.now().values()) == 200, "each is counted")
    assert counting.now().keys() <= ends


# ---- other devices --------------------------------------------------------------------------


def tap(bench: Bench, name: str, mac: str) -> End:
    """One without a cable, for a device that is not of the kernel."""
    bench.ip(f"tuntap add dev {name} mode tap", f"link set dev {name} address {mac}")
    namespaces.write_sysctl(bench.gw, f"net/ipv6/conf/{name}/disable_ipv6", "1")
    bench.ip(f"link set dev {name} up")
    return End(bench.gw, name, bench.stack)


def test_memif(own_bench: Bench, tmp_path: Path) -> None:
    """Two workers share memory. The one that connects may come first, and outlives the other."""
    socket = f"id=0,socket={tmp_path}/memif.sock,socket-abstract=no"
    here = tap(own_bench, "m1", "02:00:00:00:0a:01")
    own_bench.client.add_port(WorkerPort("m1", "m1", f"net_memif_m1,role=client,{socket}"))
    eventually(lambda: "nobody serves" in status(own_bench, "m1").problem, "it waits", 5.0)

    for killed in (True, False):
        with Bench.running("serve") as other:
            there = tap(other, "m0", "02:00:00:00:0a:00")
            other.client.add_port(WorkerPort("m0", "m0", f"net_memif_m0,role=server,{socket}"))
            for bench, name in ((own_bench, "m1"), (other, "m0")):
                eventually(partial(is_up, bench, name), f"{name} is connected", 5.0)
                bench.settle()
            crosses(other, there, own_bench, here)
            if killed:  # it leaves its socket's file to the next one
                other.worker.kill()
        eventually(lambda: not is_up(own_bench, "m1"), "the server's end is noticed", 5.0)


def is_up(bench: Bench, name: str) -> bool:
    return status(bench, name).link_up and status(bench, name).problem == ""


def crosses(sender: Bench, there: End, receiver: Bench, here: End) -> None:
    """Fifty frames from one kernel to the other."""
    counting = receiver.counting("m1")
    frames = [
        Ether(dst="02:00:00:00:0a:01", src="02:00:00:00:0a:00") / udp(PEER, OURS, 4000 + n, 4001)
        for n in range(50)
    ]
    arrived = sender.burst(frames, via=there, at=here)
    assert [bytes(one) for one in arrived] == [bytes(one) for one in frames]
    counting.expect(PUNT_NO_ROUTE=50)


def test_af_xdp(own_bench: Bench) -> None:
    cable = own_bench.cable("x0", f"{OURS}/24")
    own_bench.client.add_port(WorkerPort("x0", "x0", f"net_af_xdp_x0,iface={cable.wire}"))
    eventually(lambda: status(own_bench, "x0").link_up, "x0 is up", 5.0)
    own_bench.settle()

    passes(own_bench, cable)
    assert status(own_bench, "x0").driver == "net_af_xdp"
    answer = Ether(dst=cable.far_mac, src=cable.mac, type=0x88B5) / Raw(b"from the kernel")
    same(own_bench.send_and_expect(answer, via=cable.kernel, at=cable.far), answer)


def test_frames_of_every_length(
    own_bench: Bench, ports: tuple[Cable, Cable], tmp_path: Path
) -> None:
    """0 to 64 bytes: a wire cannot have most of them, a capture can."""
    whole = bytes(Ether(dst=PCAP_MAC, src=ports[0].far_mac) / udp(PEER, "192.0.2.1", 4000, 4001))
    wrpcap(str(tmp_path / "in.pcap"), [whole[:length] for length in range(65)], linktype=1)
    own_bench.ip("tuntap add dev pc mode tap", f"link set pc address {PCAP_MAC}")
    own_bench.ip("link set dev pc up", "address add 192.0.2.1/24 dev pc")
    device = f"net_pcap0,rx_pcap={tmp_path}/in.pcap,tx_pcap={tmp_path}/out.pcap"

    own_bench.client.add_port(WorkerPort("pc", "pc", device))

    def seen() -> dict[str, int]:
        ends = own_bench.counters("pc")
        return {name: count for name, count in ends.items() if name != "FROM_KERNEL"}

    eventually(lambda: sum(seen().values()) == 65, "each of them is one counter's")
    assert seen()["DROP_SHORT"] == 14
    assert status(own_bench, "pc").rx_packets == 65
    passes(own_bench, ports[0])
