# SPDX-License-Identifier: GPL-2.0-or-later
"""Who outside may send to a mapping (RFC 4787 section 5), in all three modes."""

import pytest
from scapy.layers.inet import TCP, UDP

from tests.lib.gateway import Gateway, nat44
from tests.lib.packets import (
    LAN,
    SERVER,
    SERVER2,
    WAN,
    from_lan,
    from_wan,
    same,
    tcp,
    to_lan,
    udp,
)
from tests.lib.traffic import Wires

# Who sends, whether each mode lets it through.
SENDERS = {
    "same address and port": (SERVER, 53, (True, True, True)),
    "same address, another port": (SERVER, 54, (True, True, False)),
    "another address": (SERVER2, 53, (True, False, False)),
}
MODES = ("endpoint-independent", "address-dependent", "address-and-port-dependent")


@pytest.mark.parametrize("sender", SENDERS)
@pytest.mark.parametrize("mode", MODES)
def test_filtering(wires: Wires, gateway: Gateway, mode: str, sender: str) -> None:
    gateway.apply(nat44(f"filtering: {mode}"))
    address, sport, passes = SENDERS[sender]
    first = from_lan(udp(LAN.ip, SERVER, 4000, 53))
    port = wires.send_and_expect(first, at="lan", to="wan")[UDP].sport
    counts = gateway.counting()

    inbound = from_wan(udp(address, WAN.ip, sport, port))
    if passes[MODES.index(mode)]:
        back = wires.send_and_expect(inbound, at="wan", to="lan")
        same(back, to_lan(udp(address, LAN.ip, sport, 4000, ttl=63)))
        new = {} if (address, sport) == (SERVER, 53) else {"NAT_NEW_SESSION": 1}
        counts.expect(FORWARD=1, **new)
    else:
        wires.send_and_expect_nothing(inbound, at="wan", to="lan")
        counts.expect(DROP_FILTERED=1)


def test_the_default_is_address_dependent(wires: Wires, gateway: Gateway) -> None:
    first = from_lan(udp(LAN.ip, SERVER, 4000, 53))
    port = wires.send_and_expect(first, at="lan", to="wan")[UDP].sport
    counts = gateway.counting()
    wires.send_and_expect_nothing(from_wan(udp(SERVER2, WAN.ip, 53, port)), at="wan", to="lan")
    wires.send_and_expect(from_wan(udp(SERVER, WAN.ip, 9, port)), at="wan", to="lan")
    counts.expect(FORWARD=1, NAT_NEW_SESSION=1, DROP_FILTERED=1)


def test_a_refused_packet_is_not_answered(wires: Wires, gateway: Gateway) -> None:
    """Neither RST nor ICMP (RFC 5382 REQ-4 asks for silence): a scanner learns nothing."""
    first = from_lan(tcp(LAN.ip, SERVER, 4000, 80))
    port = wires.send_and_expect(first, at="lan", to="wan")[TCP].sport
    syn = from_wan(tcp(SERVER2, WAN.ip, 80, port))
    counts = gateway.counting()
    wires.send_and_expect_nothing(syn, at="wan", to="wan", wanted=lambda p: TCP in p or "ICMP" in p)
    counts.expect(DROP_FILTERED=1)


def test_a_port_without_a_mapping_is_silent(wires: Wires, gateway: Gateway) -> None:
    counts = gateway.counting()
    for packet in (udp(SERVER, WAN.ip, 53, 20001), tcp(SERVER, WAN.ip, 80, 20001)):
        wires.send_and_expect_nothing(
            from_wan(packet), at="wan", to="wan", wanted=lambda p: TCP in p or "ICMP" in p
        )
    counts.expect(DROP_NO_MAPPING=2)


def test_a_middle_of_a_connection_opens_nothing(wires: Wires, gateway: Gateway) -> None:
    """From outside, to a mapping that the sender may use: only a SYN opens a TCP session."""
    first = from_lan(tcp(LAN.ip, SERVER, 4000, 80))
    port = wires.send_and_expect(first, at="lan", to="wan")[TCP].sport
    counts = gateway.counting()
    stray = from_wan(tcp(SERVER, WAN.ip, 81, port, "A"))
    wires.send_and_expect_nothing(stray, at="wan", to="lan")
    counts.expect(DROP_NO_SESSION=1)
