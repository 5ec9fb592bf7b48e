# SPDX-License-Identifier: GPL-2.0-or-later
"""Port ranges, shared forwards and the way back of static mappings, in XDP and in the kernel."""

import time
from collections import Counter
from collections.abc import Iterator
from itertools import islice

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.packet import Packet

from hybrid_gateway.lab.topology import ONE_TO_ONE, Interface
from tests.lib.gateway import nat44
from tests.lib.kernel_mode import Plane, bridges_are_filtered
from tests.lib.packets import (
    GW_INSIDE,
    LAN,
    LAN2,
    SERVER,
    WAN,
    from_lan,
    from_wan,
    same,
    tcp,
    to_lan,
    to_wan,
    udp,
)
from tests.lib.traffic import ARRIVES_SECONDS, SILENCE_SECONDS, is_test_packet

RANGES = nat44(
    "static:",
    f'  - {{protocol: tcp, outside: ":5000-5099", inside: "{LAN.ip}:6010-6109"}}',
    f'  - {{protocol: udp, outside: "{WAN.ip}:7000-7009", inside: "{LAN.ip}:7000"}}',
    f'  - {{protocol: tcp, outside: ":30000-30007", inside: "{LAN.ip}:8000"}}',
)
SHARED = nat44(
    "static:",
    f'  - {{protocol: tcp, outside: ":443", inside: [{{to: "{LAN.ip}:443", weight: 3}}, '
    f'{{to: "{LAN2.ip}:8443"}}]}}',
)
CLIENTS = 400


@pytest.mark.parametrize(
    ("outside", "inside"),
    [(5000, 6010), (5042, 6052), (5099, 6109), (30000, 8000), (30007, 8007)],
)
def test_a_port_of_a_range_in_and_back(plane: Plane, outside: int, inside: int) -> None:
    """The same place in the range inside as outside: first, middle and last."""
    plane.apply(RANGES)
    counts = plane.counting()
    syn = from_wan(tcp(SERVER, WAN.ip, 9000, outside))
    into = plane.wires.send_and_expect(syn, at="wan", to="lan")
    same(into, to_lan(tcp(SERVER, LAN.ip, 9000, inside, ttl=63)))
    answer = from_lan(tcp(LAN.ip, SERVER, inside, 9000, "SA"))
    back = plane.wires.send_and_expect(answer, at="lan", to="wan")
    same(back, to_wan(tcp(WAN.ip, SERVER, outside, 9000, "SA", ttl=63)))
    counts.expect(FORWARD=2, NAT_NEW_SESSION=1)


@pytest.mark.parametrize("port", [7000, 7005, 7009])
def test_a_range_that_keeps_its_ports(plane: Plane, port: int) -> None:
    plane.apply(RANGES)
    counts = plane.counting()
    sent = from_wan(udp(SERVER, WAN.ip, 9000, port))
    into = plane.wires.send_and_expect(sent, at="wan", to="lan")
    same(into, to_lan(udp(SERVER, LAN.ip, 9000, port, ttl=63)))
    counts.expect(FORWARD=1, NAT_NEW_SESSION=1)


@pytest.mark.parametrize("port", [4999, 5100])
def test_one_beyond_a_range_is_not_forwarded(plane: Plane, port: int) -> None:
    plane.apply(RANGES)
    counts = plane.counting()
    syn = from_wan(tcp(SERVER, WAN.ip, 9000, port))
    plane.wires.send_and_expect_nothing(syn, at="wan", to="lan")
    counts.expect(PUNT_HOST=1)


def test_one_beyond_a_range_among_the_ports_to_give_out(plane: Plane) -> None:
    plane.apply(RANGES)
    counts = plane.counting()
    syn = from_wan(tcp(SERVER, WAN.ip, 9000, 30008))
    plane.wires.send_and_expect_nothing(syn, at="wan", to="lan")
    counts.expect(DROP_NO_MAPPING=1)


@pytest.mark.parametrize(("inside", "outside"), [(6010, 5000), (6109, 5099)])
def test_a_port_of_a_range_calls_as_its_outside_port(
    plane: Plane, inside: int, outside: int
) -> None:
    """So that whom it calls may call back (RFC 4787 REQ-1)."""
    plane.apply(RANGES)
    counts = plane.counting()
    call = from_lan(tcp(LAN.ip, SERVER, inside, 80))
    out = plane.wires.send_and_expect(call, at="lan", to="wan")
    same(out, to_wan(tcp(WAN.ip, SERVER, outside, 80, ttl=63)))
    counts.expect(FORWARD=1, NAT_NEW_SESSION=1)


