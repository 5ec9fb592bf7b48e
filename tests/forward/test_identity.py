# SPDX-License-Identifier: GPL-2.0-or-later
"""Identity mappings: an inside endpoint that leaves as it is, and a port that is the gateway's."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from scapy.layers.inet import IP, UDP

from tests.lib.gateway import Gateway, eventually, nat44
from tests.lib.kernel_mode import Plane
from tests.lib.packets import (
    LAN,
    LAN2,
    PAYLOAD,
    SERVER,
    WAN,
    from_lan,
    from_wan,
    same,
    tcp,
    to_lan,
    to_wan,
    udp,
)
from tests.lib.sockets import bound
from tests.lib.traffic import Wires

NETWORK = "192.0.2.0/24"
PUBLIC = "192.0.2.10"
"""Public addresses inside: the watch over the outside port knows the private ones as leaks."""
IDENTITY = nat44("static:", f'  - {{protocol: udp, identity: "{PUBLIC}:4789"}}')
OWN = nat44("ports: 61000-61001", "static:", f'  - {{protocol: udp, identity: "{WAN.ip}:61000"}}')


@pytest.fixture
def public(plane: Plane) -> Iterator[Plane]:
    """The LAN host has a public address as well, and the gateway has met it."""
    with ExitStack() as stack:
        for host, device, address in (("gw", "br-lan", "192.0.2.1"), ("lan", "eth0", PUBLIC)):
            what = [f"{address}/24", "dev", device]
            plane.lab.run(host, ["ip", "address", "add", *what])
            stack.callback(plane.lab.run, host, ["ip", "address", "delete", *what])
        plane.lab.run("lan", ["ping", "-n", "-c", "1", "-I", PUBLIC, "192.0.2.1"])
        gateway = plane.gateway
        if isinstance(gateway, Gateway):
            told = gateway.call
            eventually(lambda: NETWORK in told("show.nat")["prefixes"], "the guard knows it")
        yield plane


def test_an_inside_endpoint_leaves_as_it_is(public: Plane) -> None:
    public.apply(IDENTITY)
    counts = public.counting()
    call = from_lan(udp(PUBLIC, SERVER, 4789, 4789))
    out = public.wires.send_and_expect(call, at="lan", to="wan")
    same(out, to_wan(udp(PUBLIC, SERVER, 4789, 4789, ttl=63)))
    answer = from_wan(udp(SERVER, PUBLIC, 4789, 4789))
    back = public.wires.send_and_expect(answer, at="wan", to="lan")
    same(back, to_lan(udp(SERVER, PUBLIC, 4789, 4789, ttl=63)))
    counts.expect(FORWARD=2, NAT_NEW_SESSION=1)


def test_an_inside_endpoint_is_reached_as_it_is(public: Plane) -> None:
    """By anybody, like a port forward."""
    public.apply(IDENTITY)
    counts = public.counting()
    call = from_wan(udp(SERVER, PUBLIC, 9000, 4789))
    into = public.wires.send_and_expect(call, at="wan", to="lan")
    same(into, to_lan(udp(SERVER, PUBLIC, 9000, 4789, ttl=63)))
    answer = from_lan(udp(PUBLIC, SERVER, 4789, 9000))
    back = public.wires.send_and_expect(answer, at="lan", to="wan")
    same(back, to_wan(udp(PUBLIC, SERVER, 4789, 9000, ttl=63)))
    counts.expect(FORWARD=2, NAT_NEW_SESSION=1)


@pytest.mark.parametrize("packet", [udp(PUBLIC, SERVER, 4790, 53), tcp(PUBLIC, SERVER, 4789, 80)])
def test_everything_else_of_it_is_translated(public: Plane, packet: IP) -> None:
    public.apply(IDENTITY)
    out = public.wires.send_and_expect(from_lan(packet), at="lan", to="wan")
    assert out[IP].src == WAN.ip
    assert out[IP].payload.sport in public.ports


@pytest.mark.parametrize("packet", [udp(SERVER, PUBLIC, 9000, 53), tcp(SERVER, PUBLIC, 9000, 4789)])
def test_everything_else_of_it_is_out_of_reach(public: Plane, packet: IP) -> None:
    public.apply(IDENTITY)
    public.wires.send_and_expect_nothing(from_wan(packet), at="wan", to="lan")


def test_an_inside_endpoint_calls_an_inside_host_by_its_outside_address(public: Plane) -> None:
    """Translated then, or the answer would not come by here (RFC 4787 REQ-9)."""
    forward = f'  - {{protocol: udp, outside: ":2222", inside: "{LAN2.ip}:22"}}\n'
    public.apply(f"{IDENTITY}  {forward}")
    counts = public.counting()
    call = from_lan(udp(PUBLIC, WAN.ip, 4789, 2222))
    into = public.wires.send_and_expect(call, at="lan", to="lan2")
    port = into[UDP].sport
    assert port in public.ports
    same(into, to_lan(udp(WAN.ip, LAN2.ip, port, 22, ttl=63), LAN2))
    answer = from_lan(udp(LAN2.ip, WAN.ip, 22, port), LAN2)
    back = public.wires.send_and_expect(answer, at="lan2", to="lan")
    same(back, to_lan(udp(WAN.ip, PUBLIC, 2222, 4789, ttl=63)))
    counts.expect(FORWARD=2, NAT_NEW_MAPPING=1, NAT_NEW_SESSION=1)


def test_a_port_of_the_gateway_is_its_own(plane: Plane) -> None:
    """Though it is one of nat44.ports."""
    plane.apply(OWN)
    counts = plane.counting()
    with bound(plane.lab, "gw", WAN.ip, 61000) as server:
        plane.wires.send(from_wan(udp(SERVER, WAN.ip, 9000, 61000)), at="wan")
        assert server.recvfrom(1000) == (PAYLOAD, (SERVER, 9000))
    with (
        bound(plane.lab, "gw", WAN.ip, 61000) as server,
        bound(plane.lab, "wan", SERVER, 9001) as client,
    ):
        server.sendto(PAYLOAD, (SERVER, 9001))
        assert client.recvfrom(1000) == (PAYLOAD, (WAN.ip, 61000))
    counts.expect(PUNT_HOST=1)


def test_a_port_of_the_gateway_is_never_given_out(wires: Wires, gateway: Gateway) -> None:
    """Nobody listens on it at the moment; the only other one goes to the first host."""
    gateway.apply(OWN)
    counts = gateway.counting()
    first = from_lan(udp(LAN.ip, SERVER, 4000, 53))
    assert wires.send_and_expect(first, at="lan", to="wan")[UDP].sport == 61001
    second = from_lan(udp(LAN2.ip, SERVER, 4000, 53), LAN2)
    wires.send_and_expect_nothing(second, at="lan2", to="wan")
    wires.send_and_expect_nothing(from_wan(udp(SERVER, WAN.ip, 9000, 61000)), at="wan", to="lan")
    counts.expect_some(FORWARD=1, NAT_NEW_MAPPING=1, DROP_NO_PORT=1, PUNT_HOST=1)
