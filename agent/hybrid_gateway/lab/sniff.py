# SPDX-License-Identifier: GPL-2.0-or-later
"""Packet sockets on devices of the lab, and the watch over all that leaves the gateway."""

import errno
import select
import socket
import struct
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from .checksums import faults, source_of
from .namespaces import LabError, entered
from .network import Lab
from .topology import ROUTER, Interface

# <linux/if_packet.h>; Python's socket module has none of them.
SOL_PACKET = 263
PACKET_STATISTICS = 6
PACKET_AUXDATA = 8
PACKET_IGNORE_OUTGOING = 23
TP_STATUS_CSUMNOTREADY = 1 << 3
TP_STATUS_VLAN_VALID = 1 << 4
ETH_P_ALL = 3
SO_RCVBUFFORCE = 33

AUXDATA = struct.Struct("=IIIHHHH")
FRAME_MAX = 1 << 17
BUFFER = 256 << 20
"""A limit, not an allocation: a whole download may wait here until it is looked at."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A captured frame; `checksummed` is False when its transport checksum is an offload's."""

    data: bytes
    checksummed: bool


class PacketSocket:
    """All frames that arrive at one device of a namespace, and a way to send raw ones.

    Made inside the namespace, so a device of the same name elsewhere does not matter.
    Frames that the device itself sends are not seen.
    """

    def __init__(self, namespace: str, device: str) -> None:
        with entered(namespace):
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
            try:
                self._socket.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
                self._socket.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
                self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER)
                self._socket.bind((device, ETH_P_ALL))
            except OSError as error:
                self._socket.close()
                raise LabError(f"cannot listen on {namespace}/{device}: {error}") from error
        self._socket.setblocking(False)
        # Between its creation and bind the socket heard every device.
        self.discard()

    def close(self) -> None:
        self._socket.close()

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(self, frame: bytes) -> None:
        self._socket.send(frame)

    def frames(self) -> Iterator[Frame]:
        """What has arrived and was not read yet; never waits."""
        while True:
            try:
                data, extra, _, _ = self._socket.recvmsg(FRAME_MAX, 64)
            except BlockingIOError:
                return
            except OSError as error:
                # Said once when the device goes down; nothing that had arrived is lost.
                if error.errno != errno.ENETDOWN:
                    raise
                continue
            yield _frame(data, extra)

    def frames_until(self, deadline: float) -> Iterator[Frame]:
        """What has arrived and what arrives until `deadline` (time.monotonic)."""
        while True:
            yield from self.frames()
            patience = deadline - time.monotonic()
            if patience <= 0 or not select.select([self._socket], [], [], patience)[0]:
                return

    def discard(self) -> None:
        for _ in self.frames():
            pass

    def lost(self) -> int:
        """Frames that did not fit the buffer since the last call."""
        raw = self._socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8)
        return int(struct.unpack("=II", raw)[1])


def _frame(data: bytes, extra: list[tuple[int, int, bytes]]) -> Frame:
    """As it was on the wire: the kernel has put the VLAN tag beside it."""
    for level, kind, told in extra:
        if (level, kind) == (SOL_PACKET, PACKET_AUXDATA):
            status, _, _, _, _, tci, tpid = AUXDATA.unpack_from(told)
            if status & TP_STATUS_VLAN_VALID:
                data = data[:12] + struct.pack("!HH", tpid, tci) + data[12:]
            return Frame(data, not status & TP_STATUS_CSUMNOTREADY)
    return Frame(data, True)


@dataclass
class Findings:
    """What the watch saw."""

    frames: int = 0
    sources: Counter[str] = field(default_factory=Counter)
    """IPv4 source addresses, and how many frames had each."""
    faults: list[str] = field(default_factory=list)


class LeakWatch:
    """Captures what leaves the gateway's outside port, where the Internet begins, or another one.

    GRO joins TCP segments before a packet socket sees them; it verifies their checksums first
    and lets wrong ones alone, so joined ones count as right and wrong ones are still found.
    """

    def __init__(self, lab: Lab, at: Interface = ROUTER) -> None:
        self._socket = PacketSocket(lab.namespace(at.host), at.device)

    def close(self) -> None:
        self._socket.close()

    def findings(self) -> Findings:
        """Judge everything that has arrived since the last call."""
        found = Findings()
        for frame in self._socket.frames():
            found.frames += 1
            if (source := source_of(frame.data)) is not None:
                found.sources[source] += 1
            found.faults += faults(frame.data, transport=frame.checksummed)
        if lost := self._socket.lost():
            found.faults.append(f"{lost} frames did not fit the capture's buffer")
        return found
