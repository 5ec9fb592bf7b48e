# SPDX-License-Identifier: GPL-2.0-or-later
"""Links: what somebody sets on a TAP holds for the port, and for what is forwarded by it."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from scapy.layers.l2 import ARP, Ether

from hybrid_gateway.lab import namespaces
from hybrid_gateway.worker_client import Way
from hybrid_gateway.worker_values import WayKind
from tests.dpdk.harness import Bench
from tests.dpdk.wires import Cable
from tests.lib.gateway import eventually
from tests.lib.packets import same, udp

pytestmark = pytest.mark.dpdk

GATEWAY = "203.0.113.9"
INSIDE = "198.51.100.7"
SERVER = "10.1.1.1"
ETH_P_ALL = 3
SOL_PACKET, PACKET_ADD_MEMBERSHIP, PACKET_MR_PROMISC = 263, 1, 1


@pytest.fixture
def ports(own_bench: Bench) -> tuple[Cable, Cable]:
    p0 = own_bench.port("p0", "198.51.100.1/24")
    p1 = own_bench.port("p1", "203.0.113.1/24")
    own_bench.neighbour(p1, GATEWAY)
    own_bench.ip(f"route add 10.0.0.0/8 via {GATEWAY}")
    own_bench.settle()
    return p0, p1


def way(bench: Bench, address: str = SERVER) -> Way:
    bench.settle()
    return bench.client.explain([address])[0]


def frame(port: Cable, to: str = "", ttl: int = 64) -> Ether:
    return Ether(src=port.far_mac, dst=to or port.mac) / udp(INSIDE, SERVER, 4000, 53, ttl=ttl)


def forwarded(bench: Bench, ports: tuple[Cable, Cable]) -> None:
    """One frame goes through, by the worker."""
    p0, p1 = ports
    counting = bench.counting()
    p1.far.forget()
    p0.far.send([frame(p0)])
    # The kernel may have asked for a gateway before it was told of it.
    received = next((one for one in p1.far.arriving() if ARP not in one), None)
    assert received, "nothing goes through"
    same(received, Ether(src=p1.mac, dst=p1.far_mac) / frame(p0, ttl=63).payload)
    counting.expect(FORWARD_IP4=1)


def test_mtu(own_bench: Bench, ports: tuple[Cable, Cable]) -> None:
    own_bench.ip("link set p1 mtu 1280")

    assert way(own_bench).mtu == 1280
    eventually(lambda: own_bench.client.status().ports["p1"].mtu == 1280, "the port follows")
    forwarded(own_bench, ports)


def test_mac_address(own_bench: Bench, ports: tuple[Cable, Cable]) -> None:
    mac = "02:00:00:00:05:05"
    own_bench.ip(f"link set p1 address {mac}")
    # The kernel forgets all neighbours at that, permanent ones too.
    own_bench.neighbour(ports[1], GATEWAY)

    assert way(own_bench).source == mac
    eventually(lambda: own_bench.client.status().ports["p1"].mac == mac, "the port follows")


def test_down_and_up(own_bench: Bench, ports: tuple[Cable, Cable]) -> None:
    own_bench.ip("link set p1 down")
    assert way(own_bench).reason == "PUNT_NO_ROUTE"
    assert not own_bench.client.status().ports["p1"].admin_up

    own_bench.ip("link set p1 up", f"route add 10.0.0.0/8 via {GATEWAY}")
    own_bench.neighbour(ports[1], GATEWAY)
    assert way(own_bench).kind is WayKind.PORT
    forwarded(own_bench, ports)


def test_another_name(own_bench: Bench, ports: tuple[Cable, Cable]) -> None:
    own_bench.ip("link set p1 name wan")

    assert way(own_bench).mac == ports[1].far_mac
    forwarded(own_bench, ports)


def test_without_carrier(own_bench: Bench, ports: tuple[Cable, Cable]) -> None:
    own_bench.ip(f"route add 10.0.0.0/8 via {INSIDE} metric 50")
    own_bench.neighbour(ports[0], INSIDE)
    namespaces.write_sysctl(own_bench.gw, "net/ipv4/conf/p1/ignore_routes_with_linkdown", "1")
    assert way(own_bench).mac == ports[1].far_mac

    namespaces.ip_batch(own_bench.far, ["link set p1 down"])
    eventually(lambda: way(own_bench).mac == ports[0].far_mac, "the other route is taken")

    namespaces.ip_batch(own_bench.far, ["link set p1 up"])
    eventually(lambda: way(own_bench).mac == ports[1].far_mac, "the first route is back")


def test_forwarding_is_switched(own_bench: Bench, ports: tuple[Cable, Cable]) -> None:
    p0, _ = ports
    namespaces.write_sysctl(own_bench.gw, "net/ipv4/conf/p0/forwarding", "0")
    own_bench.settle()
    counting = own_bench.counting()
    p0.far.send([frame(p0)])
    counting.expect(PUNT_NOT_FORWARDING=1)

    namespaces.write_sysctl(own_bench.gw, "net/ipv4/ip_forward", "0")
    namespaces.write_sysctl(own_bench.gw, "net/ipv4/ip_forward", "1")
    own_bench.settle()
    forwarded(own_bench, ports)


@pytest.mark.parametrize(("device", "value"), [("p0", "1"), ("all", "1"), ("p0", "2")])
def test_reverse_path_filter(
    own_bench: Bench, ports: tuple[Cable, Cable], device: str, value: str
) -> None:
    p0, _ = ports
    namespaces.write_sysctl(own_bench.gw, f"net/ipv4/conf/{device}/rp_filter", value)
    own_bench.settle()
    forwarded(own_bench, ports)

    counting = own_bench.counting()
    lost = Ether(src=p0.far_mac, dst=p0.mac) / udp("192.0.2.77", SERVER, 4000, 53)
    p0.far.send([lost])
    counting.expect(PUNT_RP_FILTER=1)


def test_somebody_listens(own_bench: Bench, ports: tuple[Cable, Cable]) -> None:
    p0, _ = ports
    other = frame(p0, to="02:00:00:00:09:09")
    counting = own_bench.counting()
    p0.far.send([other])
    counting.expect(DROP_NOT_FOR_US=1)

    with ExitStack() as stack:
        with namespaces.entered(own_bench.gw):
            ear = stack.enter_context(socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0))
            number = socket.if_nametoindex("p0")
        membership = number.to_bytes(4, "little") + PACKET_MR_PROMISC.to_bytes(2, "little")
        ear.setsockopt(SOL_PACKET, PACKET_ADD_MEMBERSHIP, membership + bytes(10))
        own_bench.settle()
        counting = own_bench.counting()
        same(own_bench.send_and_expect(other, via=p0.far, at=p0.kernel), other)
        counting.expect(PUNT_PROMISCUOUS=1)

    own_bench.settle()
    counting = own_bench.counting()
    p0.far.send([other])
    counting.expect(DROP_NOT_FOR_US=1)


def test_into_a_bridge_and_out(own_bench: Bench, ports: tuple[Cable, Cable]) -> None:
    _, p1 = ports
    own_bench.ip(
        "link add br0 type bridge",
        "link set br0 address 02:00:00:00:06:06",
        "link set p1 master br0",
        "link set br0 up",
        "address del 203.0.113.1/24 dev p1",
        "address add 203.0.113.1/24 dev br0",
        f"neigh replace {GATEWAY} lladdr {p1.far_mac} dev br0",
        f"route add 10.0.0.0/8 via {GATEWAY}",
    )
    found = way(own_bench)
    assert (found.kind, found.mac, found.source) == (
        WayKind.BRIDGE,
        p1.far_mac,
        "02:00:00:00:06:06",
    )

    own_bench.ip("link set p1 nomaster")
    assert way(own_bench).reason == "PUNT_OTHER_DEVICE"

    own_bench.ip("link set p1 master br0")
    assert way(own_bench).kind is WayKind.BRIDGE

    own_bench.ip("link del br0", "address add 203.0.113.1/24 dev p1")
    own_bench.ip(f"route add 10.0.0.0/8 via {GATEWAY}")
    own_bench.neighbour(p1, GATEWAY)
    assert way(own_bench).kind is WayKind.PORT
    forwarded(own_bench, ports)


def test_removed_and_added_again(own_bench: Bench, ports: tuple[Cable, Cable]) -> None:
    p0, p1 = ports
    own_bench.client.remove_port("p1")
    assert way(own_bench).reason == "PUNT_OTHER_DEVICE"

    own_bench.ip(f"route add 10.2.0.0/16 via {GATEWAY}")
    assert way(own_bench, "10.2.0.1").reason == "PUNT_OTHER_DEVICE"

    own_bench.add(p1)
    assert way(own_bench).mac == way(own_bench, "10.2.0.1").mac == p1.far_mac
    forwarded(own_bench, (p0, p1))


@pytest.mark.usefixtures("ports")
def test_somebody_deletes_the_tap(own_bench: Bench) -> None:
    own_bench.ip("link del p1")

    eventually(lambda: way(own_bench).reason == "PUNT_NO_ROUTE", "its routes are gone")
    status = own_bench.client.status().mirror
    assert status
    assert status.interfaces == 1


@pytest.mark.usefixtures("ports")
def test_status_of_an_idle_mirror(own_bench: Bench) -> None:
    own_bench.settle()
    status = own_bench.client.status().mirror
    assert status
    assert status.synchronised
    assert (status.problem, status.resyncs, status.interfaces) == ("", 0, 2)
    assert (status.neighbours4, status.routes4) == (1, 10)


@pytest.fixture(autouse=True)
def _quiet(own_bench: Bench) -> Iterator[None]:
    """The worker lives on, whatever the test did."""
    yield
    assert own_bench.client.status().started


# ---- below a port, and in its place --------------------------------------------------------


def test_the_wires_carrier_is_followed_at_once(
    own_bench: Bench, ports: tuple[Cable, Cable]
) -> None:
    wire, tap = ports[1].wire, ports[1].name

    def carrier(device: str) -> bool:
        return "LOWER_UP" in own_bench.run("ip", "link", "show", "dev", device)

    def follows(far: str, wanted: bool) -> None:
        namespaces.ip_batch(own_bench.far, [f"link set {tap} {far}"])
        eventually(lambda: carrier(wire) is wanted, "the kernel knows")
        # What the kernel says of a carrier comes a moment after it is so: behind that we are sure.
        own_bench.ip(f"link set {wire} alias {far}")
        own_bench.settle()
        assert carrier(tap) is wanted

    for _ in range(4):
        follows("down", wanted=False)
        follows("up", wanted=True)


@pytest.mark.usefixtures("ports")
def test_the_wire_is_deleted(own_bench: Bench) -> None:
    own_bench.ip("link del p1-wire")
    own_bench.settle()

    status = own_bench.client.status().ports["p1"]
    assert "is gone" in status.problem
    assert "NO-CARRIER" in own_bench.run("ip", "link", "show", "dev", "p1")


def index_of(bench: Bench, device: str) -> int:
    return int(bench.run("ip", "-o", "link", "show", "dev", device).split(":")[0])


@pytest.mark.usefixtures("ports")
def test_another_device_takes_the_wires_number(own_bench: Bench) -> None:
    number = index_of(own_bench, "p1-wire")
    own_bench.ip("link del p1-wire", f"link add other index {number} type bridge")
    own_bench.settle()

    assert "is gone" in own_bench.client.status().ports["p1"].problem


def test_another_device_takes_the_taps_number(own_bench: Bench, ports: tuple[Cable, Cable]) -> None:
    number = index_of(own_bench, "p1")
    # At once: what the mirror reads of both, it reads together.
    own_bench.ip(
        "link del p1",
        f"link add other index {number} type bridge",
        "link set other up",
        "address add 203.0.113.1/24 dev other",
        f"neigh replace {GATEWAY} lladdr {ports[1].far_mac} dev other nud permanent",
        f"route add 10.0.0.0/8 via {GATEWAY}",
    )
    assert way(own_bench).reason == "PUNT_OTHER_DEVICE"
    assert way(own_bench, GATEWAY).reason == "PUNT_OTHER_DEVICE"
    status = own_bench.client.status().mirror
    assert status
    assert (status.interfaces, status.neighbours4) == (1, 0)


def test_another_bridge_takes_the_number_of_one(
    own_bench: Bench, ports: tuple[Cable, Cable]
) -> None:
    p0, p1 = ports
    own_bench.ip(
        "link add br0 type bridge",
        "link set br0 address 02:00:00:00:06:06",
        "link set p1 master br0",
        "link set br0 up",
        "address flush dev p1",
        "address add 203.0.113.1/24 dev br0",
        f"neigh replace {GATEWAY} lladdr {p1.far_mac} dev br0",
        f"route add 10.0.0.0/8 via {GATEWAY}",
    )
    own_bench.run("bridge", "fdb", "add", p1.far_mac, "dev", "p1", "master", "static")
    assert way(own_bench).mac == p1.far_mac

    number = index_of(own_bench, "br0")
    own_bench.ip(
        "link del br0",
        f"link add br1 index {number} address 02:00:00:00:06:07 type bridge",
        "link set p1 master br1",
        "link set br1 up",
    )
    assert way(own_bench).reason == "PUNT_NO_ROUTE"
    own_bench.ip("address add 203.0.113.1/24 dev br1", f"route add 10.0.0.0/8 via {GATEWAY}")
    assert way(own_bench).reason == "PUNT_NEIGHBOUR"
    own_bench.ip(f"neigh replace {GATEWAY} lladdr {p1.far_mac} dev br1")
    found = way(own_bench)
    assert (found.kind, found.source) == (WayKind.BRIDGE, "02:00:00:00:06:07")
    # Where the station is, the new bridge has not learned yet.
    counting = own_bench.counting("p0")
    own_bench.send_and_expect(frame(p0), via=p0.far, at=p1.far)
    counting.expect(PUNT_BRIDGE_MISS=1)
