# SPDX-License-Identifier: GPL-2.0-or-later
"""Timers that run: the kernel's own sweep, with a second or two where the RFCs ask for minutes.

Nothing sleeps: a session beside the one in question, and of the same class, is the clock.
"""

import time
from collections.abc import Callable

import pytest
from scapy.layers.inet import ICMP, TCP, UDP
from scapy.packet import Packet

from tests.lib.gateway import Gateway, eventually, nat44
from tests.lib.packets import (
    LAN,
    SERVER,
    SERVER2,
    WAN,
    echo,
    from_lan,
    from_wan,
    same,
    tcp,
    to_lan,
    udp,
)
from tests.lib.traffic import SILENCE_SECONDS, Wires, is_test_packet

pytestmark = pytest.mark.usefixtures("leak_watch")
SHORT = 2
"""Seconds of every timer but the established one's."""
TICK = 0.02
"""Seconds that the data path's clock may be behind: it advances with the kernel's timer."""
ENDS = 15.0
"""Seconds that a loaded machine may take for it."""
TIMERS = f"{{udp: {SHORT}, icmp: {SHORT}, tcp-transitory: {SHORT}, tcp-established: 60}}"
Match = Callable[[Packet], bool]


@pytest.fixture(autouse=True)
def short(gateway: Gateway) -> None:
    gateway.apply(nat44(f"timeouts: {TIMERS}"))


def out(wires: Wires, packet: Packet) -> Packet:
    return wires.send_and_expect(from_lan(packet), at="lan", to="wan")


def back(wires: Wires, packet: Packet) -> Packet:
    return wires.send_and_expect(from_wan(packet), at="wan", to="lan")


def live(gateway: Gateway) -> set[tuple[int, int]]:
    """Protocol and inside port of every session."""
    return {(s["protocol"], s["inside"][1]) for s in gateway.sessions()}


