# SPDX-License-Identifier: GPL-2.0-or-later
"""Fragments through the whole gateway: XDP, and TC for those that came before their first."""

from itertools import islice, permutations

import pytest
from scapy.layers.inet import IP, UDP, fragment
from scapy.packet import Packet, Raw

from tests.lib.gateway import Gateway
from tests.lib.packets import LAN, SERVER, WAN, from_lan, from_wan, ip, udp, wire
from tests.lib.sockets import bound
from tests.lib.traffic import ARRIVES_SECONDS, Wires

BIG = bytes(range(256)) * 16
SIZE = 1480
ORDERS = [order for order in permutations(range(3)) if order != (0, 1, 2)]


def pieces(packet: Packet) -> list[Packet]:
    packet[IP].flags = 0
    found: list[Packet] = fragment(wire(packet), fragsize=SIZE)
    assert len(found) == 3
    return found


def big(source: str, target: str, sport: int, dport: int, ttl: int = 64) -> Packet:
    return ip(source, target, ttl) / UDP(sport=sport, dport=dport) / Raw(BIG)


def together(wires: Wires, at: str, source: str) -> Packet:
    """The packet whose three fragments arrive, put together as its receiver would."""
    arriving = wires.arriving(
        at, lambda p: IP in p and p[IP].src == source and p[IP].proto == 17, ARRIVES_SECONDS
    )
    found = sorted(islice(arriving, 3), key=lambda piece: int(piece[IP].frag))
    assert len(found) == 3
    assert len({piece[IP].id for piece in found}) == 1
    payload = b""
    for piece in found:
        assert piece[IP].frag * 8 == len(payload)
        payload += bytes(piece[IP].payload)
    head = found[0][IP]
    return wire(IP(src=head.src, dst=head.dst, ttl=head.ttl, id=head.id, proto=17) / Raw(payload))


def sent_as(packet: Packet, identification: int) -> Packet:
    packet[IP].flags, packet[IP].id = 0, identification
    return wire(packet)


def counted(order: tuple[int, ...]) -> dict[str, int]:
    """What becomes of three fragments that come in this order."""
    early = order.index(0)
    if not early:
        return {"FORWARD": 3}
    held = {"PUNT_FRAGMENT": early, "FRAGMENT_KEPT": early, "FRAGMENT_REPLAYED": early}
    held |= {"PUNT_REPLAY": 1, "HANDED_OVER": 1}
    return held if early == 2 else held | {"FORWARD": 1}


@pytest.mark.parametrize("order", ORDERS, ids=str)
def test_outwards_in_any_order(wires: Wires, gateway: Gateway, order: tuple[int, ...]) -> None:
    counts = gateway.counting()
    sent = pieces(big(LAN.ip, SERVER, 4000, 53))
    wires.forget()
    with bound(gateway.lab, "wan", SERVER, 53):  # nobody answers that the port is closed
        for number in order:
            wires.send(from_lan(sent[number]), at="lan")
        whole = together(wires, "wan", WAN.ip)

    assert whole == sent_as(big(WAN.ip, SERVER, whole[UDP].sport, 53, ttl=63), whole.id)
    counts.expect(**counted(order), NAT_NEW_MAPPING=1, NAT_NEW_SESSION=1)


@pytest.mark.parametrize("order", ORDERS, ids=str)
def test_inwards_in_any_order(wires: Wires, gateway: Gateway, order: tuple[int, ...]) -> None:
    first = from_lan(udp(LAN.ip, SERVER, 4000, 53))
    port = wires.send_and_expect(first, at="lan", to="wan")[UDP].sport
    sent = pieces(big(SERVER, WAN.ip, 53, port))
    counts = gateway.counting()
    wires.forget()
    for number in order:
        wires.send(from_wan(sent[number]), at="wan")

    whole = together(wires, "lan", SERVER)

    assert whole == sent_as(big(SERVER, LAN.ip, 53, 4000, ttl=63), 0x1234)
    counts.expect(**counted(order))


@pytest.mark.parametrize("order", ORDERS, ids=str)
def test_the_gateways_own_in_any_order(
    wires: Wires, gateway: Gateway, order: tuple[int, ...]
) -> None:
    sent = pieces(big(SERVER, WAN.ip, 53, 5353))
    for piece in sent:
        piece[IP].id = 0x4321  # another than the quiet hosts drop
    with bound(gateway.lab, "gw", WAN.ip, 5353) as service:
        for number in order:
            wires.send(from_wan(wire(IP(bytes(sent[number])))), at="wan")
        assert service.recvfrom(8192) == (BIG, (SERVER, 53))
