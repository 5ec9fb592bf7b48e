# SPDX-License-Identifier: GPL-2.0-or-later
"""TCP, UDP and ICMP echo, out and back: whole packets, and the counters as evidence for XDP."""

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.packet import Packet, Raw

from tests.lib.gateway import Gateway
from tests.lib.packets import (
    LAN,
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
    wire,
)
from tests.lib.traffic import Wires


def test_udp_out_and_back(wires: Wires, gateway: Gateway) -> None:
    counts = gateway.counting()

    out = wires.send_and_expect(from_lan(udp(LAN.ip, SERVER, 4000, 53)), at="lan", to="wan")
    port = out[UDP].sport
    same(out, to_wan(udp(WAN.ip, SERVER, port, 53, ttl=63)))

    back = wires.send_and_expect(from_wan(udp(SERVER, WAN.ip, 53, port)), at="wan", to="lan")
    same(back, to_lan(udp(SERVER, LAN.ip, 53, 4000, ttl=63)))

    counts.expect(FORWARD=2, NAT_NEW_MAPPING=1, NAT_NEW_SESSION=1)


def test_tcp_handshake_data_and_close(wires: Wires, gateway: Gateway) -> None:
    counts = gateway.counting()

    def out(flags: str, payload: bytes = b"") -> int:
        sent = tcp(LAN.ip, SERVER, 4000, 80, flags, seq=7, payload=payload)
        received = wires.send_and_expect(from_lan(sent), at="lan", to="wan")
        port = int(received[TCP].sport)
        expected = tcp(WAN.ip, SERVER, port, 80, flags, seq=7, payload=payload, ttl=63)
        same(received, to_wan(expected))
        return port

    def back(flags: str, payload: bytes = b"") -> None:
        sent = tcp(SERVER, WAN.ip, 80, port, flags, seq=9, payload=payload)
        received = wires.send_and_expect(from_wan(sent), at="wan", to="lan")
        same(received, to_lan(tcp(SERVER, LAN.ip, 80, 4000, flags, seq=9, payload=payload, ttl=63)))

    port = out("S")
    back("SA")
    assert out("A") == port
    assert out("PA", b"odd") == port
    back("PA", b"an answer of some length")
    assert out("FA") == port
    back("FA")
    assert out("A") == port
    # The close is no reason to drop what is still under way.
    back("A")
    counts.expect(FORWARD=9, NAT_NEW_MAPPING=1, NAT_NEW_SESSION=1)


def test_simultaneous_open(wires: Wires, gateway: Gateway) -> None:
    """Both ends send a SYN (RFC 5382 REQ-2): the inbound one belongs to the session."""
    first = from_lan(tcp(LAN.ip, SERVER, 4000, 4001, "S"))
    port = wires.send_and_expect(first, at="lan", to="wan")[TCP].sport
    counts = gateway.counting()
    inbound = from_wan(tcp(SERVER, WAN.ip, 4001, port, "S"))
    same(
        wires.send_and_expect(inbound, at="wan", to="lan"),
        to_lan(tcp(SERVER, LAN.ip, 4001, 4000, "S", ttl=63)),
    )
    counts.expect(FORWARD=1)


def test_icmp_echo_out_and_back(wires: Wires, gateway: Gateway) -> None:
    counts = gateway.counting()

    out = wires.send_and_expect(from_lan(echo(LAN.ip, SERVER, 77)), at="lan", to="wan")
    identifier = out[ICMP].id
    same(out, to_wan(echo(WAN.ip, SERVER, identifier, ttl=63)))

    answer = from_wan(echo(SERVER, WAN.ip, identifier, reply=True))
    back = wires.send_and_expect(answer, at="wan", to="lan")
    same(back, to_lan(echo(SERVER, LAN.ip, 77, reply=True, ttl=63)))

    counts.expect(FORWARD=2, NAT_NEW_MAPPING=1, NAT_NEW_SESSION=1)


@pytest.mark.parametrize("size", [0, 1, 2, 511, 1472], ids="{}-bytes".format)
def test_every_payload_keeps_its_bytes_and_checksum(
    wires: Wires,
    gateway: Gateway,  # noqa: ARG001 - it forwards
    size: int,
) -> None:
    payload = bytes(range(256)) * 6
    sent = udp(LAN.ip, SERVER, 4002, 53, payload=payload[:size])
    out = wires.send_and_expect(from_lan(sent), at="lan", to="wan")
    expected = udp(WAN.ip, SERVER, out[UDP].sport, 53, ttl=63, payload=payload[:size])
    same(out, to_wan(expected))


def test_padding_after_the_packet_is_let_through(wires: Wires, gateway: Gateway) -> None:
    """Ethernet pads short frames; the padding is no part of the packet."""
    frame = bytes(wire(from_lan(udp(LAN.ip, SERVER, 4004, 53, payload=b"")))) + bytes(18)
    counts = gateway.counting()
    out = wires.send_and_expect(frame, at="lan", to="wan")
    expected = to_wan(udp(WAN.ip, SERVER, out[UDP].sport, 53, ttl=63, payload=b""))
    assert bytes(out).rstrip(b"\0") == bytes(wire(expected)).rstrip(b"\0")
    counts.expect(FORWARD=1, NAT_NEW_MAPPING=1, NAT_NEW_SESSION=1)


def test_udp_without_a_checksum_stays_without(wires: Wires, gateway: Gateway) -> None:
    def bare(packet: Packet) -> Packet:
        packet[UDP].chksum = 0
        return packet

    counts = gateway.counting()
    out = wires.send_and_expect(from_lan(bare(udp(LAN.ip, SERVER, 4000, 53))), at="lan", to="wan")
    port = out[UDP].sport
    same(out, to_wan(bare(udp(WAN.ip, SERVER, port, 53, ttl=63))))
    back = wires.send_and_expect(from_wan(bare(udp(SERVER, WAN.ip, 53, port))), at="wan", to="lan")
    same(back, to_lan(bare(udp(SERVER, LAN.ip, 53, 4000, ttl=63))))
    counts.expect(FORWARD=2, NAT_NEW_MAPPING=1, NAT_NEW_SESSION=1)


def test_a_udp_checksum_that_becomes_zero_is_sent_as_ones(wires: Wires, gateway: Gateway) -> None:
    """RFC 768: zero means "none". All 65536 payload words give one sum each; one hits zero."""
    first = from_lan(udp(LAN.ip, SERVER, 4006, 53))
    port = wires.send_and_expect(first, at="lan", to="wan")[UDP].sport
    plain = wire(udp(WAN.ip, SERVER, port, 53, ttl=63, payload=b"\0\0"))
    word = plain[UDP].chksum.to_bytes(2, "big")
    counts = gateway.counting()
    out = wires.send_and_expect(
        from_lan(udp(LAN.ip, SERVER, 4006, 53, payload=word)), at="lan", to="wan"
    )
    assert out[UDP].chksum == 0xFFFF
    assert out[Raw].load == word
    counts.expect(FORWARD=1)


def test_tos_identification_and_df_are_not_touched(wires: Wires, gateway: Gateway) -> None:
    def marked(packet: Packet) -> Packet:
        packet[IP].tos = 0xB9
        packet[IP].flags = "DF"
        return packet

    counts = gateway.counting()
    out = wires.send_and_expect(from_lan(marked(udp(LAN.ip, SERVER, 4008, 53))), at="lan", to="wan")
    same(out, to_wan(marked(udp(WAN.ip, SERVER, out[UDP].sport, 53, ttl=63))))
    counts.expect(FORWARD=1, NAT_NEW_MAPPING=1, NAT_NEW_SESSION=1)
