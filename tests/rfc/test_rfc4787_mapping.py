# SPDX-License-Identifier: GPL-2.0-or-later
"""RFC 4787 REQ-1 to REQ-4 and REQ-7: which outside endpoint a UDP endpoint gets."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from scapy.layers.inet import IP, UDP

from hybrid_gateway.lab import LAN, LAN2, ROUTER, WAN
from hybrid_gateway.lab.namespaces import run
from hybrid_gateway.model import DEFAULT_PORTS
from tests.bpf.plane import ONE_TO_ONE, OUTSIDE, Plane, forwarded
from tests.lib.packets import SERVER, SERVER2, to_lan, to_wan, udp

from .expected import HIT, NEW, NEW_SESSION


def outside_port(plane: Plane, sport: int, target: str = SERVER, host: str = LAN.ip) -> int:
    """Sends to the target's port 53; the whole frame that leaves is as it should be."""
    outcome = plane.lan(udp(host, target, sport, 53))
    port = int(outcome.packet[UDP].sport)
    forwarded(outcome, to_wan(udp(WAN.ip, target, port, 53, ttl=63)))
    return port


def test_rfc4787_req1_mapping_is_endpoint_independent(plane: Plane) -> None:
    """MUST: one mapping of an inside endpoint for every outside address and port."""
    first = plane.lan(udp(LAN.ip, SERVER, 4000, 53))
    port = first.packet[UDP].sport
    forwarded(first, to_wan(udp(WAN.ip, SERVER, port, 53, ttl=63)))
    assert first.counted == NEW

    for target, dport in ((SERVER, 54), (SERVER2, 53), (SERVER2, 54)):
        outcome = plane.lan(udp(LAN.ip, target, 4000, dport))
        forwarded(outcome, to_wan(udp(WAN.ip, target, port, dport, ttl=63)))
        assert outcome.counted == NEW_SESSION
    assert plane.host(LAN.ip) == (4, 1)


def test_rfc4787_req2_pooling_is_paired(plane: Plane) -> None:
    """RECOMMENDED: all endpoints of an inside host have the same address of the pool."""
    plane.configure(addresses=(OUTSIDE, ONE_TO_ONE))
    chosen = set()
    for last in range(10, 26):
        host = f"192.168.110.{last}"
        sources = {plane.lan(udp(host, SERVER, 4000 + i, 53)).packet[IP].src for i in range(3)}
        assert len(sources) == 1
        chosen |= sources
    assert chosen == {str(OUTSIDE), str(ONE_TO_ONE)}


def test_rfc4787_req3_ports_are_never_overloaded(plane: Plane) -> None:
    """MUST NOT: two inside endpoints share an outside port, not even to different targets."""
    plane.configure(ports=(20000, 20007))
    ports = [outside_port(plane, 4000), outside_port(plane, 4000, SERVER2, LAN2.ip)]
    ports += [outside_port(plane, 4001 + i, SERVER2) for i in range(6)]
    assert sorted(ports) == list(range(20000, 20008))

    for target in (SERVER, SERVER2):
        assert plane.lan(udp(LAN.ip, target, 5000, 53)).verdict == "DROP_NO_PORT"
    assert plane.host(LAN.ip) == (7, 7)


@pytest.mark.parametrize("sport", [1024, 4000, 49152, 65535])
def test_rfc4787_req3a_ports_from_1024_stay_in_their_class(plane: Plane, sport: int) -> None:
    """RECOMMENDED: a source port of 1024 or above gets one of 1024 or above."""
    assert outside_port(plane, sport) >= 1024


def test_rfc4787_req3a_privileged_ports_are_the_gateway_s(plane: Plane) -> None:
    """RECOMMENDED otherwise: 0 to 1023 belong to the services of the gateway itself here."""
    assert DEFAULT_PORTS.low >= 1024
    for sport in (1, 123, 1023):
        assert outside_port(plane, sport) in DEFAULT_PORTS


def test_rfc4787_req4_parity_is_kept(plane: Plane) -> None:
    """RECOMMENDED: an even port gets an even one, an odd port an odd one."""
    plane.configure(ports=(20001, 20200))
    for sport in range(4000, 4080):
        assert outside_port(plane, sport) % 2 == sport % 2


@pytest.mark.parametrize("ports", [(20000, 20009), (20000, 20010), (20001, 20010), (20001, 20011)])
def test_rfc4787_req4_parity_gives_way_only_at_the_end(
    plane: Plane, ports: tuple[int, int]
) -> None:
    """Kept while such a port is free, and no reason to refuse when none is (RFC 7857 8)."""
    plane.configure(ports=ports)
    everything = range(ports[0], ports[1] + 1)
    even = [port for port in everything if port % 2 == 0]

    assert sorted(outside_port(plane, 4000 + 2 * i) for i in range(len(even))) == even
    assert outside_port(plane, 4998) in {port for port in everything if port % 2}


@contextmanager
def routed_outside(address: str) -> Iterator[None]:
    """An address of the inside network's range is an Internet host's as well."""
    run(["ip", "route", "add", address, "via", ROUTER.ip])
    try:
        assert json.loads(run(["ip", "-json", "route", "get", address]))[0]["dev"] == "wan0"
        yield
    finally:
        run(["ip", "route", "del", address])


def test_rfc4787_req7_inside_and_outside_ranges_overlap(plane: Plane) -> None:
    """MUST: traffic with outside nodes whose addresses conflict with the inside network.

    The route says where such an address is, in both directions; without one it is inside and
    a packet that claims to come from it is forged.
    """
    twin = "192.168.110.200"
    with routed_outside(twin):
        outcome = plane.lan(udp(LAN.ip, twin, 4000, 4000))
        port = outcome.packet[UDP].sport
        forwarded(outcome, to_wan(udp(WAN.ip, twin, port, 4000, ttl=63)))
        assert outcome.counted == NEW
        back = plane.wan(udp(twin, WAN.ip, 4000, port))
        forwarded(back, to_lan(udp(twin, LAN.ip, 4000, 4000, ttl=63)))
        assert back.counted == HIT
    assert plane.wan(udp(twin, WAN.ip, 4001, port)).counted == {"DROP_SOURCE": 1}


def test_rfc4787_req7_the_same_tuple_on_both_sides(plane: Plane) -> None:
    """A packet from inside and one from outside may carry the same addresses and ports."""
    twin = "192.168.110.200"
    with routed_outside(twin):
        port = plane.lan(udp(LAN.ip, twin, 4000, 53)).packet[UDP].sport
        # What the outside twin sends looks, field by field, like an inside host's hairpin.
        back = plane.wan(udp(twin, WAN.ip, 53, port))
        forwarded(back, to_lan(udp(twin, LAN.ip, 53, 4000, ttl=63)))
    inside = plane.lan(udp(twin, WAN.ip, 53, port))
    caller = inside.packet[UDP].sport
    forwarded(inside, to_lan(udp(WAN.ip, LAN.ip, caller, 4000, ttl=63)))
    assert inside.counted == NEW
