# SPDX-License-Identifier: GPL-2.0-or-later
"""XDP and TC together: frames that arrive at a real device, and what leaves of them.

Whole frames, for what TC sends it has to address itself.
"""

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from ipaddress import IPv4Address

import pytest
from scapy.layers.inet import IP, UDP, fragment
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet, Raw

from hybrid_gateway.bpf import StaticRecord
from hybrid_gateway.lab import ROUTER, namespaces
from tests.lib.packets import LAN, SERVER, WAN, from_lan, ip, udp, wire

from .plane import Plane
from .site import FAR_NARROW, NARROW_MTU, NEIGHBOURLESS

ETH_P_ALL = 3
ARRIVES_SECONDS = 10.0
BIG = bytes(1200)


class Cable:
    """The far ends of lan0 and wan0."""

    def __init__(self, stack: ExitStack) -> None:
        self._lan, self._wan = (stack.enter_context(self._tap(d)) for d in ("lan0", "wan0"))

    @staticmethod
    def _tap(device: str) -> socket.socket:
        opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        opened.bind((f"{device}-far", 0))
        opened.settimeout(ARRIVES_SECONDS)
        return opened

    def send(self, *packets: Packet) -> None:
        for packet in packets:
            self._lan.send(bytes(from_lan(packet)))

    def arriving(self, count: int) -> list[Packet]:
        """The next frames to reach the Internet's side."""
        found: list[Packet] = []
        while len(found) < count:
            frame, address = self._wan.recvfrom(65536)
            if address[2] != socket.PACKET_OUTGOING:
                found.append(Ether(frame))
        return found


@pytest.fixture
def cable(plane: Plane) -> Iterator[Cable]:
    """All on one core, so that a burst comes in order and within a tick."""
    plane.own.forget_fragments()
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    with ExitStack() as stack:
        stack.callback(os.sched_setaffinity, 0, cores)
        yield Cable(stack)


def _pieces(source: str, target: str, number: int, port: int = 4000) -> list[Packet]:
    packet = ip(source, target, flags=0, id=number) / UDP(sport=port, dport=53) / Raw(BIG)
    found: list[Packet] = fragment(wire(packet), fragsize=400)
    assert len(found) == 4
    return found


def _leave_well(frames: list[Packet], source: str = WAN.ip) -> None:
    for frame in frames:
        assert (frame.src, frame.dst) == (WAN.mac, ROUTER.mac)
        assert (frame[IP].src, frame[IP].ttl) == (source, 63)
        assert bytes(wire(_unsummed(frame))) == bytes(frame)


def _unsummed(frame: Packet) -> Packet:
    copy = frame.copy()
    del copy[IP].chksum
    return copy


def test_what_is_cut_is_addressed(cable: Cable) -> None:
    cable.send(udp(LAN.ip, FAR_NARROW, 4000, 53, payload=BIG, df=False))
    frames = cable.arriving(2)
    _leave_well(frames)
    assert [len(frame[IP]) <= NARROW_MTU for frame in frames] == [True, True]
    assert [(frame[IP].frag, int(frame[IP].flags)) for frame in frames] == [(0, 1), (122, 0)]


def test_what_is_to_be_cut_asks_for_its_neighbour(cable: Cable, plane: Plane) -> None:
    route = f"{NEIGHBOURLESS} dev wan0 mtu lock {NARROW_MTU}"
    namespaces.ip_batch(plane.site.name, [f"route add {route}"])
    try:
        cable.send(udp(LAN.ip, NEIGHBOURLESS, 4000, 53, payload=BIG, df=False))
        (frame,) = cable.arriving(1)
    finally:
        namespaces.ip_batch(plane.site.name, [f"route del {route}"])
    assert (frame[ARP].op, frame[ARP].pdst) == (1, NEIGHBOURLESS)


def test_early_fragments_follow_their_first_one(cable: Cable) -> None:
    """Also within the tick in which their session's way was asked for last."""
    first, second = _pieces(LAN.ip, SERVER, 1), _pieces(LAN.ip, SERVER, 2)
    cable.send(*first, *second[1:], second[0])
    # What XDP itself sends does not get through to a device without XDP; what TC sends does.
    frames = cable.arriving(4)
    _leave_well(frames)
    assert [frame[IP].frag for frame in frames] == [0, 50, 100, 150]
    assert len({frame[IP].id for frame in frames}) == 1


def test_fragments_of_an_identity_pass_the_guard(cable: Cable, plane: Plane) -> None:
    plane.statics(StaticRecord(17, IPv4Address(LAN.ip), 4789, IPv4Address(LAN.ip), 4789))
    cable.send(udp(LAN.ip, FAR_NARROW, 4789, 4789, payload=BIG, df=False))
    frames = cable.arriving(2)
    _leave_well(frames, LAN.ip)
    assert [frame[IP].frag for frame in frames] == [0, 122]
