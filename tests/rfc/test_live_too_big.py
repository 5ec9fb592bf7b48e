# SPDX-License-Identifier: GPL-2.0-or-later
"""A packet that does not fit the next link: the sender is told the right MTU (RFC 4787 REQ-13)."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice

import pytest
from scapy.layers.inet import ICMP, IP, UDP
from scapy.packet import Packet

from tests.lib.gateway import Gateway
from tests.lib.packets import GW_INSIDE, LAN, SERVER, WAN, from_lan, from_wan, udp, wire
from tests.lib.sockets import bound
from tests.lib.traffic import ARRIVES_SECONDS, Wires, is_icmp_error

pytestmark = pytest.mark.usefixtures("leak_watch")
MTU = 1300
BIG = b"x" * 1372


def is_too_big(packet: Packet) -> bool:
    return is_icmp_error(packet) and packet[ICMP].code == 4


@contextmanager
def narrowed(gateway: Gateway, device: str) -> Iterator[None]:
    """One way out of the gateway is narrower than the hosts believe."""
    gateway.lab.run("gw", ["ip", "link", "set", device, "mtu", str(MTU)])
    try:
        yield
    finally:
        gateway.lab.run("gw", ["ip", "link", "set", device, "mtu", "1500"])


def dont_fragment(packet: Packet) -> Packet:
    packet[IP].flags = "DF"
    return packet


def tells_the_mtu(answer: Packet, sender: str, about: Packet) -> None:
    assert answer[IP].src == sender
    assert (answer[ICMP].type, answer[ICMP].code) == (3, 4)
    assert answer[ICMP].nexthopmtu == MTU
    assert bytes(answer[ICMP].payload).startswith(bytes(wire(about))[:28])


def test_rfc4787_req13_an_inside_sender_is_told_the_mtu(wires: Wires, gateway: Gateway) -> None:
    counts = gateway.counting()
    big = dont_fragment(udp(LAN.ip, SERVER, 4000, 53, payload=BIG))
    with narrowed(gateway, "wan0"):
        answer = wires.send_and_expect(from_lan(big), at="lan", to="lan", wanted=is_too_big)
    tells_the_mtu(answer, GW_INSIDE.ip, big)
    counts.expect_some(PUNT_TOO_BIG=1)


def test_rfc4787_req13_an_outside_sender_is_told_the_mtu(wires: Wires, gateway: Gateway) -> None:
    first = from_lan(udp(LAN.ip, SERVER, 4000, 53))
    port = wires.send_and_expect(first, at="lan", to="wan")[UDP].sport
    counts = gateway.counting()
    big = dont_fragment(udp(SERVER, WAN.ip, 53, port, payload=BIG))
    with narrowed(gateway, "br-lan"):
        wires.forget()
        wires.send(from_wan(big), at="wan")
        counts.expect(REPLY=1)
        # It is sent by XDP_TX, which needs a push on veth; see tests/forward/test_ttl.
        wires.send(first, at="lan")
        answer = next(wires.arriving("wan", is_too_big, ARRIVES_SECONDS))
    tells_the_mtu(answer, WAN.ip, big)
    counts.expect(REPLY=1, FORWARD=1)


def test_rfc4787_req13_what_just_fits_goes_on(wires: Wires, gateway: Gateway) -> None:
    counts = gateway.counting()
    fits = dont_fragment(udp(LAN.ip, SERVER, 4000, 53, payload=b"x" * (MTU - 28)))
    with narrowed(gateway, "wan0"):
        out = wires.send_and_expect(from_lan(fits), at="lan", to="wan")
    assert out[IP].len == MTU
    counts.expect(FORWARD=1, NAT_NEW_MAPPING=1, NAT_NEW_SESSION=1)


def test_rfc4787_req13a_what_may_be_cut_is_cut(wires: Wires, gateway: Gateway) -> None:
    """Translated first, by the same session as everything else, and cut by us: the kernel would
    cut only what it has routed itself."""
    counts = gateway.counting()
    big = udp(LAN.ip, SERVER, 4000, 53, payload=BIG, df=False)
    wires.forget()
    # Somebody listens, so that no error comes back that would be counted.
    with bound(gateway.lab, "wan", SERVER, 53), narrowed(gateway, "wan0"):
        wires.send(from_lan(big), at="lan")
        arriving = wires.arriving("wan", lambda p: IP in p and p[IP].dst == SERVER, ARRIVES_SECONDS)
        pieces = list(islice(arriving, 2))
    port = int.from_bytes(bytes(pieces[0][IP].payload)[:2], "big")
    whole = udp(WAN.ip, SERVER, port, 53, ttl=63, payload=BIG, df=False)
    assert pieces[0][IP].id == pieces[1][IP].id

    assert all(len(bytes(piece[IP])) <= MTU for piece in pieces)
    assert [(piece[IP].frag, int(piece[IP].flags)) for piece in pieces] == [(0, 1), (160, 0)]
    assert all(piece[IP].src == WAN.ip and piece[IP].ttl == 63 for piece in pieces)
    cut = b"".join(bytes(piece[IP].payload) for piece in pieces)
    assert cut == bytes(wire(whole)[IP].payload)
    counts.expect(PUNT_CUT=1, HANDED_OVER=1, NAT_NEW_MAPPING=1, NAT_NEW_SESSION=1)
