# SPDX-License-Identifier: GPL-2.0-or-later
"""RFC 5382, NAT for TCP, but for REQ-2 and REQ-5 (test_rfc5382_tcp) and ICMP (test_rfc5508)."""

import pytest
from scapy.layers.inet import TCP

from hybrid_gateway.lab import LAN, LAN2, WAN
from tests.bpf.plane import Plane, forwarded
from tests.lib.packets import SERVER, SERVER2, tcp, to_lan, to_wan

from .expected import HIT, MODES, NEW, NEW_SESSION


def test_rfc5382_req1_mapping_is_endpoint_independent(plane: Plane) -> None:
    """MUST: one mapping of an inside endpoint for every outside address and port."""
    first = plane.lan(tcp(LAN.ip, SERVER, 4000, 80))
    port = first.packet[TCP].sport
    forwarded(first, to_wan(tcp(WAN.ip, SERVER, port, 80, ttl=63)))
    assert first.counted == NEW

    for target, dport in ((SERVER, 81), (SERVER2, 80)):
        outcome = plane.lan(tcp(LAN.ip, target, 4000, dport))
        forwarded(outcome, to_wan(tcp(WAN.ip, target, port, dport, ttl=63)))
        assert outcome.counted == NEW_SESSION


def test_rfc5382_req2a_simultaneous_open(plane: Plane) -> None:
    """MUST: both ends send a SYN and answer it with a SYN-ACK (RFC 9293 figure 7)."""
    port = plane.lan(tcp(LAN.ip, SERVER, 4000, 80, seq=100)).packet[TCP].sport
    crossing = plane.wan(tcp(SERVER, WAN.ip, 80, port, seq=300))
    forwarded(crossing, to_lan(tcp(SERVER, LAN.ip, 80, 4000, ttl=63, seq=300)))
    mine = plane.lan(tcp(LAN.ip, SERVER, 4000, 80, "SA", seq=100, ack=301))
    forwarded(mine, to_wan(tcp(WAN.ip, SERVER, port, 80, "SA", ttl=63, seq=100, ack=301)))
    theirs = plane.wan(tcp(SERVER, WAN.ip, 80, port, "SA", seq=300, ack=101))
    forwarded(theirs, to_lan(tcp(SERVER, LAN.ip, 80, 4000, "SA", ttl=63, seq=300, ack=101)))
    assert crossing.counted == mine.counted == theirs.counted == HIT
    assert plane.session().state == "opening"
    plane.lan(tcp(LAN.ip, SERVER, 4000, 80, "A", seq=101, ack=301))
    assert plane.session().state == "established"


@pytest.mark.parametrize(("filtering", "other_port", "other_host"), MODES)
def test_rfc5382_req3_filtering(
    plane: Plane, filtering: int, other_port: str, other_host: str
) -> None:
    """RECOMMENDED: endpoint-independent or address-dependent; MAY be configurable (a)."""
    plane.configure(filtering=filtering)
    port = plane.lan(tcp(LAN.ip, SERVER, 4000, 80)).packet[TCP].sport

    for remote, sport, verdict in ((SERVER, 81, other_port), (SERVER2, 80, other_host)):
        outcome = plane.wan(tcp(remote, WAN.ip, sport, port))
        assert outcome.verdict == verdict
        if verdict == "FORWARD":
            assert outcome.counted == NEW_SESSION
            forwarded(outcome, to_lan(tcp(remote, LAN.ip, sport, 4000, ttl=63)))
            answer = plane.lan(tcp(LAN.ip, remote, 4000, sport, "SA"))
            forwarded(answer, to_wan(tcp(WAN.ip, remote, port, sport, "SA", ttl=63)))


