# SPDX-License-Identifier: GPL-2.0-or-later
"""Protocols that XDP does not translate: by their address, 1:1 or through the fallback, never as
they came."""

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.ipsec import ESP
from scapy.layers.l2 import GRE
from scapy.layers.sctp import SCTP, SCTPChunkInit, SCTPChunkInitAck
from scapy.packet import Packet, Raw

from hybrid_gateway.lab.topology import ONE_TO_ONE
from tests.lib.gateway import Gateway, nat44
from tests.lib.kernel_mode import Plane
from tests.lib.packets import (
    LAN,
    LAN2,
    PAYLOAD,
    SERVER,
    SERVER2,
    WAN,
    from_lan,
    from_wan,
    ip,
    same,
    to_lan,
    to_wan,
)
from tests.lib.traffic import SILENCE_SECONDS, Wires, is_test_packet

OUTSIDE = str(ONE_TO_ONE)
PAIR = nat44("static:", f"  - {{outside: {OUTSIDE}, inside: {LAN2.ip}}}")

IPIP, GRE_NUMBER, ESP_NUMBER, SCTP_NUMBER, UNASSIGNED = 4, 47, 50, 132, 200
INNER = IP(src="10.1.1.1", dst="10.2.2.2") / UDP(sport=1, dport=2) / Raw(PAYLOAD)
INIT = SCTP(sport=4000, dport=5000) / SCTPChunkInit(init_tag=7, init_tsn=1)
INIT_ACK = SCTP(sport=5000, dport=4000, tag=7) / SCTPChunkInitAck(init_tag=9, init_tsn=1)
TUNNEL = GRE() / INNER
KEYED = GRE(key_present=1, key=42) / INNER
SEALED = ESP(spi=0x1001, seq=1, data=PAYLOAD)
KINDS = [
    pytest.param(GRE_NUMBER, TUNNEL, TUNNEL, id="gre"),
    pytest.param(GRE_NUMBER, KEYED, KEYED, id="gre-with-key"),
    pytest.param(SCTP_NUMBER, INIT, INIT_ACK, id="sctp"),
    pytest.param(ESP_NUMBER, SEALED, ESP(spi=0x2002, seq=1, data=PAYLOAD), id="esp"),
    pytest.param(IPIP, INNER, INNER, id="ipip"),
    pytest.param(UNASSIGNED, Raw(PAYLOAD), Raw(PAYLOAD[::-1]), id="unassigned"),
]


@pytest.mark.parametrize(("number", "sent", "answer"), KINDS)
def test_out_and_back(plane: Plane, number: int, sent: Packet, answer: Packet) -> None:
    plane.apply(nat44())
    counts = plane.counting()
    out = plane.wires.send_and_expect(
        from_lan(ip(LAN.ip, SERVER, proto=number) / sent), at="lan", to="wan"
    )
    same(out, to_wan(ip(WAN.ip, SERVER, 63, proto=number) / sent))
    back = plane.wires.send_and_expect(
        from_wan(ip(SERVER, WAN.ip, proto=number) / answer), at="wan", to="lan"
    )
    same(back, to_lan(ip(SERVER, LAN.ip, 63, proto=number) / answer))
    counts.expect(PUNT_PROTOCOL=2)


@pytest.mark.parametrize(("number", "sent", "answer"), KINDS)
def test_one_to_one_from_inside(plane: Plane, number: int, sent: Packet, answer: Packet) -> None:
    plane.apply(PAIR)
    out = plane.wires.send_and_expect(
        from_lan(ip(LAN2.ip, SERVER, proto=number) / sent, LAN2), at="lan2", to="wan"
    )
    same(out, to_wan(ip(OUTSIDE, SERVER, 63, proto=number) / sent))
    back = plane.wires.send_and_expect(
        from_wan(ip(SERVER, OUTSIDE, proto=number) / answer), at="wan", to="lan2"
    )
    same(back, to_lan(ip(SERVER, LAN2.ip, 63, proto=number) / answer, LAN2))


