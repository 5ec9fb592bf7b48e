# SPDX-License-Identifier: GPL-2.0-or-later
"""Anything at all, in any order, from either side: what leaves is fit to be seen.

The examples follow from the test's name, the same in every run; with GW_FUZZ_EXAMPLES=N there
are N new ones. What ever broke something stays as an example of its own.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from hybrid_gateway.bpf import StaticRecord
from hybrid_gateway.lab import GW_INSIDE, LAN, LAN2, ROUTER, WAN, checksums
from hybrid_gateway.lab.checksums import ICMP, TCP, UDP
from tests.bpf.frames import ETHERNET, IPV4, mended
from tests.bpf.plane import ONE_TO_ONE, OUTSIDE, VERDICTS, Outcome, Plane
from tests.bpf.site import STRAY, mac_bytes
from tests.lib.packets import SERVER, SERVER2

from .forge import ERRORS, Datagram, Quote, framed

EXAMPLES = os.environ.get("GW_FUZZ_EXAMPLES")
bounded = settings(
    max_examples=int(EXAMPLES or 300),
    derandomize=EXAMPLES is None,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@dataclass(frozen=True)
class Arrival:
    """One datagram at one port, whole or in pieces, and what happened to it on the way."""

    port: str
    datagram: Datagram
    size: int = 0
    """0: whole, otherwise the bytes of a fragment."""
    order: str = "forth"
    """Of fragments; see ORDERS."""
    edits: tuple[tuple[int, int], ...] = ()
    length: int = 0
    """Added to each frame: bytes that are cut off, or of padding."""
    mend: bool = True
    """Edits are followed by a right IPv4 header checksum."""

    def frames(self) -> list[bytes]:
        packets = ORDERS[self.order](self.datagram.pieces(self.size)) if self.size else None
        return [self._frame(packet) for packet in packets or [self.datagram.wire()]]

    def _frame(self, packet: bytes) -> bytes:
        macs = (ROUTER.mac, WAN.mac) if self.port == "wan0" else (LAN.mac, GW_INSIDE.mac)
        frame = bytearray(framed(packet, *macs))
        for place, value in self.edits:
            frame[ETHERNET + place % (len(frame) - ETHERNET)] ^= value
        if self.edits and self.mend:
            frame = bytearray(mended(frame))
        if self.length < 0:
            return bytes(frame[: max(ETHERNET, len(frame) + self.length)])
        return bytes(frame) + b"\xa5" * self.length


ORDERS: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "forth": lambda parts: parts,
    "back": lambda parts: parts[::-1],
    "without the first": lambda parts: parts[1:],
    "only the first": lambda parts: parts[:1],
    "twice": lambda parts: [*parts, *parts],
}
HOSTS = ((LAN.ip, 4000), (LAN2.ip, 4001))
PORTS = (20000, 20001)
"""With these two to give out, and parity, everybody's outside port is known beforehand."""
outside = st.sampled_from([(SERVER, 53), (SERVER, 80), (SERVER2, 53)])
which = st.sampled_from([0, 0, 0, 1])
anyone = st.sampled_from(
    [LAN.ip, LAN2.ip, STRAY, SERVER, WAN.ip, str(ONE_TO_ONE), GW_INSIDE.ip, "0.0.0.0"]
)
anywhere = st.sampled_from([0, 53, 2222, 4000, 4002, 20000, 20001, 30000, 65535])


def rarely(draw: st.DrawFn, usual: Any, otherwise: st.SearchStrategy[Any]) -> Any:
    return draw(otherwise) if draw(st.integers(0, 15)) == 7 else usual