def test_other_ports_of_the_host_are_given_out(plane: Plane) -> None:
    plane.apply(RANGES)
    call = from_lan(tcp(LAN.ip, SERVER, 6110, 80))
    out = plane.wires.send_and_expect(call, at="lan", to="wan")
    assert out[IP].src == WAN.ip
    assert out[TCP].sport in plane.ports


def test_backends_share_by_weight(plane: Plane) -> None:
    """Three to one: of 400 clients 300 +- 9 (one deviation) go to the first."""
    plane.apply(SHARED)
    counts = plane.counting()
    taken: Counter[str] = Counter()
    plane.wires.forget()
    for port in range(CLIENTS):
        plane.wires.send(from_wan(tcp(SERVER, WAN.ip, 10000 + 7 * port, 443)), at="wan")
    for host, backend, to, packet in islice(at_backends(plane), CLIENTS):
        same(packet, to_lan(tcp(SERVER, backend.ip, packet[TCP].sport, to, ttl=63), backend))
        taken[host] += 1
    assert taken.total() == CLIENTS
    assert 250 <= taken["lan"] <= 350
    counts.expect(FORWARD=CLIENTS, NAT_NEW_SESSION=CLIENTS)


def at_backends(plane: Plane) -> Iterator[tuple[str, Interface, int, Packet]]:
    """(host, backend, its port, packet) of all that comes to one of them or the other, until
    nothing has come for as long as a slow machine may take."""
    last = time.monotonic()
    while time.monotonic() < last + ARRIVES_SECONDS:
        for host, backend, to in (("lan", LAN, 443), ("lan2", LAN2, 8443)):
            for packet in plane.wires.arriving(host, is_test_packet, SILENCE_SECONDS / 4):
                yield host, backend, to, packet
                last = time.monotonic()


def backend_of(plane: Plane, port: int) -> str:
    """Which of the two gets this client's SYN."""
    plane.wires.forget()
    plane.wires.send(from_wan(tcp(SERVER, WAN.ip, port, 443)), at="wan")
    for host, *_ in at_backends(plane):
        return host
    raise AssertionError(f"the SYN from port {port} arrived at none of them")


def test_a_flow_stays_with_its_backend(plane: Plane) -> None:
    plane.apply(SHARED)
    clients = {backend_of(plane, port): port for port in range(9000, 9030)}
    assert clients.keys() == {"lan", "lan2"}
    for host, backend, inside in (("lan", LAN, 443), ("lan2", LAN2, 8443)):
        port = clients[host]
        counts = plane.counting()
        assert backend_of(plane, port) == host  # a SYN that is sent again
        answer = from_lan(tcp(backend.ip, SERVER, inside, port, "SA"), backend)
        back = plane.wires.send_and_expect(answer, at=host, to="wan")
        same(back, to_wan(tcp(WAN.ip, SERVER, 443, port, "SA", ttl=63)))
        sent = from_wan(tcp(SERVER, WAN.ip, port, 443, "A"))
        into = plane.wires.send_and_expect(sent, at="wan", to=host)
        same(into, to_lan(tcp(SERVER, backend.ip, port, inside, "A", ttl=63), backend))
        counts.expect(FORWARD=3)


def test_a_client_keeps_its_backend_while_the_weights_stay(plane: Plane) -> None:
    """Also when its connection is new and the table was written anew."""
    plane.apply(SHARED)
    before = [backend_of(plane, port) for port in range(9100, 9106)]
    plane.apply(nat44())
    plane.apply(SHARED)
    assert [backend_of(plane, port) for port in range(9100, 9106)] == before


# ---- between two inside hosts (RFC 4787 REQ-9, RFC 5382 REQ-8) ------------------------------


