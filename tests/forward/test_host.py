# SPDX-License-Identifier: GPL-2.0-or-later
"""The gateway's own traffic shares the outside address with NAT."""

import socket

import pytest
from scapy.layers.inet import UDP

from hybrid_gateway.lab.services import servers
from tests.lib.gateway import Gateway, nat44
from tests.lib.packets import LAN, PAYLOAD, SERVER, WAN, from_lan, from_wan, udp
from tests.lib.programs import curl, pinged
from tests.lib.sockets import bound, connected
from tests.lib.traffic import Wires


@pytest.mark.usefixtures("internet")
def test_ping_and_download_from_the_gateway(gateway: Gateway) -> None:
    assert pinged(gateway.lab, "gw", SERVER, count=5) == 5
    seen = curl(gateway.lab, "gw", f"http://{SERVER}/whoami").decode()
    address, _, port = seen.partition(":")
    assert address == WAN.ip
    # ip_local_reserved_ports keeps the host's own connections out of NAT's ports.
    assert not 10000 <= int(port) <= 49999


def test_a_server_on_the_outside_address_is_reachable(gateway: Gateway) -> None:
    with (
        bound(gateway.lab, "gw", WAN.ip, 22, socket.SOCK_STREAM) as server,
        connected(gateway.lab, "wan", WAN.ip, 22) as client,
    ):
        accepted, peer = server.accept()
        with accepted:
            assert peer[0] == "203.0.113.1"
            client.sendall(b"SSH-2.0-test")
            assert accepted.recv(100) == b"SSH-2.0-test"


def test_the_outside_address_answers_ping(gateway: Gateway) -> None:
    assert pinged(gateway.lab, "wan", WAN.ip, count=3) == 3


def test_a_socket_inside_the_nat_range_gets_its_traffic(wires: Wires, gateway: Gateway) -> None:
    counts = gateway.counting()
    with bound(gateway.lab, "gw", WAN.ip, 30000) as service:
        wires.send(from_wan(udp(SERVER, WAN.ip, 53, 30000)), at="wan")
        assert service.recvfrom(100) == (PAYLOAD, (SERVER, 53))
    counts.expect(PUNT_HOST=1)


def test_a_listener_inside_the_nat_range_serves(gateway: Gateway) -> None:
    with servers(gateway.lab, "gw", http=[f"{WAN.ip}:30002"]):
        seen = curl(gateway.lab, "wan", f"http://{WAN.ip}:30002/whoami")
    assert seen.startswith(b"203.0.113.1:")


def test_mappings_keep_away_from_the_hosts_sockets(wires: Wires, gateway: Gateway) -> None:
    """Two ports, one is the host's: the LAN host gets the other, the socket hears only its own."""
    gateway.apply(nat44("ports: 61010-61011"))
    with bound(gateway.lab, "gw", WAN.ip, 61010) as service:
        out = wires.send_and_expect(from_lan(udp(LAN.ip, SERVER, 4000, 53)), at="lan", to="wan")
        assert out[UDP].sport == 61011
        wires.send_and_expect(from_wan(udp(SERVER, WAN.ip, 53, 61011)), at="wan", to="lan")
        wires.send(from_wan(udp(SERVER, WAN.ip, 53, 61010)), at="wan")
        assert service.recvfrom(100)[0] == PAYLOAD


@pytest.mark.usefixtures("internet")
def test_the_gateway_resolves_over_udp(gateway: Gateway) -> None:
    """A question and its answer, as the resolver of the box asks them."""
    with bound(gateway.lab, "gw", "0.0.0.0", 0) as resolver:
        port = resolver.getsockname()[1]
        assert not 10000 <= port <= 49999
        resolver.sendto(b"question", (SERVER, 7))
        assert resolver.recv(200) == f"{WAN.ip}:{port} question".encode()
