# SPDX-License-Identifier: GPL-2.0-or-later
"""A session's packets in both directions: the whole frame that leaves."""

from typing import Any

import pytest
from scapy.layers.inet import TCP, UDP
from scapy.packet import Packet, Raw

from tests.lib.packets import (
    GW_INSIDE,
    LAN,
    SERVER,
    WAN,
    echo,
    from_lan,
    from_wan,
    ip,
    tcp,
    to_lan,
    to_wan,
    udp,
    wire,
)

from .plane import Plane, forwarded
from .site import PLAIN, PLAIN_MAC

NEW = {"FORWARD": 1, "NAT_NEW_SESSION": 1, "NAT_NEW_MAPPING": 1}
UDP_CHECKSUM = 14 + 20 + 6


def test_udp_out_and_back(plane: Plane) -> None:
    outcome = plane.lan(udp(LAN.ip, SERVER, 4000, 53))
    port = outcome.packet[UDP].sport

    forwarded(outcome, to_wan(udp(WAN.ip, SERVER, port, 53, ttl=63)))
    assert outcome.counted == NEW
    back = plane.wan(udp(SERVER, WAN.ip, 53, port))
    forwarded(back, to_lan(udp(SERVER, LAN.ip, 53, 4000, ttl=63)))
    assert back.counted == {"FORWARD": 1}


def test_tcp_out_and_back(plane: Plane) -> None:
    options = [("MSS", 1460), ("SAckOK", b""), ("Timestamp", (1, 0)), ("WScale", 7)]
    fields: dict[str, Any] = {"seq": 0x12345678, "options": options}
    outcome = plane.lan(tcp(LAN.ip, SERVER, 4000, 80, **fields))
    port = outcome.packet[TCP].sport

    forwarded(outcome, to_wan(tcp(WAN.ip, SERVER, port, 80, ttl=63, **fields)))
    assert outcome.counted == NEW
    answer: dict[str, Any] = {"seq": 0x9ABCDEF0, "ack": 0x12345679, "options": options}
    back = plane.wan(tcp(SERVER, WAN.ip, 80, port, "SA", **answer))
    forwarded(back, to_lan(tcp(SERVER, LAN.ip, 80, 4000, "SA", ttl=63, **answer)))
    data: dict[str, Any] = {"seq": 0x12345679, "payload": b"GET / HTTP/1.0\r\n\r\n"}
    again = plane.lan(tcp(LAN.ip, SERVER, 4000, 80, "PA", **data))
    forwarded(again, to_wan(tcp(WAN.ip, SERVER, port, 80, "PA", ttl=63, **data)))
    assert again.counted == {"FORWARD": 1}


def test_icmp_echo_out_and_back(plane: Plane) -> None:
    outcome = plane.lan(echo(LAN.ip, SERVER, 77))
    identifier = outcome.packet["ICMP"].id

    forwarded(outcome, to_wan(echo(WAN.ip, SERVER, identifier, ttl=63)))
    assert outcome.counted == NEW
    back = plane.wan(echo(SERVER, WAN.ip, identifier, reply=True))
    forwarded(back, to_lan(echo(SERVER, LAN.ip, 77, reply=True, ttl=63)))
    later = plane.lan(echo(LAN.ip, SERVER, 77, seq=2))
    forwarded(later, to_wan(echo(WAN.ip, SERVER, identifier, ttl=63, seq=2)))
    assert later.counted == {"FORWARD": 1}


def test_an_inside_device_that_is_no_bridge(plane: Plane) -> None:
    lan2 = plane.site.devices["lan2"].mac
    sent = from_lan(udp(PLAIN, SERVER, 4000, 53))
    sent.src, sent.dst = PLAIN_MAC, lan2
    outcome = plane.run(sent, "lan2")
    port = outcome.packet[UDP].sport

    forwarded(outcome, to_wan(udp(WAN.ip, SERVER, port, 53, ttl=63)))
    expected = to_lan(udp(SERVER, PLAIN, 53, 4000, ttl=63))
    expected.src, expected.dst = lan2, PLAIN_MAC
    forwarded(plane.wan(udp(SERVER, WAN.ip, 53, port)), expected)


def test_a_bridge_port_takes_frames_for_the_bridge(plane: Plane) -> None:
    sent = from_lan(udp(LAN.ip, SERVER, 4000, 53))
    assert sent.dst == GW_INSIDE.mac

    assert plane.run(sent, "lan1").verdict == "FORWARD"
    sent.dst = plane.site.devices["lan0"].mac
    assert plane.run(sent, "lan0").verdict == "PUNT_OTHER_MAC"


def _without_checksum(packet: Packet) -> Packet:
    packet[UDP].chksum = 0
    return packet


def test_udp_without_a_checksum_stays_without(plane: Plane) -> None:
    outcome = plane.lan(_without_checksum(udp(LAN.ip, SERVER, 4000, 53)))
    port = outcome.packet[UDP].sport

    forwarded(outcome, to_wan(_without_checksum(udp(WAN.ip, SERVER, port, 53, ttl=63))))
    back = plane.wan(_without_checksum(udp(SERVER, WAN.ip, 53, port)))
    forwarded(back, to_lan(_without_checksum(udp(SERVER, LAN.ip, 53, 4000, ttl=63))))