def test_rfc5382_req4_an_unsolicited_syn_is_not_answered(plane: Plane) -> None:
    """MUST NOT within six seconds: dropped, and the outbound SYN that follows goes its way.

    An ICMP error after six seconds (SHOULD) gives way to the policy of REQ-4a: never.
    """
    port = plane.lan(tcp(LAN.ip, SERVER, 4000, 80)).packet[TCP].sport
    assert plane.wan(tcp(SERVER2, WAN.ip, 80, port)).counted == {"DROP_FILTERED": 1}
    assert plane.wan(tcp(SERVER2, WAN.ip, 80, port ^ 1)).counted == {"DROP_NO_MAPPING": 1}

    outbound = plane.lan(tcp(LAN.ip, SERVER2, 4000, 80))
    forwarded(outbound, to_wan(tcp(WAN.ip, SERVER2, port, 80, ttl=63)))
    assert outbound.counted == NEW_SESSION
    again = plane.wan(tcp(SERVER2, WAN.ip, 80, port))
    forwarded(again, to_lan(tcp(SERVER2, LAN.ip, 80, 4000, ttl=63)))
    assert again.counted == HIT


@pytest.mark.parametrize("flags", ["A", "SA", "PA", "FA", "R", "RA"])
def test_rfc5382_req4_late_segments_open_nothing(plane: Plane, flags: str) -> None:
    """A late segment of a connection that is gone opens no session from outside."""
    port = plane.lan(tcp(LAN.ip, SERVER, 4000, 80)).packet[TCP].sport
    plane.lan(tcp(LAN.ip, SERVER, 4000, 81))
    plane.expire(lambda session: session.remote[1] == 80)
    plane.sweep()

    late = plane.wan(tcp(SERVER, WAN.ip, 80, port, flags))
    assert late.counted == {"DROP_NO_SESSION": 1}
    assert len(plane.sessions()) == 1


def test_rfc5382_req6_no_alg(plane: Plane) -> None:
    """RECOMMENDED: off by default; there is none, and an FTP PORT command stays as it is."""
    for flags in ("S", "A"):
        port = plane.lan(tcp(LAN.ip, SERVER, 4000, 21, flags)).packet[TCP].sport
    command = f"PORT {LAN.ip.replace('.', ',')},15,160\r\n".encode()
    outcome = plane.lan(tcp(LAN.ip, SERVER, 4000, 21, "PA", payload=command))
    forwarded(outcome, to_wan(tcp(WAN.ip, SERVER, port, 21, "PA", ttl=63, payload=command)))
    assert len(plane.sessions()) == 1


def test_rfc5382_req7_ports_are_never_overloaded(plane: Plane) -> None:
    """MUST NOT: two inside endpoints share an outside port, not even to different targets."""
    plane.configure(ports=(20000, 20001))
    ports = set()
    for host, target in ((LAN, SERVER), (LAN2, SERVER2)):
        outcome = plane.lan(tcp(host.ip, target, 4000, 80), host)
        port = int(outcome.packet[TCP].sport)
        forwarded(outcome, to_wan(tcp(WAN.ip, target, port, 80, ttl=63)))
        ports.add(port)
    assert ports == {20000, 20001}
    assert plane.lan(tcp(LAN.ip, SERVER2, 4002, 80)).verdict == "DROP_NO_PORT"


def test_rfc5382_req8_hairpinning(plane: Plane) -> None:
    """MUST, and the callee MUST see the caller's outside address and port (a)."""
    callee = plane.lan(tcp(LAN2.ip, SERVER, 5000, 80), LAN2).packet[TCP].sport

    there = plane.lan(tcp(LAN.ip, WAN.ip, 4000, callee))
    caller = there.packet[TCP].sport
    forwarded(there, to_lan(tcp(WAN.ip, LAN2.ip, caller, 5000, ttl=63), LAN2))
    assert there.counted == NEW
    back = plane.lan(tcp(LAN2.ip, WAN.ip, 5000, caller, "SA"), LAN2)
    forwarded(back, to_lan(tcp(WAN.ip, LAN.ip, callee, 4000, "SA", ttl=63)))
    assert back.counted == HIT
    data = plane.lan(tcp(LAN.ip, WAN.ip, 4000, callee, "PA", payload=b"hello"))
    forwarded(
        data, to_lan(tcp(WAN.ip, LAN2.ip, caller, 5000, "PA", ttl=63, payload=b"hello"), LAN2)
    )
    outside = plane.lan(tcp(LAN.ip, SERVER, 4000, 80))
    forwarded(outside, to_wan(tcp(WAN.ip, SERVER, caller, 80, ttl=63)))
