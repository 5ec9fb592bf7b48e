# SPDX-License-Identifier: GPL-2.0-or-later
"""A packet goes the way of the one before it, if that was of its session and in the same tick."""

import os
import time
from collections.abc import Iterator

import pytest
from scapy.layers.inet import UDP
from scapy.packet import Packet

from tests.lib.packets import LAN, SERVER, WAN, from_wan, udp

from .plane import Plane

CLOCK_MONOTONIC_COARSE = 6
"""<linux/time.h>: the clock that the data path reads."""


@pytest.fixture(autouse=True)
def _one_core() -> Iterator[None]:
    """The memory is each core's own."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    yield
    os.sched_setaffinity(0, cores)


def _tick() -> int:
    return time.clock_gettime_ns(CLOCK_MONOTONIC_COARSE)


def _after(plane: Plane, first: Packet, second: Packet, *, same_tick: bool = True) -> str:
    """What becomes of the second one when, after the first, the station moves out of sight."""
    bridge, mac = plane.site.ifindex("br-lan"), bytes.fromhex(LAN.mac.replace(":", ""))
    port = plane.site.ifindex("lan0")
    while True:
        plane.stations.set(bridge, mac, port)
        plane.own.forget_way()
        before = _tick()
        for _ in range(2):  # it takes two in a row
            assert plane.run_uncounted(bytes(from_wan(first)), "wan0")[0] == "REDIRECT"
        plane.stations.delete(bridge, mac)
        sent = _tick()
        while not same_tick and _tick() == sent:
            pass
        action, _ = plane.run_uncounted(bytes(from_wan(second)), "wan0")
        if not same_tick or _tick() == before:
            return action


def test_when_it_counts(plane: Plane) -> None:
    port = plane.lan(udp(LAN.ip, SERVER, 4000, 53)).packet[UDP].sport
    other = plane.lan(udp(LAN.ip, SERVER, 4001, 53)).packet[UDP].sport
    answer = udp(SERVER, WAN.ip, 53, port)
    precedence = answer.copy()
    precedence.tos = 0x20

    assert _after(plane, answer, answer) == "REDIRECT"
    assert _after(plane, answer, udp(SERVER, WAN.ip, 53, port, payload=b"shorter")) == "REDIRECT"
    assert _after(plane, answer, answer, same_tick=False) == "PASS"
    assert _after(plane, answer, udp(SERVER, WAN.ip, 53, port, payload=bytes(999))) == "PASS"
    assert _after(plane, answer, precedence) == "PASS"
    assert _after(plane, answer, udp(SERVER, WAN.ip, 53, other)) == "PASS"
