# SPDX-License-Identifier: GPL-2.0-or-later
"""Two inside hosts through the outside address (RFC 4787 REQ-9, RFC 5382 REQ-8)."""

from scapy.layers.inet import TCP, UDP

from tests.lib.gateway import Gateway, nat44
from tests.lib.packets import LAN, LAN2, SERVER, WAN, from_lan, same, tcp, to_lan, udp
from tests.lib.traffic import Wires

STATIC = nat44("static:", f'  - {{protocol: tcp, outside: ":2222", inside: "{LAN.ip}:22"}}')


def test_to_a_port_forward(wires: Wires, gateway: Gateway) -> None:
    """The LAN host sees the outside address and a port of the pool, not its neighbour."""
    gateway.apply(STATIC)
    counts = gateway.counting()
    syn = from_lan(tcp(LAN2.ip, WAN.ip, 4000, 2222), LAN2)
    into = wires.send_and_expect(syn, at="lan2", to="lan")
    port = into[TCP].sport
    assert 20000 <= port <= 49999
    same(into, to_lan(tcp(WAN.ip, LAN.ip, port, 22, ttl=63)))

    answer = from_lan(tcp(LAN.ip, WAN.ip, 22, port, "SA"))
    back = wires.send_and_expect(answer, at="lan", to="lan2")
    same(back, to_lan(tcp(WAN.ip, LAN2.ip, 2222, 4000, "SA", ttl=63), LAN2))
    counts.expect(FORWARD=2, NAT_NEW_MAPPING=1, NAT_NEW_SESSION=1)


def test_between_two_mappings(wires: Wires, gateway: Gateway) -> None:
    gateway.apply(nat44("filtering: endpoint-independent"))
    first = from_lan(udp(LAN.ip, SERVER, 4000, 53))
    target = wires.send_and_expect(first, at="lan", to="wan")[UDP].sport
    counts = gateway.counting()
    into = wires.send_and_expect(
        from_lan(udp(LAN2.ip, WAN.ip, 5000, target), LAN2), at="lan2", to="lan"
    )
    port = into[UDP].sport
    same(into, to_lan(udp(WAN.ip, LAN.ip, port, 4000, ttl=63)))
    back = wires.send_and_expect(from_lan(udp(LAN.ip, WAN.ip, 4000, port)), at="lan", to="lan2")
    same(back, to_lan(udp(WAN.ip, LAN2.ip, target, 5000, ttl=63), LAN2))
    counts.expect(FORWARD=2, NAT_NEW_MAPPING=1, NAT_NEW_SESSION=1)


def test_a_host_reaches_itself(wires: Wires, gateway: Gateway) -> None:
    """Back out of the port that the frame came in by."""
    gateway.apply(STATIC)
    into = wires.send_and_expect(from_lan(tcp(LAN.ip, WAN.ip, 4000, 2222)), at="lan", to="lan")
    same(into, to_lan(tcp(WAN.ip, LAN.ip, into[TCP].sport, 22, ttl=63)))
