# SPDX-License-Identifier: GPL-2.0-or-later
"""Send one packet somewhere in the lab and catch what comes out elsewhere.

Every listener is open before anything is sent; waiting is polling with a deadline.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack

from scapy.layers.inet import IP
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from hybrid_gateway.lab import Lab
from hybrid_gateway.lab.sniff import PacketSocket

Places = Mapping[str, tuple[str, str]]
"""Hosts and devices, by how a test calls them."""
PLACES: Places = {"lan": ("lan", "eth0"), "lan2": ("lan2", "eth0"), "wan": ("wan", "eth0")}
ARRIVES_SECONDS = 10.0
SILENCE_SECONDS = 0.25
"""How long nothing has to arrive before a packet counts as lost; a hop takes microseconds."""

Wanted = Callable[[Packet], bool]


def is_test_packet(packet: Packet) -> bool:
    """By the fixed identification that `packets.ip` gives: hosts also speak by themselves."""
    return IP in packet and packet[IP].id == 0x1234


def is_icmp_error(packet: Packet) -> bool:
    return IP in packet and packet[IP].proto == 1 and packet["ICMP"].type in (3, 4, 5, 11, 12)


class Wires:
    """The hosts' ends of the lab's cables."""

    def __init__(self, lab: Lab, stack: ExitStack, places: Places = PLACES) -> None:
        self._sockets = {
            name: PacketSocket(lab.namespace(host), device)
            for name, (host, device) in places.items()
        }
        for opened in self._sockets.values():
            stack.callback(opened.close)

    def forget(self, *places: str) -> None:
        """Drop what has arrived so far, there or everywhere."""
        for place in places or self._sockets:
            self._sockets[place].discard()

    def send(self, frame: Packet | bytes, *, at: str) -> None:
        self._sockets[at].send(bytes(frame))

    def arriving(self, at: str, wanted: Wanted, seconds: float) -> Iterator[Packet]:
        for frame in self._sockets[at].frames_until(time.monotonic() + seconds):
            packet = Ether(frame.data)
            if wanted(packet):
                yield packet

    def send_and_expect(
        self, frame: Packet | bytes, *, at: str, to: str, wanted: Wanted = is_test_packet
    ) -> Packet:
        """Send a frame from host `at`; the first wanted frame to reach host `to` from then on."""
        self._sockets[to].discard()
        self.send(frame, at=at)
        for packet in self.arriving(to, wanted, ARRIVES_SECONDS):
            return packet
        raise AssertionError(f"nothing arrived at {to} of what was sent from {at}: {frame!r}")

    def send_and_expect_nothing(
        self, frame: Packet | bytes, *, at: str, to: str, wanted: Wanted = is_test_packet
    ) -> None:
        """Send a frame from host `at` and assert that nothing wanted reaches host `to`."""
        self._sockets[to].discard()
        self.send(frame, at=at)
        for packet in self.arriving(to, wanted, SILENCE_SECONDS):
            raise AssertionError(f"this arrived at {to}: {packet.summary()} of {frame!r}")