@pytest.mark.parametrize(("number", "sent", "answer"), KINDS)
def test_one_to_one_from_outside(plane: Plane, number: int, sent: Packet, answer: Packet) -> None:
    plane.apply(PAIR)
    into = plane.wires.send_and_expect(
        from_wan(ip(SERVER, OUTSIDE, proto=number) / sent), at="wan", to="lan2"
    )
    same(into, to_lan(ip(SERVER, LAN2.ip, 63, proto=number) / sent, LAN2))
    back = plane.wires.send_and_expect(
        from_lan(ip(LAN2.ip, SERVER, proto=number) / answer, LAN2), at="lan2", to="wan"
    )
    same(back, to_wan(ip(OUTSIDE, SERVER, 63, proto=number) / answer))


@pytest.mark.parametrize(("number", "sent", "answer"), KINDS)
def test_nothing_comes_in_unasked(plane: Plane, number: int, sent: Packet, answer: Packet) -> None:
    plane.apply(nat44())
    for packet in (sent, answer):
        plane.wires.send_and_expect_nothing(
            from_wan(ip(SERVER, LAN.ip, proto=number) / packet), at="wan", to="lan"
        )


def test_a_second_host_speaks_sctp_from_another_port(plane: Plane) -> None:
    """Ports tell two hosts apart, and the checksum covers them."""
    plane.apply(nat44())
    ports = set()
    for host, name in ((LAN, "lan"), (LAN2, "lan2")):
        sent = from_lan(ip(host.ip, SERVER, proto=SCTP_NUMBER) / INIT, host)
        out = plane.wires.send_and_expect(sent, at=name, to="wan")
        port = out[SCTP].sport
        expected = INIT.copy()
        expected.sport = port
        same(out, to_wan(ip(WAN.ip, SERVER, 63, proto=SCTP_NUMBER) / expected))
        ports.add(port)
    assert len(ports) == 2


def test_a_second_host_without_ports_is_not_confused_with_the_first(plane: Plane) -> None:
    """Nothing in an answer would say whose it is: the first host has the remote address to itself,
    the second one talks to another."""
    plane.apply(nat44())
    packet = Raw(PAYLOAD)
    first = from_lan(ip(LAN.ip, SERVER, proto=UNASSIGNED) / packet)
    plane.wires.send_and_expect(first, at="lan", to="wan")
    second = from_lan(ip(LAN2.ip, SERVER, proto=UNASSIGNED) / packet, LAN2)
    plane.wires.send_and_expect_nothing(second, at="lan2", to="wan")
    elsewhere = from_lan(ip(LAN2.ip, SERVER2, proto=UNASSIGNED) / packet, LAN2)
    out = plane.wires.send_and_expect(elsewhere, at="lan2", to="wan")
    same(out, to_wan(ip(WAN.ip, SERVER2, 63, proto=UNASSIGNED) / packet))


@pytest.mark.parametrize("config", [nat44(), PAIR], ids=["fallback", "one-to-one"])
def test_without_nftables_nothing_leaves(wires: Wires, gateway: Gateway, config: str) -> None:
    """The guard drops what would go out as it came."""
    gateway.apply(config)
    counts = gateway.counting()
    with gateway.frozen():  # the agent would put its table back
        gateway.lab.run("gw", ["nft", "flush", "ruleset"])
        wires.forget()
        for kind in KINDS:
            number, sent, _ = kind.values
            for host, name in ((LAN, "lan"), (LAN2, "lan2")):
                wires.send(from_lan(ip(host.ip, SERVER, proto=number) / sent, host), at=name)
        assert not list(wires.arriving("wan", is_test_packet, SILENCE_SECONDS))
    counts.expect(PUNT_PROTOCOL=2 * len(KINDS), DROP_GUARD=2 * len(KINDS))