@st.composite
def datagrams(draw: st.DrawFn, way: str) -> Datagram:
    """One of a session, more often than not: `out`, `in`, `hairpin`, or as a LAN host sees
    what comes in (`seen`)."""
    host, number = HOSTS[i := draw(which)]
    (remote, service), public = draw(outside), PORTS[i]
    if way == "hairpin":
        remote, service = WAN.ip, PORTS[draw(which)]
    inner, outer = (host, number), (remote, service)
    if way in ("in", "seen"):
        inner, outer = outer, (WAN.ip, public) if way == "in" else (host, number)
    protocol = draw(st.sampled_from([UDP, TCP, ICMP]))
    inbound = way in ("in", "seen")
    return Datagram(
        rarely(draw, inner[0], anyone),
        rarely(draw, outer[0], anyone),
        rarely(draw, protocol, st.sampled_from([0, 47, 132])),
        sport=rarely(draw, outer[1] if inbound and protocol == ICMP else inner[1], anywhere),
        dport=rarely(draw, outer[1], anywhere),
        kind=rarely(draw, 0 if inbound else 8, st.sampled_from([0, 8, 13])),
        flags=draw(st.sampled_from([0x02, 0x12, 0x10, 0x18, 0x11, 0x04])),
        ttl=rarely(draw, 64, st.integers(0, 2)),
        identification=draw(st.integers(0, 2)),
        fragment=draw(st.sampled_from([0x4000, 0])),
        options=rarely(draw, 0, st.integers(1, 10)),
        payload=bytes(draw(st.sampled_from([0, 1, 7, 64, 300, 1100]))),
    )


@st.composite
def errors(draw: st.DrawFn, way: str) -> Datagram:
    """An ICMP error that comes in about what went out, or goes out about what came in."""
    if way == "in":
        sent = draw(datagrams("out"))
        i = int(sent.source != LAN.ip)
        about = replace(sent, source=WAN.ip, sport=PORTS[i])
    else:
        about = draw(datagrams("seen"))
        if way == "hairpin":
            about = replace(about, source=WAN.ip, sport=PORTS[draw(which)])
    about = replace(about, options=draw(st.sampled_from([0, 0, 1, 10])))
    length = draw(st.sampled_from([28, 40, 68, 128, 2000, 28, 0, 20, 24]))
    sender = draw(outside)[0] if way == "in" else about.target
    return Datagram(
        rarely(draw, sender, anyone),
        rarely(draw, about.source, anyone),
        ICMP,
        kind=draw(st.sampled_from(ERRORS)),
        code=draw(st.sampled_from([0, 3, 4, 13])),
        quote=Quote(about, length, padded=draw(st.booleans())),
    )


@st.composite
def arrivals(draw: st.DrawFn) -> Arrival:
    way = draw(st.sampled_from(["out", "in", "hairpin"]))
    datagram = draw(st.one_of(datagrams(way), errors(way)))
    damaged = draw(st.integers(0, 4)) == 2
    edit = st.tuples(st.integers(0, 80), st.integers(1, 255))
    return Arrival(
        "wan0" if way == "in" else "lan0",
        datagram,
        size=draw(st.sampled_from([0, 0, 24, 400] if datagram.quote is None else [0] * 7 + [24])),
        order=draw(st.sampled_from(sorted(ORDERS))),
        edits=tuple(draw(st.lists(edit, max_size=3))) if damaged else (),
        length=draw(st.integers(-80, 8)) if damaged else 0,
        mend=draw(st.booleans()),
    )


def transport_right(packet: bytes) -> bool:
    """Whole, and with a right transport checksum; a fragment alone has none."""
    header, total = 4 * (packet[0] & 15), int.from_bytes(packet[2:4], "big")
    if int.from_bytes(packet[6:8], "big") & 0x3FFF or header < IPV4 or total > len(packet):
        return False
    return checksums.checksum_right(packet[:total], header, packet[9])


def check(outcome: Outcome, sent: bytes, port: str) -> None:
    """What has left is right, if what came was; what has not was not touched (see Plane.run)."""
    if outcome.action not in ("REDIRECT", "TX") and outcome.handover is None:
        return
    frame = outcome.frame
    packet = frame[ETHERNET:]
    header, total = 4 * (packet[0] & 15), int.from_bytes(packet[2:4], "big")
    assert frame[12:14] == b"\x08\0"
    assert packet[0] >> 4 == 4
    assert IPV4 <= header <= total <= len(packet)
    assert checksums.folded(packet[:header]) == 0xFFFF
    if outcome.action == "TX" or transport_right(sent[ETHERNET:]):
        fragment = int.from_bytes(packet[6:8], "big") & 0x3FFF
        assert fragment or transport_right(packet), "wrong transport checksum"
    outwards = frame[6:12] == mac_bytes(WAN.mac)
    if outcome.handover is not None:
        # The kernel will choose the MAC addresses; the address says which way it goes.
        outwards = not checksums.is_inside(packet[16:20])
    if outwards:
        seen_outside(outcome, packet[:total], header)
    elif outcome.action == "REDIRECT":
        assert checksums.is_inside(packet[16:20]), "to the inside, but not to an inside host"
        assert not checksums.is_inside(packet[12:16]), "the callee sees an inside address"
    if outcome.action == "TX" and port == "lan0" and "NAT_REFUSAL" in outcome.counted:
        assert packet[12:16] == IPv4Address(GW_INSIDE.ip).packed


