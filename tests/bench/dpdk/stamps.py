# SPDX-License-Identifier: GPL-2.0-or-later
"""Packet sockets that know when the kernel received a frame."""

import socket
import struct

from hybrid_gateway.lab.namespaces import entered
from hybrid_gateway.lab.sniff import ETH_P_ALL, PACKET_IGNORE_OUTGOING, SO_RCVBUFFORCE, SOL_PACKET
from tests.bench.measure import MeasurementError

SO_TIMESTAMPNS = 35
TIMESPEC = struct.Struct("=qq")
BUFFER = 512 << 20


def packet_socket(netns: str, device: str, *, stamped: bool = False) -> socket.socket:
    """Of what arrives at the device; with the kernel's time of receipt."""
    with entered(netns):
        made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    made.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    if stamped:
        made.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        made.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER)
    made.bind((device, ETH_P_ALL))
    return made


def receive_stamped(made: socket.socket) -> tuple[bytes, int]:
    """A frame, and nanoseconds of CLOCK_REALTIME; TimeoutError."""
    data, ancillary, _, _ = made.recvmsg(2048, 64)
    for level, kind, value in ancillary:
        if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS:
            seconds, nanoseconds = TIMESPEC.unpack(value)
            return data, seconds * 10**9 + nanoseconds
    raise MeasurementError("the kernel does not stamp frames")
