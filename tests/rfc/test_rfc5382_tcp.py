# SPDX-License-Identifier: GPL-2.0-or-later
"""RFC 5382 REQ-2 and REQ-5, RFC 7857 2.1 and 2.2: every sequence of segments, and its timers."""

import pytest
from scapy.layers.inet import TCP

from hybrid_gateway.model import Timeouts
from tests.bpf.plane import SETTINGS, Plane, forwarded
from tests.lib.packets import LAN, SERVER, WAN, tcp, to_lan, to_wan

OPEN = ">S <SA >A"
OPENED = f"{OPEN} >PA <A <PA >A"


class Connection:
    """One connection from LAN:4000 to SERVER:80; every segment must be forwarded whole."""

    def __init__(self, plane: Plane) -> None:
        self._plane = plane
        self._port = 0

    def play(self, segments: str) -> str:
        """Plays ">FLAGS" (outbound) and "<FLAGS" (inbound); returns the state after the last."""
        for segment in segments.split():
            self._outbound(segment[1:]) if segment[0] == ">" else self._inbound(segment[1:])
        return self._plane.session().state

    def _outbound(self, flags: str) -> None:
        outcome = self._plane.lan(tcp(LAN.ip, SERVER, 4000, 80, flags))
        self._port = self._port or outcome.packet[TCP].sport
        forwarded(outcome, to_wan(tcp(WAN.ip, SERVER, self._port, 80, flags, ttl=63)))

    def _inbound(self, flags: str) -> None:
        outcome = self._plane.wan(tcp(SERVER, WAN.ip, 80, self._port, flags))
        forwarded(outcome, to_lan(tcp(SERVER, LAN.ip, 80, 4000, flags, ttl=63)))


STATES = [
    (">S", "opening"),
    (">S >S", "opening"),
    (">S <A", "opening"),  # the answer to an old connection: a challenge ACK (RFC 5961)
    (">S <SA", "opening"),
    (">S <S", "opening"),
    (">S <SA <SA", "opening"),
    (OPEN, "established"),
    (">S <SA >PA", "established"),  # the bare ACK was lost, the data acknowledges too
    (">S <S >SA <SA", "opening"),
    (">S <S >SA <A", "established"),  # simultaneous open (RFC 9293 3.5)
    (">S <S >A <A", "established"),
    (OPENED, "established"),
    (f"{OPENED} >FA", "established"),  # half closed: the other side may send for hours
    (f"{OPENED} >FA <A <PA >A", "established"),
    (f"{OPENED} <FA", "established"),
    (f"{OPENED} >FA >FA", "established"),
    (f"{OPENED} >FA <FA", "closing"),
    (f"{OPENED} <FA >A >FA <A", "closing"),
    (f"{OPENED} >FPA <FPA >A", "closing"),
    (f"{OPEN} >R", "closing"),
    (f"{OPEN} <RA", "closing"),
    (">S <RA", "closing"),
    (">S <SA >R", "closing"),
    (f"{OPENED} >FA <FA >A >S", "opening"),  # the same endpoints once more
    (f"{OPENED} >FA <FA >A >S <SA >A", "established"),
    (f"{OPENED} >FA <FA >A >S <SA >A >FA", "established"),
    (f"{OPENED} >R >S <SA >A", "established"),
    # RFC 7857 2.2: a host that goes on has not believed the reset; one that got it does not.
    (f"{OPENED} <R >PA", "established"),
    (f"{OPENED} <R <PA", "closing"),
    (f"{OPENED} >FA <FA >A >PA", "closing"),
    # Only the inside host, or the one who opened it, connects anew on the same endpoints.
    (f"{OPENED} >FA <FA >A <S <S <A", "closing"),
    (">S <SA >FA <FA >A", "closing"),  # closed before any other segment
    (">S <SA >FA <A <FA", "closing"),
]


@pytest.mark.parametrize(("segments", "state"), STATES, ids=[row[0] for row in STATES])
def test_rfc5382_req2_every_legal_sequence(plane: Plane, segments: str, state: str) -> None:
    """MUST: the handshake, simultaneous open (a), half-closed connections, both orders of the
    close, resets; each segment is forwarded, whole."""
    assert Connection(plane).play(segments) == state


TIMERS = {
    "opening": SETTINGS.tcp_transitory,
    "established": SETTINGS.tcp_established,
    "closing": SETTINGS.tcp_transitory,
}


@pytest.mark.parametrize(("segments", "state"), STATES, ids=[row[0] for row in STATES])
def test_rfc5382_req5_timers_follow_the_state(plane: Plane, segments: str, state: str) -> None:
    """MUST NOT: established less than 2 h 4 min, transitory (RFC 7857 2.1) less than 4 min."""
    assert (Timeouts().tcp_established, Timeouts().tcp_transitory) == (7440, 240)
    Connection(plane).play(segments)

    left = plane.session().expires_in
    assert TIMERS[state] - 60 < left <= TIMERS[state] + 0.1


def test_rfc7857_sec7_after_its_end_nothing_prolongs_a_connection(plane: Plane) -> None:
    """Outbound resets and what else follows an end SHOULD NOT refresh the mapping (7.1)."""
    connection = Connection(plane)
    connection.play(f"{OPENED} >FA <FA >A")
    plane.configure(tcp_transitory=9999, tcp_established=9999)

    connection.play(">A <A >FA <FA >R <R")

    assert plane.session().expires_in <= SETTINGS.tcp_transitory


def test_rfc5382_req2_a_connection_from_outside(plane: Plane) -> None:
    """MUST: connections that are initiated externally, where filtering permits them."""
    plane.configure(filtering=0)
    port = plane.lan(tcp(LAN.ip, SERVER, 4000, 80)).packet[TCP].sport

    def state() -> str:
        (found,) = (s for s in plane.sessions() if s.origin == "inbound")
        return found.state

    assert plane.wan(tcp(SERVER, WAN.ip, 99, port, "S")).verdict == "FORWARD"
    assert state() == "opening"
    assert plane.lan(tcp(LAN.ip, SERVER, 4000, 99, "SA")).verdict == "FORWARD"
    assert plane.wan(tcp(SERVER, WAN.ip, 99, port, "A")).verdict == "FORWARD"
    assert state() == "established"
    assert plane.lan(tcp(LAN.ip, SERVER, 4000, 99, "FA")).verdict == "FORWARD"
    assert plane.wan(tcp(SERVER, WAN.ip, 99, port, "FA")).verdict == "FORWARD"
    assert state() == "closing"
