# SPDX-License-Identifier: GPL-2.0-or-later
"""RFC 5508 through the whole gateway: what becomes of errors that are about nothing of ours."""

import pytest
from scapy.layers.inet import ICMP, IP, UDP
from scapy.packet import Packet

from hybrid_gateway.lab import LAN, LAN2, WAN
from tests.lib.gateway import Gateway, nat44
from tests.lib.packets import SERVER, from_lan, from_wan, ip, same, to_lan, to_wan, udp, wire
from tests.lib.traffic import ARRIVES_SECONDS, Wires, is_icmp_error

from .errors import ROUTER_FAR, error, packet

pytestmark = pytest.mark.usefixtures("leak_watch")
KINDS = ("udp", "tcp", "echo")


def test_rfc5508_req1_other_queries_are_the_kernel_s(wires: Wires, gateway: Gateway) -> None:
    """MUST permit: a timestamp request goes out with the public address, its answer comes back."""
    counts = gateway.counting()
    stamps = {"id": 77, "seq": 1, "ts_ori": 5}
    request = ip(LAN.ip, SERVER) / ICMP(type=13, **stamps)
    out = wires.send_and_expect(from_lan(request), at="lan", to="wan")
    same(out, to_wan(ip(WAN.ip, SERVER, ttl=63) / ICMP(type=13, **stamps | {"id": out[ICMP].id})))

    stamps |= {"ts_rx": 6, "ts_tx": 7}
    answer = ip(SERVER, WAN.ip) / ICMP(type=14, **stamps | {"id": out[ICMP].id})
    back = wires.send_and_expect(from_wan(answer), at="wan", to="lan")
    same(back, to_lan(ip(SERVER, LAN.ip, ttl=63) / ICMP(type=14, **stamps)))
    counts.expect(PUNT_ICMP=2)


@pytest.mark.parametrize("kind", KINDS)
def test_rfc5508_req5_an_outbound_error_about_nothing_is_dropped(
    wires: Wires, gateway: Gateway, kind: str
) -> None:
    """SHOULD silently: XDP leaves it to the kernel, which does not let it out either."""
    counts = gateway.counting()
    quoted = wire(packet(kind, (SERVER, 53), (LAN.ip, 4000), 64, reply=True))
    wires.send_and_expect_nothing(
        from_lan(error(LAN.ip, SERVER, quoted)), at="lan", to="wan", wanted=is_icmp_error
    )
    counts.expect(PUNT_ICMP=1)


@pytest.mark.parametrize("kind", KINDS)
def test_rfc5508_req4_an_inbound_error_about_nothing_is_dropped(
    wires: Wires, gateway: Gateway, kind: str
) -> None:
    """SHOULD silently: no inside host gets it, and its sender no answer."""
    counts = gateway.counting()
    quoted = wire(packet(kind, (WAN.ip, 30000), (SERVER, 53), 60))
    frame = from_wan(error(ROUTER_FAR, WAN.ip, quoted, 11, 0))
    for to in ("lan", "wan"):
        wires.send_and_expect_nothing(frame, at="wan", to=to, wanted=is_icmp_error)
    counts.expect(PUNT_ICMP=2)


def test_rfc5508_req8_a_refused_sender_is_told(wires: Wires, gateway: Gateway) -> None:
    """SHOULD: ICMP 3/13, and the neighbour has all that is its own."""
    gateway.apply(nat44("per-host: {sessions: 1, ports: 1}"))
    first = from_lan(udp(LAN.ip, SERVER, 4000, 53))
    port = wires.send_and_expect(first, at="lan", to="wan")[UDP].sport
    counts = gateway.counting()
    refused = udp(LAN.ip, SERVER, 4001, 53)
    wires.forget()
    wires.send(from_lan(refused), at="lan")
    counts.expect(DROP_HOST_LIMIT=1, NAT_REFUSAL=1)
    # What XDP_TX puts into a veth waits for the next frame; see tests/forward/test_ttl.
    wires.send(from_wan(udp(SERVER, WAN.ip, 53, port)), at="wan")
    told = next(wires.arriving("lan", is_icmp_error, ARRIVES_SECONDS))
    assert (told[ICMP].type, told[ICMP].code) == (3, 13)
    assert bytes(wire(refused)).startswith(bytes(told[ICMP].payload))
    assert told[IP].dst == LAN.ip
    neighbour = from_lan(udp(LAN2.ip, SERVER, 4001, 53), LAN2)
    wires.send_and_expect(neighbour, at="lan2", to="wan")


def test_rfc5508_req4_an_error_on_the_wire(wires: Wires, gateway: Gateway) -> None:
    """MUST: reverted and delivered by the running gateway as by the program alone."""
    left = wires.send_and_expect(from_lan(udp(LAN.ip, SERVER, 4000, 53)), at="lan", to="wan")
    counts = gateway.counting()
    inbound = error(ROUTER_FAR, WAN.ip, left[IP], 11, 0)
    received: Packet = wires.send_and_expect(
        from_wan(inbound), at="wan", to="lan", wanted=is_icmp_error
    )
    quoted = wire(udp(LAN.ip, SERVER, 4000, 53, ttl=left[IP].ttl))
    same(received, to_lan(error(ROUTER_FAR, LAN.ip, quoted, 11, 0, ttl=63)))
    counts.expect(FORWARD=1, NAT_ICMP_ERROR=1)
