# SPDX-License-Identifier: GPL-2.0-or-later
"""RFC 4787 REQ-14 through the whole gateway: fragments that come before their first one."""

import pytest
from scapy.layers.inet import IP
from scapy.packet import Packet

from hybrid_gateway.lab import LAN, WAN
from tests.lib.gateway import Gateway
from tests.lib.packets import SERVER, from_lan, from_wan, wire
from tests.lib.traffic import ARRIVES_SECONDS, Wires, is_icmp_error

from .fragments import (
    KINDS,
    LAYERS,
    ORDERS,
    Arrange,
    datagram,
    identification,
    identifications,
    pieces,
    reassembled,
)

pytestmark = pytest.mark.usefixtures("leak_watch")
FLOOD = 400
out_of_order = pytest.mark.parametrize("arrange", ORDERS.values(), ids=ORDERS.keys())


def collected(wires: Wires, at: str, source: str, count: int) -> list[Packet]:
    """So many fragments from that address; the last one has just arrived."""
    found: list[Packet] = []
    for packet in wires.arriving(
        at, lambda p: IP in p and p[IP].src == source and bool(p[IP].frag or p[IP].flags.MF), 2.0
    ):
        found.append(packet)
        if len(found) == count:
            return found
    raise AssertionError(f"only {len(found)} of {count} arrived within {ARRIVES_SECONDS} s")


def opened(wires: Wires, kind: str) -> int:
    """Opens the session LAN:4000 to SERVER:53 with one whole datagram; its outside port."""
    target = (SERVER, 0 if kind == "echo" else 53)
    frame = from_lan(datagram(kind, (LAN.ip, 4000), target, next(identifications)))
    layer, field = LAYERS[kind]
    # Hosts may still complain of what another test sent to a closed port.
    left = wires.send_and_expect(
        frame,
        at="lan",
        to="wan",
        wanted=lambda p: layer in p and p[IP].src == WAN.ip and not is_icmp_error(p),
    )
    return int(getattr(left[layer], field))


@pytest.mark.parametrize("kind", KINDS)
@out_of_order
def test_rfc4787_req14_outbound_fragments_in_any_order(
    wires: Wires, gateway: Gateway, kind: str, arrange: Arrange
) -> None:
    """MUST: all pieces arrive, each once, with one source and one identification."""
    port = opened(wires, kind)
    target = (SERVER, 0 if kind == "echo" else 53)
    sent = pieces(datagram(kind, (LAN.ip, 4000), target, next(identifications)))
    counts = gateway.counting()
    wires.forget()
    for piece in arrange(sent):
        wires.send(from_lan(piece), at="lan")

    received = collected(wires, "wan", WAN.ip, len(sent))
    number = identification(received)
    expected = datagram(kind, (WAN.ip, port), target, number, ttl=63)
    assert {packet[IP].ttl for packet in received} == {63}
    assert reassembled(received) == bytes(expected[IP].payload)
    # The host answers, so FORWARD is no evidence here.
    assert counts.now().get("FRAGMENT_REPLAYED", 0) == arrange(sent).index(sent[0])


@pytest.mark.parametrize("kind", KINDS)
@out_of_order
def test_rfc4787_req14_inbound_fragments_in_any_order(
    wires: Wires, gateway: Gateway, kind: str, arrange: Arrange
) -> None:
    """MUST: inwards likewise; the sender's identification stays."""
    port = opened(wires, kind)
    number = next(identifications)
    sent = pieces(datagram(kind, (SERVER, 53), (WAN.ip, port), number))
    counts = gateway.counting()
    wires.forget()
    for piece in arrange(sent):
        wires.send(from_wan(piece), at="wan")

    received = collected(wires, "lan", SERVER, len(sent))
    assert identification(received) == number
    expected = datagram(kind, (SERVER, 53), (LAN.ip, 4000), number, ttl=63)
    assert reassembled(received) == bytes(expected[IP].payload)
    assert counts.now().get("FRAGMENT_REPLAYED", 0) == arrange(sent).index(sent[0])


@pytest.mark.parametrize("inbound", [False, True], ids=["from inside", "from outside"])
def test_rfc4787_req14a_a_flood_of_lonely_fragments(
    wires: Wires,
    gateway: Gateway,  # noqa: ARG001
    *,
    inbound: bool,
) -> None:
    """MUST: nothing of it leaves, and datagrams of others in any order still do."""
    port = opened(wires, "udp")
    source, target = ((SERVER, 53), (WAN.ip, port)) if inbound else ((LAN.ip, 4000), (SERVER, 53))
    lonely = wire(pieces(datagram("udp", source, target, 1))[1])
    wires.forget()
    for number in range(FLOOD):
        lonely[IP].id = 10_000 + number
        del lonely[IP].chksum
        frame = from_wan(lonely) if inbound else from_lan(lonely)
        wires.send(frame, at="wan" if inbound else "lan")

    sent = pieces(datagram("udp", (LAN.ip, 4000), (SERVER, 53), next(identifications)))
    for piece in sent:
        wires.send(from_lan(piece), at="lan")
    received = collected(wires, "wan", WAN.ip, len(sent))
    expected = datagram("udp", (WAN.ip, port), (SERVER, 53), identification(received), ttl=63)
    assert reassembled(received) == bytes(expected[IP].payload)
    if inbound:
        wires.send_and_expect_nothing(
            from_wan(lonely), at="wan", to="lan", wanted=lambda p: IP in p and p[IP].src == SERVER
        )
