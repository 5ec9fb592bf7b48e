# SPDX-License-Identifier: GPL-2.0-or-later
"""Static port forwards and 1:1 mappings, from outside and from inside."""

from hybrid_gateway.lab.topology import ONE_TO_ONE
from tests.lib.gateway import Gateway, nat44
from tests.lib.packets import (
    LAN,
    LAN2,
    SERVER,
    WAN,
    echo,
    from_lan,
    from_wan,
    same,
    tcp,
    to_lan,
    to_wan,
    udp,
)
from tests.lib.traffic import Wires

OUTSIDE = str(ONE_TO_ONE)
FORWARDS = nat44(
    "static:",
    f'  - {{protocol: tcp, outside: ":2222", inside: "{LAN.ip}:22"}}',
    f'  - {{protocol: udp, outside: "{WAN.ip}:5353", inside: "{LAN2.ip}:53"}}',
)
PAIR = nat44("static:", f"  - {{outside: {OUTSIDE}, inside: {LAN2.ip}}}")


def test_a_port_forward_in_and_back(wires: Wires, gateway: Gateway) -> None:
    gateway.apply(FORWARDS)
    counts = gateway.counting()
    into = wires.send_and_expect(from_wan(tcp(SERVER, WAN.ip, 9000, 2222)), at="wan", to="lan")
    same(into, to_lan(tcp(SERVER, LAN.ip, 9000, 22, ttl=63)))
    answer = from_lan(tcp(LAN.ip, SERVER, 22, 9000, "SA"))
    back = wires.send_and_expect(answer, at="lan", to="wan")
    same(back, to_wan(tcp(WAN.ip, SERVER, 2222, 9000, "SA", ttl=63)))
    counts.expect(FORWARD=2, NAT_NEW_SESSION=1)


def test_a_port_forward_with_an_address(wires: Wires, gateway: Gateway) -> None:
    gateway.apply(FORWARDS)
    counts = gateway.counting()
    into = wires.send_and_expect(from_wan(udp(SERVER, WAN.ip, 9000, 5353)), at="wan", to="lan2")
    same(into, to_lan(udp(SERVER, LAN2.ip, 9000, 53, ttl=63), LAN2))
    counts.expect(FORWARD=1, NAT_NEW_SESSION=1)


def test_a_forwarded_port_is_of_one_protocol(wires: Wires, gateway: Gateway) -> None:
    gateway.apply(FORWARDS)
    counts = gateway.counting()
    wires.send_and_expect_nothing(from_wan(udp(SERVER, WAN.ip, 9000, 2222)), at="wan", to="lan")
    counts.expect(PUNT_HOST=1)


def test_one_to_one_in_both_directions_every_protocol(wires: Wires, gateway: Gateway) -> None:
    gateway.apply(PAIR)
    counts = gateway.counting()
    into = wires.send_and_expect(from_wan(tcp(SERVER, OUTSIDE, 9000, 443)), at="wan", to="lan2")
    same(into, to_lan(tcp(SERVER, LAN2.ip, 9000, 443, ttl=63), LAN2))

    out = wires.send_and_expect(from_lan(udp(LAN2.ip, SERVER, 4000, 53), LAN2), at="lan2", to="wan")
    same(out, to_wan(udp(OUTSIDE, SERVER, 4000, 53, ttl=63)))

    ping = wires.send_and_expect(from_wan(echo(SERVER, OUTSIDE, 5)), at="wan", to="lan2")
    same(ping, to_lan(echo(SERVER, LAN2.ip, 5, ttl=63), LAN2))
    pong = from_lan(echo(LAN2.ip, SERVER, 5, reply=True), LAN2)
    same(
        wires.send_and_expect(pong, at="lan2", to="wan"),
        to_wan(echo(OUTSIDE, SERVER, 5, reply=True, ttl=63)),
    )
    counts.expect(FORWARD=4, NAT_NEW_SESSION=3)


def test_other_hosts_keep_the_pool_beside_one_to_one(wires: Wires, gateway: Gateway) -> None:
    gateway.apply(PAIR)
    out = wires.send_and_expect(from_lan(udp(LAN.ip, SERVER, 4000, 53)), at="lan", to="wan")
    assert out["IP"].src == WAN.ip


def test_a_removed_forward_is_gone(wires: Wires, gateway: Gateway) -> None:
    gateway.apply(FORWARDS)
    gateway.apply(nat44())
    wires.send_and_expect_nothing(from_wan(tcp(SERVER, WAN.ip, 9002, 2222)), at="wan", to="lan")
