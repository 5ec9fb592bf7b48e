# SPDX-License-Identifier: GPL-2.0-or-later
"""RFC 5508 REQ-1, REQ-2 and REQ-7: queries, and hairpinning of them and of errors."""

from ipaddress import IPv4Address

import pytest
from scapy.layers.inet import ICMP, TCP, UDP
from scapy.packet import Packet

from hybrid_gateway.bpf import StaticRecord
from hybrid_gateway.lab import LAN, LAN2, WAN
from hybrid_gateway.model import Timeouts
from tests.bpf.plane import ONE_TO_ONE, SETTINGS, Plane, forwarded
from tests.lib.packets import SERVER, SERVER2, echo, tcp, to_lan, to_wan, udp, wire

from .errors import FORWARDED, MINIMUM, error
from .expected import HIT, NEW, NEW_SESSION, SLACK


def test_rfc5508_req1_queries_and_their_answers(plane: Plane) -> None:
    """MUST permit queries that an inside host starts, and the answers to them."""
    outcome = plane.lan(echo(LAN.ip, SERVER, 77))
    identifier = outcome.packet[ICMP].id
    forwarded(outcome, to_wan(echo(WAN.ip, SERVER, identifier, ttl=63)))
    assert outcome.counted == NEW
    back = plane.wan(echo(SERVER, WAN.ip, identifier, reply=True))
    forwarded(back, to_lan(echo(SERVER, LAN.ip, 77, reply=True, ttl=63)))
    assert back.counted == HIT


def test_rfc5508_req1a_identifiers_are_host_independent(plane: Plane) -> None:
    """SHOULD: one outside identifier for every host that is asked; not shared by inside hosts."""
    identifier = plane.lan(echo(LAN.ip, SERVER, 77)).packet[ICMP].id
    other = plane.lan(echo(LAN.ip, SERVER2, 77))
    forwarded(other, to_wan(echo(WAN.ip, SERVER2, identifier, ttl=63)))
    assert other.counted == NEW_SESSION
    assert plane.lan(echo(LAN2.ip, SERVER, 77), LAN2).packet[ICMP].id != identifier


@pytest.mark.parametrize("seconds", [Timeouts().icmp, 600])
def test_rfc5508_req2_query_timer(plane: Plane, seconds: int) -> None:
    """MUST NOT expire in less than 60 s; configurable (a, RECOMMENDED)."""
    assert Timeouts().icmp >= 60
    assert SETTINGS.icmp == Timeouts().icmp
    plane.configure(icmp=seconds)
    plane.lan(echo(LAN.ip, SERVER, 77))
    assert seconds - SLACK < plane.session().expires_in <= seconds


def test_rfc5508_req7_hairpinned_queries_of_basic_nat(plane: Plane) -> None:
    """MUST: an inside host pings another by the address that is its own outside (1:1)."""
    plane.statics(StaticRecord(0, ONE_TO_ONE, 0, IPv4Address(LAN2.ip), 0))
    nine = str(ONE_TO_ONE)

    there = plane.lan(echo(LAN.ip, nine, 77))
    identifier = there.packet[ICMP].id
    forwarded(there, to_lan(echo(WAN.ip, LAN2.ip, identifier, ttl=63), LAN2))
    assert there.counted == NEW
    back = plane.lan(echo(LAN2.ip, WAN.ip, identifier, reply=True), LAN2)
    forwarded(back, to_lan(echo(nine, LAN.ip, 77, reply=True, ttl=63)))
    assert back.counted == HIT


@pytest.mark.parametrize(("build", "layer"), [(udp, UDP), (tcp, TCP)], ids=["udp", "tcp"])
@pytest.mark.parametrize("length", [MINIMUM, None], ids=["least", "whole"])
def test_rfc5508_req7a_hairpinned_errors(
    plane: Plane, build: type[Packet], layer: type[Packet], length: int | None
) -> None:
    """MUST: to the inside host whose packet it is about, with that packet as it was sent;
    either side of the call may complain, and sees only outside addresses of the other."""
    callee = plane.lan(build(LAN2.ip, SERVER, 5000, 53), LAN2).packet[layer].sport
    caller = plane.lan(build(LAN.ip, WAN.ip, 4000, callee)).packet[layer].sport
    plane.lan(build(LAN2.ip, WAN.ip, 5000, caller), LAN2)

    def quote(packet: Packet) -> bytes:
        return bytes(wire(packet))[:length]

    seen = quote(build(WAN.ip, LAN2.ip, caller, 5000, ttl=60))
    sent = quote(build(LAN.ip, WAN.ip, 4000, callee, ttl=60))
    outcome = plane.lan(error(LAN2.ip, WAN.ip, seen), LAN2)
    forwarded(outcome, to_lan(error(WAN.ip, LAN.ip, sent, ttl=63)))
    assert outcome.counted == FORWARDED

    seen = quote(build(WAN.ip, LAN.ip, callee, 4000, ttl=60))
    sent = quote(build(LAN2.ip, WAN.ip, 5000, caller, ttl=60))
    outcome = plane.lan(error(LAN.ip, WAN.ip, seen))
    forwarded(outcome, to_lan(error(WAN.ip, LAN2.ip, sent, ttl=63), LAN2))
    assert outcome.counted == FORWARDED


def test_rfc5508_req7_hairpinned_errors_about_queries(plane: Plane) -> None:
    """MUST: errors about a hairpinned query of a 1:1 host are hairpinned as well."""
    plane.statics(StaticRecord(0, ONE_TO_ONE, 0, IPv4Address(LAN2.ip), 0))
    nine = str(ONE_TO_ONE)
    identifier = plane.lan(echo(LAN.ip, nine, 77)).packet[ICMP].id

    seen, sent = wire(echo(WAN.ip, LAN2.ip, identifier)), wire(echo(LAN.ip, nine, 77))
    outcome = plane.lan(error(LAN2.ip, WAN.ip, seen, 3, 10), LAN2)
    forwarded(outcome, to_lan(error(nine, LAN.ip, sent, 3, 10, ttl=63)))
