# SPDX-License-Identifier: GPL-2.0-or-later
"""Neighbours and stations: learned by the kernel, used by the worker, kept by the kernel for it."""

import pytest
from scapy.layers.l2 import ARP, Ether

from hybrid_gateway.lab import namespaces
from hybrid_gateway.worker_client import MirrorStatus, Way
from hybrid_gateway.worker_values import WayKind
from tests.dpdk.harness import Bench
from tests.dpdk.wires import Cable
from tests.lib.gateway import eventually
from tests.lib.packets import udp

pytestmark = pytest.mark.dpdk

GATEWAY, HOST, SERVER = "203.0.113.9", "198.51.100.7", "10.1.1.1"
LIFE_SECONDS = 20.0
"""More than it takes to believe something for some time, and to ask then."""


@pytest.fixture
def ports(own_bench: Bench) -> tuple[Cable, Cable]:
    p0 = own_bench.port("p0", "198.51.100.1/24")
    p1 = own_bench.port("p1", "203.0.113.1/24")
    own_bench.settle()
    return p0, p1


def way(bench: Bench, address: str) -> Way:
    bench.settle()
    return bench.client.explain([address])[0]


def mirror(bench: Bench) -> MirrorStatus:
    bench.settle()
    found = bench.client.status().mirror
    assert found
    return found


def neighbour(bench: Bench, address: str) -> str:
    """What the kernel says of it; empty: nothing."""
    return bench.run("ip", "-d", "neigh", "show", "to", address)


def answer(port: Cable, address: str) -> None:
    """Waits for the kernel's question, and tells where the address is."""
    for packet in port.far.arriving():
        if ARP in packet and packet[ARP].op == 1 and packet[ARP].pdst == address:
            asked = packet[ARP]
            reply = ARP(op=2, hwsrc=port.far_mac, psrc=address, hwdst=asked.hwsrc, pdst=asked.psrc)
            port.far.send([Ether(src=port.far_mac, dst=asked.hwsrc) / reply])
            return
    raise AssertionError(f"nobody asks for {address}")


def test_a_gateway_is_resolved_and_managed(own_bench: Bench, ports: tuple[Cable, Cable]) -> None:
    _, p1 = ports
    own_bench.ip(f"route add 10.0.0.0/8 via {GATEWAY}")
    # Without any packet for it: the kernel was told to keep it.
    answer(p1, GATEWAY)
    eventually(lambda: way(own_bench, SERVER).mac == p1.far_mac, "the gateway is known")
    assert "managed" in neighbour(own_bench, GATEWAY)

    own_bench.ip("route del 10.0.0.0/8")
    own_bench.settle()
    eventually(lambda: "managed" not in neighbour(own_bench, GATEWAY), "it ages again")


def test_a_permanent_gateway_stays_so(own_bench: Bench, ports: tuple[Cable, Cable]) -> None:
    _, p1 = ports
    own_bench.ip(
        f"route add 10.0.0.0/8 via {GATEWAY}",
        f"neigh replace {GATEWAY} lladdr {p1.far_mac} dev p1 nud permanent",
    )
    assert way(own_bench, SERVER).mac == p1.far_mac

    own_bench.ip("route del 10.0.0.0/8")
    own_bench.settle()
    assert "PERMANENT" in neighbour(own_bench, GATEWAY)


def test_managed_ends_with_the_worker(own_bench: Bench, ports: tuple[Cable, Cable]) -> None:
    _, p1 = ports
    own_bench.ip(
        f"neigh replace {GATEWAY} lladdr {p1.far_mac} dev p1 nud reachable",
        f"route add 10.0.0.0/8 via {GATEWAY}",
    )
    eventually(lambda: "managed" in neighbour(own_bench, GATEWAY), "it is managed")

    own_bench.worker.end()

    assert "managed" not in neighbour(own_bench, GATEWAY)


