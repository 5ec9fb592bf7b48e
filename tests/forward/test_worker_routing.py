# SPDX-License-Identifier: GPL-2.0-or-later
"""What the worker forwards: whole frames compared, of both families, as the kernel's routes say."""

from collections import Counter

import pytest
from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from hybrid_gateway.lab import EAST, SFP0, SFP1, WEST
from tests.forward.fibre import Fibre
from tests.lib.fibre import (
    EAST6,
    SFP0_6,
    WEST6,
    datagram,
    from_east,
    from_west,
    header,
    is_error,
    is_marked,
    to_east,
    to_west,
)
from tests.lib.packets import same
from tests.lib.traffic import ARRIVES_SECONDS

HOSTS = {4: (EAST.ip, WEST.ip), 6: (EAST6, WEST6)}
AWAY = {4: "198.19.0.7", 6: "2001:db8:19::7"}
NETWORK = {4: "198.19.0.0/16", 6: "2001:db8:19::/64"}
NEXT_MACS = ("02:00:c6:12:01:21", "02:00:c6:12:01:22")
NEXT = {4: ("198.18.1.21", "198.18.1.22"), 6: ("2001:db8:f::21", "2001:db8:f::22")}
FLOWS = 400

families = pytest.mark.parametrize("family", [4, 6], ids=["ipv4", "ipv6"])


def neighbours(family: int) -> list[str]:
    return [
        f"neigh add {address} lladdr {mac} dev {SFP1.device} nud permanent"
        for address, mac in zip(NEXT[family], NEXT_MACS, strict=True)
    ]


@families
def test_between_the_hosts(fibre: Fibre, family: int) -> None:
    """TTL and checksum, and the MAC addresses of the way out; nothing else changes."""
    east, west = HOSTS[family]
    counts = fibre.counting()
    there = fibre.send(from_east(datagram(east, west)), at="east", to="west")
    same(there, to_west(datagram(east, west, ttl=63)))
    back = fibre.send(from_west(datagram(west, east, ttl=2)), at="west", to="east")
    same(back, to_east(datagram(west, east, ttl=1)))
    counts.expect(**{f"FORWARD_IP{family}": 2})


@families
@pytest.mark.parametrize("size", [60, 128, 576, 1499, 1500])
def test_every_size(fibre: Fibre, family: int, size: int) -> None:
    east, west = HOSTS[family]
    sent = datagram(east, west, size=size)
    assert len(sent) == size
    got = fibre.send(from_east(sent), at="east", to="west")
    same(got, to_west(datagram(east, west, size=size, ttl=63)))


@families
def test_padded_frames(fibre: Fibre, family: int) -> None:
    """Ethernet pads small frames; the IP header says how long the packet is."""
    east, west = HOSTS[family]
    fields = {4: {"proto": 253}, 6: {"nh": 59}}[family]
    padded = bytes(from_east(header(east, west, **fields))) + bytes(20)
    got = bytes(fibre.send(padded, at="east", to="west"))
    expected = bytes(to_west(header(east, west, ttl=63, **fields)))
    assert got.rstrip(b"\0") == expected.rstrip(b"\0")


@families
def test_equal_cost_routes_by_weight(fibre: Fibre, family: int) -> None:
    """Each flow keeps to its next hop, and the next hops share the flows as the route says.

    A flow is a pair of addresses, as by default in the kernel (fib_multipath_hash_policy).
    """
    first, second = NEXT[family]
    route = f"-{family} route add {NETWORK[family]}"
    route += f" nexthop via {first} dev sfp1 weight 1 nexthop via {second} dev sfp1 weight 3"
    with fibre.given(*neighbours(family), route):
        counts = fibre.counting()
        taken = [_way_of_flows(fibre, family) for _ in range(2)]
        counts.expect(**{f"FORWARD_IP{family}": 2 * FLOWS})
    assert taken[0] == taken[1]
    shares = Counter(taken[0].values())
    assert set(shares) == set(NEXT_MACS)
    # 100 of 400 on average; six deviations of a fair hash.
    assert 48 <= shares[NEXT_MACS[0]] <= 152, shares


