# SPDX-License-Identifier: GPL-2.0-or-later
"""RFC 4787 REQ-5, REQ-6 and REQ-8 to REQ-11: timers, filtering, hairpinning, determinism."""

import pytest
from scapy.layers.inet import UDP

from hybrid_gateway.lab import LAN, LAN2, WAN
from hybrid_gateway.model import Timeouts
from tests.bpf.plane import SETTINGS, Plane, forwarded
from tests.lib.packets import SERVER, SERVER2, to_lan, to_wan, udp

from .expected import HIT, MODES, NEW_SESSION, SLACK


def test_rfc4787_req5_udp_timer(plane: Plane) -> None:
    """MUST NOT expire in less than two minutes; five or more are the RECOMMENDED default (c)."""
    assert Timeouts().udp >= 300
    assert SETTINGS.udp == Timeouts().udp
    plane.lan(udp(LAN.ip, SERVER, 4000, 53))
    assert 300 - SLACK < plane.session().expires_in <= 300


@pytest.mark.parametrize("seconds", [120, 3600])
def test_rfc4787_req5b_udp_timer_is_configurable(plane: Plane, seconds: int) -> None:
    """MAY be configurable."""
    plane.configure(udp=seconds)
    plane.lan(udp(LAN.ip, SERVER, 4000, 53))
    assert seconds - SLACK < plane.session().expires_in <= seconds


@pytest.mark.parametrize("port", [53, 123, 1023, 1024])
def test_rfc4787_req5a_no_port_has_a_shorter_timer(plane: Plane, port: int) -> None:
    """Well-known ports MAY have shorter timers; here they have not."""
    plane.lan(udp(LAN.ip, SERVER, 4000, port))
    assert plane.session().expires_in > SETTINGS.udp - SLACK


def test_rfc4787_req6_outbound_packets_refresh(plane: Plane) -> None:
    """MUST: a packet from inside refreshes. One from outside MAY (a), and does not here."""
    port = plane.lan(udp(LAN.ip, SERVER, 4000, 53)).packet[UDP].sport
    plane.configure(udp=1000)

    plane.wan(udp(SERVER, WAN.ip, 53, port))
    assert plane.session().expires_in <= SETTINGS.udp
    plane.lan(udp(LAN.ip, SERVER, 4000, 53))
    assert plane.session().expires_in > SETTINGS.udp


@pytest.mark.parametrize(("filtering", "other_port", "other_host"), MODES)
def test_rfc4787_req8_filtering(
    plane: Plane, filtering: int, other_port: str, other_host: str
) -> None:
    """RECOMMENDED: endpoint-independent or address-dependent; MAY be configurable (a)."""
    plane.configure(filtering=filtering)
    port = plane.lan(udp(LAN.ip, SERVER, 4000, 53)).packet[UDP].sport

    for remote, sport, verdict in (
        (SERVER, 53, "FORWARD"),
        (SERVER, 54, other_port),
        (SERVER2, 53, other_host),
    ):
        outcome = plane.wan(udp(remote, WAN.ip, sport, port))
        assert outcome.verdict == verdict
        if verdict == "FORWARD":
            forwarded(outcome, to_lan(udp(remote, LAN.ip, sport, 4000, ttl=63)))


def test_rfc4787_req9_hairpinning(plane: Plane) -> None:
    """MUST, and the callee MUST see the caller's outside address and port (a)."""
    callee = plane.lan(udp(LAN2.ip, SERVER, 5000, 53), LAN2).packet[UDP].sport
    caller = plane.lan(udp(LAN.ip, SERVER, 4000, 53)).packet[UDP].sport

    there = plane.lan(udp(LAN.ip, WAN.ip, 4000, callee))
    forwarded(there, to_lan(udp(WAN.ip, LAN2.ip, caller, 5000, ttl=63), LAN2))
    assert there.counted == NEW_SESSION
    back = plane.lan(udp(LAN2.ip, WAN.ip, 5000, caller), LAN2)
    forwarded(back, to_lan(udp(WAN.ip, LAN.ip, callee, 4000, ttl=63)))
    assert back.counted == HIT
    assert sorted(s.origin for s in plane.sessions()) == ["hairpin", "outbound", "outbound"]


def test_rfc4787_req9_an_endpoint_calls_itself(plane: Plane) -> None:
    """MUST: also from the very socket that has the mapping, as the STUN client of RFC 3489
    tries it (its test of hairpinning)."""
    port = plane.lan(udp(LAN.ip, SERVER, 4000, 53)).packet[UDP].sport

    for _ in range(2):
        outcome = plane.lan(udp(LAN.ip, WAN.ip, 4000, port))
        forwarded(outcome, to_lan(udp(WAN.ip, LAN.ip, port, 4000, ttl=63)))


SIP = (
    f"INVITE sip:bob@{SERVER} SIP/2.0\r\nVia: SIP/2.0/UDP {LAN.ip}:5060\r\n"
    f"Contact: <sip:alice@{LAN.ip}:5060>\r\n\r\nc=IN IP4 {LAN.ip}\r\nm=audio 4000 RTP/AVP 0\r\n"
).encode()


def test_rfc4787_req10_no_alg(plane: Plane) -> None:
    """SHOULD: no ALG for UDP; an address in a payload is a payload (SIP on its own port)."""
    outcome = plane.lan(udp(LAN.ip, SERVER, 5060, 5060, payload=SIP))
    port = outcome.packet[UDP].sport
    forwarded(outcome, to_wan(udp(WAN.ip, SERVER, port, 5060, ttl=63, payload=SIP)))
    assert len(plane.sessions()) == 1


def test_rfc4787_req11_deterministic_under_collision(plane: Plane) -> None:
    """MUST NOT change the behaviour: hosts with the same source port are all treated alike."""
    hosts = [f"192.168.110.{last}" for last in range(10, 40)]
    held = {host: plane.lan(udp(host, SERVER, 4000, 53)).packet[UDP].sport for host in hosts}
    assert len(set(held.values())) == len(hosts)

    for host, port in reversed(held.items()):
        outcome = plane.lan(udp(host, SERVER2, 4000, 53))
        forwarded(outcome, to_wan(udp(WAN.ip, SERVER2, port, 53, ttl=63)))


def test_rfc4787_req11_deterministic_when_ports_run_out(plane: Plane) -> None:
    """Mapping and filtering are the same at the last port as at the first."""
    plane.configure(ports=(20000, 20003))
    held = [plane.lan(udp(LAN.ip, SERVER, 4000 + i, 53)).packet[UDP].sport for i in range(4)]
    assert plane.lan(udp(LAN.ip, SERVER, 4004, 53)).verdict == "DROP_NO_PORT"

    for i, port in enumerate(held):
        assert plane.wan(udp(SERVER2, WAN.ip, 53, port)).verdict == "DROP_FILTERED"
        outcome = plane.lan(udp(LAN.ip, SERVER2, 4000 + i, 53))
        forwarded(outcome, to_wan(udp(WAN.ip, SERVER2, port, 53, ttl=63)))
        back = plane.wan(udp(SERVER2, WAN.ip, 54, port))
        forwarded(back, to_lan(udp(SERVER2, LAN.ip, 54, 4000 + i, ttl=63)))