def seen_outside(outcome: Outcome, packet: bytes, header: int) -> None:
    """Neither the header nor what an ICMP error quotes tells of the inside."""
    assert not checksums.is_inside(packet[12:16]), "an inside source outside"
    assert not checksums.is_inside(packet[16:20]), "to an inside address outside"
    is_error = packet[9] == ICMP and packet[header] in ERRORS
    if is_error and int.from_bytes(packet[6:8], "big") & 0x1FFF == 0:
        quoted = packet[header + 8 :]
        assert not checksums.is_inside(quoted[12:16]), "a quoted inside source outside"
        assert not checksums.is_inside(quoted[16:20]), "a quoted inside target outside"
        if "NAT_ICMP_ERROR" in outcome.counted:
            length = 4 * (quoted[0] & 15)
            assert checksums.folded(quoted[:length]) == 0xFFFF


def prepared(plane: Plane) -> None:
    """Nothing but a session of each protocol for both hosts, a forwarded port, a 1:1 host."""
    plane.dataplane.clear_sessions()
    plane.own.forget_fragments()
    plane.own.refill_error_budget()
    plane.configure(ports=PORTS, host_sessions=12)
    inside = IPv4Address(STRAY)
    plane.statics(
        StaticRecord(TCP, OUTSIDE, 2222, inside, 22), StaticRecord(0, ONE_TO_ONE, 0, inside, 0)
    )
    for (host, number), public in zip(HOSTS, PORTS, strict=True):
        for protocol in (UDP, TCP, ICMP):
            opening = Arrival("lan0", Datagram(host, SERVER, protocol, number, 53))
            left = plane.run(opening.frames()[0]).frame
            place = ETHERNET + IPV4 + (4 if protocol == ICMP else 0)
            assert int.from_bytes(left[place : place + 2], "big") == public


FIRST = Datagram(LAN.ip, SERVER, TCP, 4000, 80, fragment=0)


@bounded
@given(steps=st.lists(arrivals(), min_size=1, max_size=10))
# The STUN client's test of hairpinning: an endpoint calls itself.
@example(steps=[Arrival("lan0", Datagram(LAN.ip, WAN.ip, UDP, 4000, 20000))] * 2)
# A first fragment without all of the TCP header.
@example(steps=[Arrival("lan0", FIRST, size=8), Arrival("lan0", FIRST, size=8, order="back")])
def test_anything_in_any_order(plane: Plane, steps: list[Arrival]) -> None:
    """No inside address outside; nothing malformed leaves; every frame counts once; in the end
    nothing is left in the tables."""
    prepared(plane)
    before = {port: plane.counters(port) for port in ("lan0", "wan0")}
    frames = [(frame, step.port) for step in steps for frame in step.frames()]
    for frame, port in frames:
        check(plane.run(frame, port), frame, port)
    for port, counters in before.items():
        after = plane.counters(port)
        counted = sum(after[name] - counters[name] for name in VERDICTS)
        assert counted == sum(port == arrived for _, arrived in frames)
    plane.dataplane.clear_sessions()
    assert plane.own.leaks() == []


@bounded
@given(frame=st.binary(min_size=ETHERNET, max_size=120), port=st.sampled_from(["lan0", "wan0"]))
def test_noise_for_our_mac_address(plane: Plane, frame: bytes, port: str) -> None:
    """Bytes that mean nothing, to an address that we listen to, with an IPv4 header or so."""
    mac = WAN.mac if port == "wan0" else GW_INSIDE.mac
    sent = mended(bytearray(mac_bytes(mac) + frame[6:12] + b"\x08\0\x45" + frame[15:]))
    outcome = plane.run(sent, port)
    check(outcome, sent, port)