def _way_of_flows(fibre: Fibre, family: int) -> dict[str, str]:
    """MAC address of the next hop by destination."""
    fibre.wires.forget("west")
    for number in range(FLOWS):
        away = {4: f"198.19.{number // 250}.{number % 250 + 1}", 6: f"2001:db8:19::{number:x}"}
        fibre.wires.send(from_east(datagram(HOSTS[family][0], away[family])), at="east")
    taken: dict[str, str] = {}
    for packet in fibre.wires.arriving("west", is_marked, ARRIVES_SECONDS):
        taken[packet.payload.dst] = packet.dst
        if len(taken) == FLOWS:
            break
    assert len(taken) == FLOWS
    return taken


def fragments(family: int, src: str, dst: str, sport: int = 4000, ttl: int = 64) -> list[Packet]:
    """A datagram in two, written by hand so that every field is known."""
    whole = bytes(datagram(src, dst, sport=sport, size=1200))[20 if family == 4 else 40 :]
    cut = 800
    if family == 4:
        more = header(src, dst, ttl, proto=17, flags="MF")
        last = header(src, dst, ttl, proto=17, flags=0, frag=cut // 8)
    else:
        more = header(src, dst, ttl) / IPv6ExtHdrFragment(nh=17, m=1, id=77)
        last = header(src, dst, ttl) / IPv6ExtHdrFragment(nh=17, offset=cut // 8, id=77)
    return [more / Raw(whole[:cut]), last / Raw(whole[cut:])]


def fragments_pass(fibre: Fibre, family: int) -> None:
    """As they are, and all of a packet by one next hop, whichever of them has the ports."""
    east, west = HOSTS[family]
    counts = fibre.counting()
    pieces = fragments(family, east, west)
    for sent, wanted in zip(pieces, fragments(family, east, west, ttl=63), strict=True):
        same(fibre.send(from_east(sent), at="east", to="west"), to_west(wanted))
    counts.expect(**{f"FORWARD_IP{family}": 2})
    first, second = NEXT[family]
    route = f"-{family} route add {NETWORK[family]}"
    route += f" nexthop via {first} dev sfp1 nexthop via {second} dev sfp1"
    with fibre.given(*neighbours(family), route):
        for sport in range(4000, 4010):
            pieces = fragments(family, east, AWAY[family], sport)
            taken = {fibre.send(from_east(one), at="east", to="west").dst for one in pieces}
            assert len(taken) == 1


def test_fragments(fibre: Fibre) -> None:
    """Those of IPv4 an af_packet port never gets: the kernel joins them before. See AF_XDP."""
    fragments_pass(fibre, 6)


@families
def test_blackhole_comes_and_goes(fibre: Fibre, family: int) -> None:
    east, _ = HOSTS[family]
    sent = from_east(datagram(east, AWAY[family]))
    with fibre.given(
        f"-{family} route add {NETWORK[family]} via {HOSTS[family][1]}",
        f"-{family} route add blackhole {AWAY[family]}",
    ):
        counts = fibre.counting()
        fibre.wires.send_and_expect_nothing(sent, at="east", to="west", wanted=is_marked)
        counts.expect(DROP_BLACKHOLE=1)
        fibre.ip(f"-{family} route del blackhole {AWAY[family]}")
        same(
            fibre.send(sent, at="east", to="west"),
            to_west(datagram(east, AWAY[family], ttl=63)),
        )
        fibre.ip(f"-{family} route add blackhole {AWAY[family]}")


@families
@pytest.mark.parametrize("kind", ["unreachable", "prohibit"])
def test_the_kernel_answers_for_the_unreachable(fibre: Fibre, family: int, kind: str) -> None:
    """The error quotes the packet as it was sent."""
    code = {("unreachable", 4): 1, ("prohibit", 4): 13, ("unreachable", 6): 0, ("prohibit", 6): 1}
    east, _ = HOSTS[family]
    sent = datagram(east, AWAY[family])
    with fibre.given(f"-{family} route add {kind} {NETWORK[family]}"):
        counts = fibre.counting()
        error = fibre.send(from_east(sent), at="east", to="east", wanted=is_error)
        counts.expect(PUNT_UNREACHABLE=1)
    assert error[Ether].src == SFP0.mac
    assert error[IP if family == 4 else IPv6].src == (SFP0.ip if family == 4 else SFP0_6)
    assert error.payload.payload.code == code[kind, family]
    assert bytes(sent) in bytes(error)


def test_no_route_is_the_kernels_to_answer(fibre: Fibre) -> None:
    """The lab's gateway has a default route for IPv4 only."""
    counts = fibre.counting()
    sent = datagram(EAST6, AWAY[6])
    error = fibre.send(from_east(sent), at="east", to="east", wanted=is_error)
    counts.expect(PUNT_NO_ROUTE=1)
    assert (error[IPv6].src, error[IPv6].payload.code) == (SFP0_6, 0)
    assert bytes(sent) in bytes(error)


@families
def test_onlink(fibre: Fibre, family: int) -> None:
    """A next hop that is in none of our networks."""
    via = {4: "192.0.2.99", 6: "2001:db8:99::99"}[family]
    east, _ = HOSTS[family]
    with fibre.given(
        f"neigh add {via} lladdr {NEXT_MACS[0]} dev sfp1 nud permanent",
        f"-{family} route add {NETWORK[family]} via {via} dev sfp1 onlink",
    ):
        counts = fibre.counting()
        got = fibre.send(from_east(datagram(east, AWAY[family])), at="east", to="west")
        counts.expect(**{f"FORWARD_IP{family}": 1})
    same(got, to_west(datagram(east, AWAY[family], ttl=63), NEXT_MACS[0]))


def test_ipv4_by_a_next_hop_of_ipv6(fibre: Fibre) -> None:
    """RFC 5549, as FRR writes them."""
    via = NEXT[6][1]
    with fibre.given(
        f"neigh add {via} lladdr {NEXT_MACS[1]} dev sfp1 nud permanent",
        f"route add {NETWORK[4]} via inet6 {via} dev sfp1",
    ):
        counts = fibre.counting()
        got = fibre.send(from_east(datagram(EAST.ip, AWAY[4])), at="east", to="west")
        counts.expect(FORWARD_IP4=1)
    same(got, to_west(datagram(EAST.ip, AWAY[4], ttl=63), NEXT_MACS[1]))


@families
def test_the_longest_prefix_counts(fibre: Fibre, family: int) -> None:
    first, second = NEXT[family]
    east, _ = HOSTS[family]
    longer = {4: "198.19.0.0/29", 6: "2001:db8:19::/125"}[family]
    sent = from_east(datagram(east, AWAY[family]))
    with fibre.given(*neighbours(family), f"-{family} route add {NETWORK[family]} via {first}"):
        with fibre.given(f"-{family} route add {longer} via {second}"):
            assert fibre.send(sent, at="east", to="west")[Ether].dst == NEXT_MACS[1]
        assert fibre.send(sent, at="east", to="west")[Ether].dst == NEXT_MACS[0]
        fibre.ip(f"-{family} route replace {NETWORK[family]} via {second}")
        assert fibre.send(sent, at="east", to="west")[Ether].dst == NEXT_MACS[1]
        fibre.ip(f"-{family} route replace {NETWORK[family]} via {first}")


@families
def test_metrics_decide_between_equal_prefixes(fibre: Fibre, family: int) -> None:
    first, second = NEXT[family]
    east, _ = HOSTS[family]
    sent = from_east(datagram(east, AWAY[family]))
    route = f"-{family} route add {NETWORK[family]}"
    with fibre.given(*neighbours(family), f"{route} via {first} metric 200"):
        with fibre.given(f"{route} via {second} metric 100"):
            assert fibre.send(sent, at="east", to="west")[Ether].dst == NEXT_MACS[1]
        assert fibre.send(sent, at="east", to="west")[Ether].dst == NEXT_MACS[0]