def test_states(own_bench: Bench, ports: tuple[Cable, Cable]) -> None:
    p0, _ = ports
    for state in ("permanent", "noarp", "reachable", "stale", "delay", "probe"):
        own_bench.ip(f"neigh replace {HOST} lladdr {p0.far_mac} dev p0 nud {state}")
        assert way(own_bench, HOST).mac == p0.far_mac, state

    own_bench.ip(f"neigh replace {HOST} lladdr 02:00:00:00:0a:0a dev p0 nud reachable")
    assert way(own_bench, HOST).mac == "02:00:00:00:0a:0a"

    own_bench.ip(f"neigh replace {HOST} dev p0 nud failed")
    assert way(own_bench, HOST).reason == "PUNT_NEIGHBOUR"


@pytest.mark.usefixtures("ports")
def test_a_proxy_entry_is_no_neighbour(own_bench: Bench) -> None:
    own_bench.ip(f"neigh add proxy {HOST} dev p0")

    assert way(own_bench, HOST).reason == "PUNT_NEIGHBOUR"
    assert mirror(own_bench).neighbours4 == 0


def test_a_stale_neighbour_in_use_is_asked(own_bench: Bench, ports: tuple[Cable, Cable]) -> None:
    p0, p1 = ports
    own_bench.ip(f"neigh replace {HOST} lladdr {p0.far_mac} dev p0 nud stale")
    own_bench.settle()
    counting = own_bench.counting()
    frame = Ether(src=p1.far_mac, dst=p1.mac) / udp(SERVER, HOST, 53, 4000)
    own_bench.send_and_expect(frame, via=p1.far, at=p0.far)
    counting.expect(FORWARD_IP4=1)

    # The kernel has seen nothing of that; it asks for it was told.
    for packet in p0.far.arriving(LIFE_SECONDS):
        if ARP in packet and packet[ARP].pdst == HOST:
            break
    else:
        raise AssertionError("nobody asks for it")


def test_a_stale_neighbour_at_rest_is_left_alone(
    own_bench: Bench, ports: tuple[Cable, Cable]
) -> None:
    p0, _ = ports
    own_bench.ip(f"neigh replace {HOST} lladdr {p0.far_mac} dev p0 nud stale")

    assert not [p for p in p0.far.arriving(LIFE_SECONDS / 2) if ARP in p]
    assert "STALE" in neighbour(own_bench, HOST)


# ---- stations ------------------------------------------------------------------------------


def bridge(bench: Bench, *options: str) -> None:
    bench.ip(
        f"link add br0 type bridge {' '.join(options)}",
        "link set p0 master br0",
        "link set p1 master br0",
        "link set br0 up",
    )
    bench.settle()


def between(source: Cable, target: Cable) -> Ether:
    """One station to the other."""
    return Ether(src=source.far_mac, dst=target.far_mac) / udp("192.0.2.1", "192.0.2.2", 1, 2)


def learned(bench: Bench, ports: tuple[Cable, Cable]) -> None:
    """Both have spoken once, by the kernel."""
    p0, p1 = ports
    p0.far.send([between(p0, p1)])
    p1.far.expect(1)
    p1.far.send([between(p1, p0)])
    p0.far.expect(1)
    eventually(lambda: mirror(bench).stations >= 4, "both stations, and both ports' own")


def test_stations_are_learned_and_used(own_bench: Bench, ports: tuple[Cable, Cable]) -> None:
    p0, p1 = ports
    bridge(own_bench)
    learned(own_bench, ports)
    counting = own_bench.counting()
    received = own_bench.send_and_expect(between(p0, p1), via=p0.far, at=p1.far)
    assert bytes(received) == bytes(between(p0, p1))
    counting.expect(FORWARD_BRIDGE=1)


def test_a_station_moves(own_bench: Bench, ports: tuple[Cable, Cable]) -> None:
    p0, p1 = ports
    bridge(own_bench)
    learned(own_bench, ports)
    # From the other port: the kernel has to learn that first.
    counting = own_bench.counting()
    p1.far.send([Ether(src=p0.far_mac, dst=p1.far_mac) / between(p0, p1).payload])
    counting.expect(PUNT_BRIDGE_MISS=1)
    own_bench.settle()

    counting = own_bench.counting()
    p1.far.send([between(p1, p0)])
    counting.expect(DROP_SAME_PORT=1)