def _summing_to_zero(packet: Packet) -> bytes:
    """Two bytes of payload that make the packet's UDP checksum zero, which is sent as 0xffff."""
    packet[UDP].payload = Raw(b"\0\0")
    return int(wire(packet)[UDP].chksum).to_bytes(2, "big")


def test_a_udp_checksum_of_zero_is_sent_as_its_other_form(plane: Plane) -> None:
    port = plane.lan(udp(LAN.ip, SERVER, 4000, 53)).packet[UDP].sport
    out = _summing_to_zero(udp(WAN.ip, SERVER, port, 53))
    back = _summing_to_zero(udp(SERVER, LAN.ip, 53, 4000))

    there = plane.lan(udp(LAN.ip, SERVER, 4000, 53, payload=out))
    assert there.frame[UDP_CHECKSUM : UDP_CHECKSUM + 2] == b"\xff\xff"
    forwarded(there, to_wan(udp(WAN.ip, SERVER, port, 53, ttl=63, payload=out)))
    here = plane.wan(udp(SERVER, WAN.ip, 53, port, payload=back))
    assert here.frame[UDP_CHECKSUM : UDP_CHECKSUM + 2] == b"\xff\xff"
    forwarded(here, to_lan(udp(SERVER, LAN.ip, 53, 4000, ttl=63, payload=back)))


@pytest.mark.parametrize("ttl", [2, 3, 64, 128, 255])
def test_one_hop_is_counted(plane: Plane, ttl: int) -> None:
    outcome = plane.lan(udp(LAN.ip, SERVER, 4000, 53, ttl=ttl))
    port = outcome.packet[UDP].sport

    forwarded(outcome, to_wan(udp(WAN.ip, SERVER, port, 53, ttl=ttl - 1)))
    back = plane.wan(udp(SERVER, WAN.ip, 53, port, ttl=ttl))
    forwarded(back, to_lan(udp(SERVER, LAN.ip, 53, 4000, ttl=ttl - 1)))


@pytest.mark.parametrize("fields", [{"tos": 0xB8}, {"id": 0xFFFF}, {"id": 0, "flags": "DF"}])
def test_the_rest_of_the_header_stays(plane: Plane, fields: dict[str, int | str]) -> None:
    def packet(source: str, port: int, ttl: int) -> Packet:
        built = ip(source, SERVER, ttl) / UDP(sport=port, dport=53) / Raw(b"x")
        for name, value in fields.items():
            setattr(built, name, value)
        return built

    outcome = plane.lan(packet(LAN.ip, 4000, 64))
    forwarded(outcome, to_wan(packet(WAN.ip, outcome.packet[UDP].sport, 63)))


@pytest.mark.parametrize("length", [0, 1, 2, 17, 18, 1471, 1472])
def test_payloads_of_every_shape_and_padding_stay(plane: Plane, length: int) -> None:
    payload, padding = bytes(i & 0xFF for i in range(length)), b"\xa5\x5a\xff"
    sent = bytes(from_lan(udp(LAN.ip, SERVER, 4000, 53, payload=payload))) + padding
    outcome = plane.run(sent)
    port = outcome.packet[UDP].sport

    expected = bytes(to_wan(udp(WAN.ip, SERVER, port, 53, ttl=63, payload=payload))) + padding
    assert outcome.frame == expected
    sent = bytes(from_wan(udp(SERVER, WAN.ip, 53, port, payload=payload))) + padding
    expected = bytes(to_lan(udp(SERVER, LAN.ip, 53, 4000, ttl=63, payload=payload))) + padding
    assert plane.run(sent, "wan0").frame == expected


def test_packets_and_bytes_are_counted(plane: Plane) -> None:
    for _ in range(3):
        port = plane.lan(udp(LAN.ip, SERVER, 4000, 53, payload=b"12345678")).packet[UDP].sport
    plane.wan(udp(SERVER, WAN.ip, 53, port, payload=b"1234"))

    session = plane.session()
    assert (session.packets_out, session.bytes_out) == (3, 3 * 36)
    assert (session.packets_in, session.bytes_in) == (1, 32)
    assert (session.origin, session.state) == ("outbound", "active")
    assert [str(end[0]) for end in (session.inside, session.outside, session.remote)] == [
        LAN.ip,
        WAN.ip,
        SERVER,
    ]
    assert [end[1] for end in (session.inside, session.outside, session.remote)] == [
        4000,
        port,
        53,
    ]


def test_a_reply_is_no_request(plane: Plane) -> None:
    """With identifier 0 both have the same tuple."""
    plane.lan(echo(LAN.ip, SERVER, 0))

    assert plane.lan(echo(LAN.ip, SERVER, 0, reply=True)).verdict == "PUNT_ICMP"