KINDS = {
    "udp": (udp(LAN.ip, SERVER, 4000, 53), (17, 4000)),
    "icmp": (echo(LAN.ip, SERVER, 4000), (1, 4000)),
    "tcp": (tcp(LAN.ip, SERVER, 4000, 80), (6, 4000)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_rfc4787_req5_a_session_ends_with_its_timer(
    wires: Wires, gateway: Gateway, kind: str
) -> None:
    """Not before it (also RFC 5508 REQ-2 and RFC 5382 REQ-5, transitory), and by itself."""
    packet, session = KINDS[kind]
    begun = time.monotonic()
    out(wires, packet)
    assert live(gateway) == {session}
    eventually(lambda: not live(gateway), "the session has expired", ENDS)
    assert time.monotonic() - begun >= SHORT - TICK


def test_rfc4787_req6_outbound_packets_keep_a_mapping(wires: Wires, gateway: Gateway) -> None:
    """MUST refresh: it outlives its neighbour, which is as old and was sent nothing for."""
    port = out(wires, udp(LAN.ip, SERVER, 4000, 53))[UDP].sport
    out(wires, udp(LAN.ip, SERVER, 5000, 53))

    def neighbour_ended() -> bool:
        assert out(wires, udp(LAN.ip, SERVER, 4000, 53))[UDP].sport == port
        return (17, 5000) not in live(gateway)

    eventually(neighbour_ended, "the neighbour has expired", ENDS)
    assert live(gateway) == {(17, 4000)}
    answer = back(wires, udp(SERVER, WAN.ip, 53, port))
    same(answer, to_lan(udp(SERVER, LAN.ip, 53, 4000, ttl=63)))


def test_rfc7857_sec7_inbound_packets_keep_no_mapping(wires: Wires, gateway: Gateway) -> None:
    """An Internet host that goes on sending does not hold the mapping."""
    port = out(wires, udp(LAN.ip, SERVER, 4000, 53))[UDP].sport
    counts = gateway.counting()

    def ended() -> bool:
        wires.send(from_wan(udp(SERVER, WAN.ip, 53, port)), at="wan")
        return "DROP_NO_MAPPING" in counts.now()

    eventually(ended, "the mapping is gone", ENDS)
    assert live(gateway) == set()


def connect(wires: Wires, sport: int) -> int:
    port = int(out(wires, tcp(LAN.ip, SERVER, sport, 80))[TCP].sport)
    back(wires, tcp(SERVER, WAN.ip, 80, port, "SA"))
    out(wires, tcp(LAN.ip, SERVER, sport, 80, "A"))
    return port


def test_rfc5382_req5_established_outlives_transitory(wires: Wires, gateway: Gateway) -> None:
    """Each has the timer of its state: an idle connection stays, half of one does not."""
    connect(wires, 4000)
    out(wires, tcp(LAN.ip, SERVER, 5000, 80))
    eventually(lambda: (6, 5000) not in live(gateway), "the half one has expired", ENDS)
    assert live(gateway) == {(6, 4000)}


@pytest.mark.parametrize("end", ["RST", "FIN"])
def test_rfc7857_sec2_2_an_ended_connection_waits(wires: Wires, gateway: Gateway, end: str) -> None:
    """After its end it is still translated, for the transitory time; then it is gone."""
    port = connect(wires, 4000)
    begun = time.monotonic()
    if end == "RST":
        back(wires, tcp(SERVER, WAN.ip, 80, port, "R"))
    else:
        out(wires, tcp(LAN.ip, SERVER, 4000, 80, "FA"))
        back(wires, tcp(SERVER, WAN.ip, 80, port, "FA"))
    late = back(wires, tcp(SERVER, WAN.ip, 80, port, "A"))
    same(late, to_lan(tcp(SERVER, LAN.ip, 80, 4000, "A", ttl=63)))
    counts = gateway.counting()
    too_late = from_wan(tcp(SERVER, WAN.ip, 80, port, "A"))

    # XDP's clock is the coarse one, so that a listing may know of the end before XDP does.
    def forgotten() -> bool:
        wires.send(too_late, at="wan")
        return "DROP_NO_MAPPING" in counts.now()

    eventually(forgotten, "the connection is forgotten", ENDS)
    assert time.monotonic() - begun >= SHORT - TICK
    assert live(gateway) == set()
    wires.send_and_expect_nothing(too_late, at="wan", to="lan")


def test_rfc5508_req1a_an_identifier_is_kept_by_any_of_its_sessions(
    wires: Wires, gateway: Gateway
) -> None:
    """It is one mapping: asking one host keeps the identifier that another was asked with."""
    identifier = out(wires, echo(LAN.ip, SERVER, 77))[ICMP].id
    out(wires, echo(LAN.ip, SERVER2, 77))

    def first_ended() -> bool:
        out(wires, echo(LAN.ip, SERVER2, 77))
        return {s["remote"][0] for s in gateway.sessions()} == {SERVER2}

    eventually(first_ended, "the session to the first host has expired", ENDS)
    assert out(wires, echo(LAN.ip, SERVER, 77))[ICMP].id == identifier


def test_rfc6888_req8_a_port_rests_as_long_as_configured(wires: Wires, gateway: Gateway) -> None:
    """Refused while it rests, given out again afterwards."""
    gateway.apply(
        nat44("ports: 61050-61051", f"timeouts: {{port-rest: {SHORT}, udp: 300}}"),
    )
    ports = {int(out(wires, udp(LAN.ip, SERVER, sport, 53))[UDP].sport) for sport in (4000, 4001)}
    assert ports == {61050, 61051}
    gateway.ctl("clear", "sessions")
    begun = time.monotonic()
    counts = gateway.counting()
    frame = from_lan(udp(LAN.ip, SERVER, 4002, 53))

    def given_out() -> bool:
        wires.send(frame, at="lan")
        # Not too often: refusals wait in the veth, see tests/forward/test_ttl.
        return next(wires.arriving("wan", is_test_packet, SILENCE_SECONDS), None) is not None

    wires.forget()
    eventually(given_out, "a port has rested", ENDS)
    assert time.monotonic() - begun >= SHORT - 1 - TICK
    counts.expect_some(DROP_NO_PORT=1, FORWARD=1)
    (session,) = gateway.sessions()
    back(wires, udp(SERVER, WAN.ip, 53, session["outside"][1]))