def test_a_static_and_a_deleted_entry(own_bench: Bench, ports: tuple[Cable, Cable]) -> None:
    p0, p1 = ports
    bridge(own_bench)
    for port in ports:
        own_bench.run("bridge", "fdb", "add", port.far_mac, "dev", port.name, "master", "static")
    own_bench.settle()
    counting = own_bench.counting()
    own_bench.send_and_expect(between(p0, p1), via=p0.far, at=p1.far)
    counting.expect(FORWARD_BRIDGE=1)

    own_bench.run("bridge", "fdb", "del", p1.far_mac, "dev", "p1", "master")
    own_bench.settle()
    counting = own_bench.counting()
    own_bench.send_and_expect(between(p0, p1), via=p0.far, at=p1.far)
    counting.expect(PUNT_BRIDGE_MISS=1)


def test_isolated_ports_are_the_kernels(own_bench: Bench, ports: tuple[Cable, Cable]) -> None:
    p0, p1 = ports
    bridge(own_bench)
    learned(own_bench, ports)
    for port in ports:
        own_bench.run("bridge", "link", "set", "dev", port.name, "isolated", "on")
    own_bench.settle()
    counting = own_bench.counting()
    p1.far.forget()
    p0.far.send([between(p0, p1)])
    counting.expect(PUNT_VLAN=1)
    wanted = bytes(between(p0, p1))
    assert all(bytes(packet) != wanted for packet in p1.far.arriving(0.2))


def test_a_blocked_port(own_bench: Bench, ports: tuple[Cable, Cable]) -> None:
    p0, p1 = ports
    bridge(own_bench)
    learned(own_bench, ports)
    own_bench.run("bridge", "link", "set", "dev", "p1", "state", "0")
    own_bench.settle()
    counting = own_bench.counting()
    p0.far.send([between(p0, p1)])
    p1.far.send([between(p1, p0)])
    counting.expect_some(DROP_BRIDGE_STATE=1)


def test_a_station_that_speaks_does_not_age(own_bench: Bench, ports: tuple[Cable, Cable]) -> None:
    p0, p1 = ports
    # In hundredths of a second.
    bridge(own_bench, "ageing_time", "400")
    learned(own_bench, ports)

    def spoken() -> bool:
        # To keep its own entry is all that it does; the other one stays silent.
        p0.far.send([Ether(src=p0.far_mac, dst=p0.mac) / between(p0, p1).payload])
        return p1.far_mac not in own_bench.run("bridge", "fdb", "show", "br", "br0")

    eventually(spoken, "the silent one has aged", LIFE_SECONDS)
    assert p0.far_mac in own_bench.run("bridge", "fdb", "show", "br", "br0")


def test_bridges_own_addresses_are_routed(own_bench: Bench, ports: tuple[Cable, Cable]) -> None:
    p0, p1 = ports
    p2 = own_bench.port("p2", "100.64.0.1/24")
    bridge(own_bench)
    learned(own_bench, ports)
    mac = "02:00:00:00:07:07"
    own_bench.ip(
        f"link set br0 address {mac}",
        "address add 192.0.2.1/24 dev br0",
        f"neigh replace 192.0.2.9 lladdr {p1.far_mac} dev br0",
        "route add 10.0.0.0/8 via 192.0.2.9",
        f"neigh replace 100.64.0.9 lladdr {p2.far_mac} dev p2",
    )
    namespaces.write_sysctl(own_bench.gw, "net/ipv4/conf/br0/rp_filter", "0")
    own_bench.settle()
    assert way(own_bench, SERVER).kind is WayKind.BRIDGE
    counting = own_bench.counting()
    into = Ether(src=p0.far_mac, dst=mac) / udp("192.0.2.7", "100.64.0.9", 1, 2)
    received = own_bench.send_and_expect(into, via=p0.far, at=p2.far)
    assert (received.src, received.dst) == (p2.mac, p2.far_mac)
    out = Ether(src=p2.far_mac, dst=p2.mac) / udp("100.64.0.9", SERVER, 1, 2)
    received = own_bench.send_and_expect(out, via=p2.far, at=p1.far)
    assert (received.src, received.dst) == (mac, p1.far_mac)
    counting.expect(FORWARD_IP4=2)