def test_hairpin_to_a_range(plane: Plane) -> None:
    """The server sees the outside address and port of the client."""
    plane.apply(RANGES)
    out = plane.wires.send_and_expect(
        from_lan(tcp(LAN2.ip, SERVER, 4000, 80), LAN2), at="lan2", to="wan"
    )
    counts = plane.counting()
    syn = from_lan(tcp(LAN2.ip, WAN.ip, 4000, 5042), LAN2)
    into = plane.wires.send_and_expect(syn, at="lan2", to="lan")
    port = into[TCP].sport
    assert port in plane.ports
    if plane.name == "xdp":  # the kernel's mappings depend on the destination
        assert port == out[TCP].sport
    same(into, to_lan(tcp(WAN.ip, LAN.ip, port, 6052, ttl=63)))
    answer = from_lan(tcp(LAN.ip, WAN.ip, 6052, port, "SA"))
    back = plane.wires.send_and_expect(answer, at="lan", to="lan2")
    same(back, to_lan(tcp(WAN.ip, LAN2.ip, 5042, 4000, "SA", ttl=63), LAN2))
    counts.expect(FORWARD=2, NAT_NEW_SESSION=1)


def test_hairpin_where_bridged_frames_are_filtered(kernel_plane: Plane) -> None:
    """The bridge then sends the frame on by itself, and the server sees the outside address too."""
    kernel_plane.apply(RANGES)
    bridges_are_filtered(kernel_plane.lab, True)
    try:
        syn = from_lan(tcp(LAN2.ip, WAN.ip, 4000, 5042), LAN2)
        into = kernel_plane.wires.send_and_expect(syn, at="lan2", to="lan")
        port = into[TCP].sport
        assert (into[IP].src, into[TCP].dport) == (WAN.ip, 6052)
        assert port in kernel_plane.ports
        answer = from_lan(tcp(LAN.ip, WAN.ip, 6052, port, "SA"))
        back = kernel_plane.wires.send_and_expect(answer, at="lan", to="lan2")
        same(back[IP], tcp(WAN.ip, LAN2.ip, 5042, 4000, "SA"))  # bridged: the TTL stays
    finally:
        bridges_are_filtered(kernel_plane.lab, False)


def test_hairpin_to_a_shared_forward(plane: Plane) -> None:
    """Some clients come to the other host, some back to their own."""
    plane.apply(SHARED)
    seen = set()
    for sport in range(4000, 4030):
        plane.wires.forget()
        plane.wires.send(from_lan(tcp(LAN2.ip, WAN.ip, sport, 443), LAN2), at="lan2")
        for host, backend, to, into in islice(at_backends(plane), 1):
            assert into[TCP].sport in plane.ports
            expected = tcp(WAN.ip, backend.ip, into[TCP].sport, to, ttl=63)
            same(into, to_lan(expected, backend))
            seen.add(host)
        if len(seen) == 2:
            return
    raise AssertionError(f"only {seen} were called")


def test_hairpin_from_a_one_to_one_host(plane: Plane) -> None:
    """Its outside address is its own."""
    outside = str(ONE_TO_ONE)
    plane.apply(RANGES + f"    - {{outside: {outside}, inside: {LAN2.ip}}}\n")
    counts = plane.counting()
    syn = from_lan(tcp(LAN2.ip, WAN.ip, 4000, 5000), LAN2)
    into = plane.wires.send_and_expect(syn, at="lan2", to="lan")
    same(into, to_lan(tcp(outside, LAN.ip, 4000, 6010, ttl=63)))
    counts.expect(FORWARD=1, NAT_NEW_SESSION=1)


def test_the_gateways_inside_address_is_no_forward(plane: Plane) -> None:
    plane.apply(RANGES)
    counts = plane.counting()
    syn = from_lan(udp(LAN2.ip, GW_INSIDE.ip, 4000, 7000), LAN2)
    plane.wires.send_and_expect_nothing(syn, at="lan2", to="lan")
    syn = from_lan(tcp(LAN2.ip, GW_INSIDE.ip, 4000, 5000), LAN2)
    plane.wires.send_and_expect_nothing(syn, at="lan2", to="lan")
    counts.expect(PUNT_HOST=2)


def test_a_pool_of_addresses_has_its_ranges_on_each(plane: Plane) -> None:
    pool = f"addresses: [{WAN.ip}, {ONE_TO_ONE}]"
    plane.apply(RANGES.replace("static:", f"{pool}\n  static:"))
    for client, address in ((9000, WAN.ip), (9001, str(ONE_TO_ONE))):
        sent = from_wan(tcp(SERVER, address, client, 5001))
        into = plane.wires.send_and_expect(sent, at="wan", to="lan")
        same(into, to_lan(tcp(SERVER, LAN.ip, client, 6011, ttl=63)))
    out = plane.wires.send_and_expect(
        from_lan(udp(LAN2.ip, SERVER, 4000, 53), LAN2), at="lan2", to="wan"
    )
    assert out[UDP].sport in plane.ports
