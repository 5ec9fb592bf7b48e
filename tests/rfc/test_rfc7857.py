# SPDX-License-Identifier: GPL-2.0-or-later
"""RFC 7857, updates to RFC 4787, RFC 5382 and RFC 5508; what the others have is not repeated."""

import pytest
from _gw_native import lib
from scapy.layers.inet import ICMP, TCP, UDP

from hybrid_gateway.lab import LAN, WAN
from tests.bpf.plane import SETTINGS, Plane, forwarded
from tests.lib.packets import SERVER, SERVER2, echo, tcp, to_lan, to_wan, udp

from .errors import deadline, error, opened
from .expected import HIT, SLACK


def established(plane: Plane) -> int:
    """A TCP connection LAN:4000 to SERVER:80 beyond its handshake; its outside port."""
    port = int(plane.lan(tcp(LAN.ip, SERVER, 4000, 80)).packet[TCP].sport)
    plane.wan(tcp(SERVER, WAN.ip, 80, port, "SA"))
    plane.lan(tcp(LAN.ip, SERVER, 4000, 80, "A"))
    assert plane.session().state == "established"
    return port


@pytest.mark.parametrize("outbound", [True, False], ids=["from inside", "from outside"])
def test_rfc7857_sec2_2_a_reset_is_translated_and_the_session_waits(
    plane: Plane, *, outbound: bool
) -> None:
    """MUST translate the RST; SHOULD wait 4 minutes before the session goes."""
    port = established(plane)
    if outbound:
        outcome = plane.lan(tcp(LAN.ip, SERVER, 4000, 80, "R", seq=5))
        forwarded(outcome, to_wan(tcp(WAN.ip, SERVER, port, 80, "R", ttl=63, seq=5)))
    else:
        outcome = plane.wan(tcp(SERVER, WAN.ip, 80, port, "R", seq=5))
        forwarded(outcome, to_lan(tcp(SERVER, LAN.ip, 80, 4000, "R", ttl=63, seq=5)))
    assert outcome.counted == HIT
    assert SETTINGS.tcp_transitory >= 240
    assert 240 - SLACK < plane.session().expires_in <= 240


def test_rfc7857_sec2_2_a_forged_reset_ends_nothing(plane: Plane) -> None:
    """The four minutes are for this: the inside host goes on, and so does the session."""
    port = established(plane)
    plane.wan(tcp(SERVER, WAN.ip, 80, port, "R"))
    assert plane.session().state == "closing"

    plane.lan(tcp(LAN.ip, SERVER, 4000, 80, "PA", payload=b"still here"))
    assert plane.session().state == "established"
    assert plane.session().expires_in > SETTINGS.tcp_transitory


def test_rfc7857_sec5_mapping_is_protocol_dependent(plane: Plane) -> None:
    """SHOULD: TCP, UDP and ICMP of one inside port have mappings of their own."""
    plane.configure(ports=(20000, 20000))

    assert plane.lan(udp(LAN.ip, SERVER, 4000, 53)).packet[UDP].sport == 20000
    assert plane.lan(tcp(LAN.ip, SERVER, 4000, 80)).packet[TCP].sport == 20000
    assert plane.lan(echo(LAN.ip, SERVER, 4000)).packet[ICMP].id == 20000
    assert plane.host(LAN.ip) == (3, 3)


def test_rfc7857_sec6_filtering_is_protocol_dependent(plane: Plane) -> None:
    """SHOULD: a mapping of UDP lets no TCP in, even with endpoint-independent filtering."""
    plane.configure(filtering=lib.GW_FILTER_ENDPOINT_INDEPENDENT)
    port = plane.lan(udp(LAN.ip, SERVER, 4000, 53)).packet[UDP].sport

    assert plane.wan(tcp(SERVER, WAN.ip, 53, port)).counted == {"DROP_NO_MAPPING": 1}
    forwarded(
        plane.wan(udp(SERVER2, WAN.ip, 9, port)),
        to_lan(udp(SERVER2, LAN.ip, 9, 4000, ttl=63)),
    )


def test_rfc7857_sec7_inbound_packets_hold_no_mapping(plane: Plane) -> None:
    """An Internet host could hold it for ever: only what the inside host sends refreshes."""
    plane.configure(filtering=lib.GW_FILTER_ENDPOINT_INDEPENDENT)
    port = plane.lan(udp(LAN.ip, SERVER, 4000, 53)).packet[UDP].sport
    before = deadline(plane)
    plane.configure(filtering=lib.GW_FILTER_ENDPOINT_INDEPENDENT, udp=9999)
    for _ in range(3):
        assert plane.wan(udp(SERVER, WAN.ip, 53, port)).counted == HIT
    assert deadline(plane) == before


@pytest.mark.parametrize("kind", ["udp", "tcp", "echo"])
def test_rfc7857_sec7_1_outbound_errors_do_not_refresh(plane: Plane, kind: str) -> None:
    """SHOULD NOT: an ICMP error of the inside host answers a packet that nobody asked for."""
    flow = opened(plane, kind)
    before = deadline(plane)
    plane.configure(udp=9999, icmp=9999, tcp_transitory=9999)
    outcome = plane.lan(error(LAN.ip, SERVER, flow.inbound(translated=True)))
    assert outcome.verdict == "FORWARD"
    assert deadline(plane) == before


def test_rfc7857_sec7_1_outbound_resets_do_not_refresh(plane: Plane) -> None:
    """SHOULD NOT: one after the other leaves the time that was left after the first."""
    established(plane)
    plane.lan(tcp(LAN.ip, SERVER, 4000, 80, "R"))
    before = deadline(plane)
    plane.configure(tcp_transitory=9999, tcp_established=9999)
    for _ in range(3):
        assert plane.lan(tcp(LAN.ip, SERVER, 4000, 80, "R")).counted == HIT
    assert deadline(plane) == before


def test_rfc7857_sec11_an_identifier_lives_as_long_as_its_sessions(plane: Plane) -> None:
    """MAY be deleted with the last session that uses it, and is not before."""
    first = plane.lan(echo(LAN.ip, SERVER, 77)).packet[ICMP].id
    plane.lan(echo(LAN.ip, SERVER2, 77))
    plane.expire(lambda session: str(session.remote[0]) == SERVER)
    plane.sweep()

    back = plane.wan(echo(SERVER2, WAN.ip, first, reply=True))
    forwarded(back, to_lan(echo(SERVER2, LAN.ip, 77, reply=True, ttl=63)))
    assert plane.lan(echo(LAN.ip, SERVER, 77)).packet[ICMP].id == first
    plane.expire()
    plane.sweep()
    assert plane.sessions() == []
    assert plane.wan(echo(SERVER2, WAN.ip, first, reply=True)).counted == {"PUNT_HOST": 1}
