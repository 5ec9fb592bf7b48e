# SPDX-License-Identifier: GPL-2.0-or-later
"""Anything at all may arrive: what leaves is right, and everything is counted.

The examples are derived from the test's name, the same in every run.
"""

from dataclasses import dataclass, field

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scapy.packet import Packet

from hybrid_gateway.lab import checksums
from tests.lib.packets import LAN, LAN2, SERVER, SERVER2, WAN, echo, from_lan, from_wan, tcp, udp

from .frames import ETHERNET, IPV4, mended
from .plane import HANDED_OVER, Outcome, Plane
from .site import mac_bytes

HEADERS = ETHERNET + IPV4 + 20
SPORT = 4000
bounded = settings(
    max_examples=300,
    derandomize=True,
    database=None,
    deadline=None,
    # The plane is emptied by the test itself, before each example.
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def _sessions(plane: Plane) -> dict[str, bytes]:
    """Opens one session of each protocol; returns frames of both directions by port."""
    frames: dict[str, bytes] = {}
    sent = {
        "udp": udp(LAN.ip, SERVER, SPORT, 53),
        "tcp": tcp(LAN.ip, SERVER, SPORT, 80),
        "icmp": echo(LAN.ip, SERVER, SPORT),
    }
    for name, packet in sent.items():
        outcome = plane.lan(packet)
        frames[f"lan0 {name}"] = bytes(from_lan(packet))
        frames[f"wan0 {name}"] = bytes(from_wan(_answer(outcome.packet)))
    return frames


def _answer(left: Packet) -> Packet:
    if left.haslayer("UDP"):
        return udp(SERVER, WAN.ip, 53, left["UDP"].sport)
    if left.haslayer("TCP"):
        return tcp(SERVER, WAN.ip, 80, left["TCP"].sport, "SA")
    return echo(SERVER, WAN.ip, left["ICMP"].id, reply=True)


edits = st.lists(
    st.tuples(st.integers(0, HEADERS - 1), st.integers(0, 255)), min_size=0, max_size=4
)
which = st.sampled_from(
    [f"{port} {kind}" for port in ("lan0", "wan0") for kind in ("udp", "tcp", "icmp")]
)


@bounded
@given(which=which, edits=edits, cut=st.integers(0, 120), mend=st.booleans())
def test_damaged_frames(
    plane: Plane, which: str, edits: list[tuple[int, int]], cut: int, mend: bool
) -> None:
    plane.dataplane.clear_sessions()
    frame = bytearray(_sessions(plane)[which])
    for place, value in edits:
        frame[place] = value
    sent = mended(frame) if mend else bytes(frame)
    # Small numbers cut nothing, so that most frames are whole.
    sent = sent[: max(ETHERNET, len(sent) - max(0, cut - 60))]

    outcome = plane.run(sent, which.split()[0])

    _check(outcome, sent, transport=not edits)


def _check(outcome: Outcome, sent: bytes, *, transport: bool) -> None:
    """What went out by the outside port is fit to be seen there, and the rest is as it was."""
    left = outcome.frame
    if outcome.verdict == "REPLY":
        assert list(checksums.faults(left)) == []
    if outcome.verdict not in ("FORWARD", *HANDED_OVER):
        return
    assert len(left) == len(sent)
    assert left[ETHERNET + 8] == sent[ETHERNET + 8] - 1
    assert checksums.folded(left[ETHERNET : ETHERNET + IPV4]) == 0xFFFF
    untouched = ETHERNET + IPV4 + (18 if left[ETHERNET + 9] == checksums.TCP else 8)
    assert left[untouched:] == sent[untouched:]
    outwards = left[6:12] == mac_bytes(WAN.mac)
    if outwards or outcome.handover is not None:
        assert left[12:14] == b"\x08\0"
    if outwards:
        assert list(checksums.faults(left, transport=transport)) == []


@dataclass
class Model:
    """What must hold for any order of packets: who has which outside port."""

    by_inside: dict[tuple[str, int], int] = field(default_factory=dict)

    def sent(self, inside: tuple[str, int], outside_port: int) -> None:
        """Endpoint-independent (RFC 4787 REQ-1), and no port overloading (REQ-3)."""
        assert self.by_inside.setdefault(inside, outside_port) == outside_port
        assert list(self.by_inside.values()).count(outside_port) == 1


HOSTS = {LAN.ip: LAN, LAN2.ip: LAN2}
steps = st.lists(
    st.tuples(
        st.sampled_from(["out", "in", "hairpin", "expire", "sweep"]),
        st.sampled_from(sorted(HOSTS)),
        st.integers(4000, 4003),
        st.sampled_from([SERVER, SERVER2]),
        st.integers(53, 54),
    ),
    min_size=1,
    max_size=40,
)


@bounded
@given(steps=steps)
def test_any_order_of_packets(plane: Plane, steps: list[tuple[str, str, int, str, int]]) -> None:
    plane.dataplane.clear_sessions()
    plane.configure(ports=(20000, 20015))
    model = Model()
    for what, host, sport, remote, dport in steps:
        held = model.by_inside.get((host, sport))
        if what == "out":
            outcome = plane.lan(udp(host, remote, sport, dport), HOSTS[host])
            assert outcome.verdict == "FORWARD"
            model.sent((host, sport), outcome.packet["UDP"].sport)
        elif what == "in" and held:
            outcome = plane.wan(udp(remote, WAN.ip, dport, held))
            assert outcome.verdict in ("FORWARD", "DROP_FILTERED", "DROP_NO_MAPPING")
            if outcome.verdict == "FORWARD":
                assert (outcome.packet["IP"].dst, outcome.packet["UDP"].dport) == (host, sport)
        elif what == "hairpin" and held:
            _hairpin(plane, model, (host, sport), held)
        elif what == "expire":
            model.by_inside.clear()
            plane.expire()
        elif what == "sweep":
            plane.sweep()
    plane.dataplane.clear_sessions()
    assert plane.own.leaks() == []


def _hairpin(plane: Plane, model: Model, callee: tuple[str, int], port: int) -> None:
    """The other host calls; a mapping that lives is reached, and its holder sees an outside one."""
    caller = next(host for host in HOSTS if host != callee[0])
    outcome = plane.lan(udp(caller, WAN.ip, 5000, port), HOSTS[caller])
    assert outcome.verdict == "FORWARD"
    packet = outcome.packet
    assert (packet["IP"].src, packet["IP"].dst, packet["UDP"].dport) == (WAN.ip, *callee)
    model.sent((caller, 5000), packet["UDP"].sport)
