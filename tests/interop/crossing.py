# SPDX-License-Identifier: GPL-2.0-or-later
"""Numbered frames that cross the segment from one station to another: which of them arrive."""

import struct
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from scapy.layers.l2 import Ether

from hybrid_gateway.lab.sniff import PacketSocket
from tests.interop.three import Three
from tests.lib.packets import udp
from tests.lib.traffic import ARRIVES_SECONDS

BURST = 10
MARK = b"crossing"
SIZE = 900


class Crossing:
    """In one direction."""

    def __init__(self, three: Three, here: int, there: int, stack: ExitStack, to: str = "") -> None:
        source, target = (three.site(number).host for number in (here, there))
        self._head = MARK + bytes([here, there])
        payload = self._head + bytes(4 + SIZE)
        packet = udp(source.ip, target.ip, 4000, 53, payload=payload)
        # Without a checksum of its own, for the number changes.
        packet["UDP"].chksum = 0
        self._frame = bytes(Ether(src=source.mac, dst=to or target.mac) / packet)
        self._at = self._frame.index(self._head) + len(self._head)
        self._from, self._to = (
            PacketSocket(three.lab.namespace(end.host), end.device) for end in (source, target)
        )
        for one in (self._from, self._to):
            stack.callback(one.close)
        self._seen: Counter[int] = Counter()
        self.sent = 0

    def burst(self) -> None:
        """Some more. Who sends on without a look at what arrived may fill a queue on the way."""
        for number in range(self.sent, self.sent + BURST):
            self._from.send(self._numbered(number))
        self.sent += BURST

    def _numbered(self, number: int) -> bytes:
        return self._frame[: self._at] + struct.pack("!I", number) + self._frame[self._at + 4 :]

    def _note(self, data: bytes) -> None:
        number = struct.unpack("!I", data[self._at : self._at + 4])[0] if self._mine(data) else None
        if number is not None:
            assert data == self._numbered(number)
            self._seen[number] += 1

    def _mine(self, data: bytes) -> bool:
        return data[self._at - len(self._head) : self._at] == self._head

    def arrived(self) -> None:
        """AssertionError unless each of them has arrived, as it was, and once."""
        deadline = time.monotonic() + ARRIVES_SECONDS
        for got in self._to.frames_until(deadline):
            self._note(got.data)
            if len(self._seen) == self.sent:
                break
        lost = sorted(set(range(self.sent)) - set(self._seen))
        assert not lost, f"{len(lost)} of {self.sent} frames are lost: {lost[:20]}"
        twice = [number for number, count in self._seen.items() if count > 1]
        assert not twice, f"{len(twice)} of {self.sent} frames came more than once"


@contextmanager
def crossing(three: Three, *ways: tuple[int, int], to: str = "") -> Iterator[list[Crossing]]:
    """From the first station to the second one, for each of them; `to`: another MAC address that is
    behind the second one's port."""
    with ExitStack() as stack:
        yield [Crossing(three, here, there, stack, to) for here, there in ways]
