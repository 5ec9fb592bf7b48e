# SPDX-License-Identifier: GPL-2.0-or-later
"""MSS clamping: off unless asked for; then both directions, SYN segments alone."""

from typing import Any

import pytest
from scapy.layers.inet import TCP

from tests.lib.packets import LAN, SERVER, WAN, same, tcp, to_lan, to_wan

from .plane import Plane, forwarded

OPTIONS = [("NOP", None), ("NOP", None), ("SAckOK", b""), ("Timestamp", (7, 0)), ("WScale", 7)]
PLACES = [[*OPTIONS[:n], ("MSS", 1460), *OPTIONS[n:]] for n in range(len(OPTIONS) + 1)]


def _lowered(options: list[Any], mss: int) -> list[Any]:
    return [(name, mss) if name == "MSS" else (name, value) for name, value in options]


@pytest.mark.parametrize("options", PLACES)
def test_wherever_the_option_stands(plane: Plane, options: list[Any]) -> None:
    plane.configure(mss=1340)
    outcome = plane.lan(tcp(LAN.ip, SERVER, 4000, 80, options=options))
    port = outcome.packet[TCP].sport
    lowered = _lowered(options, 1340)

    assert outcome.counted["NAT_MSS_CLAMPED"] == 1
    same(outcome.packet, to_wan(tcp(WAN.ip, SERVER, port, 80, ttl=63, options=lowered)))
    answer = plane.wan(tcp(SERVER, WAN.ip, 80, port, "SA", options=options))
    same(answer.packet, to_lan(tcp(SERVER, LAN.ip, 80, 4000, "SA", ttl=63, options=lowered)))


@pytest.mark.parametrize(
    ("mss", "flags", "options"),
    [
        (0, "S", [("MSS", 1460)]),  # not asked for
        (1460, "S", [("MSS", 1460)]),
        (1340, "S", [("MSS", 536)]),
        (1340, "S", [("WScale", 7)]),
        (1340, "S", []),
        (1340, "A", [("MSS", 1460)]),
    ],
)
def test_otherwise_the_segment_stays(plane: Plane, mss: int, flags: str, options: Any) -> None:
    port = plane.lan(tcp(LAN.ip, SERVER, 4000, 80)).packet[TCP].sport
    plane.configure(mss=mss)
    outcome = plane.lan(tcp(LAN.ip, SERVER, 4000, 80, flags, options=options))
    expected = tcp(WAN.ip, SERVER, port, 80, flags, ttl=63, options=options)
    forwarded(outcome, to_wan(expected))
    assert "NAT_MSS_CLAMPED" not in outcome.counted


BROKEN = [b"\x01\x02\x04\x05", b"\x02\x00\x05\xb4", b"\x08\xff\x02\x04", b"\x01\x01\x01\x02"]


@pytest.mark.parametrize("options", BROKEN, ids=bytes.hex)
def test_broken_options_are_left_alone(plane: Plane, options: bytes) -> None:
    plane.configure(mss=536)
    packet = tcp(LAN.ip, SERVER, 4000, 80, dataofs=6, payload=options)
    outcome = plane.lan(packet)
    assert outcome.verdict == "FORWARD"
    assert "NAT_MSS_CLAMPED" not in outcome.counted
    assert bytes(outcome.packet[TCP])[20:24] == options
