# SPDX-License-Identifier: GPL-2.0-or-later
"""FDB entries by netlink, thousands a second: what a control plane does, without one."""

import errno
import os
import socket
import struct
import time
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address

from hybrid_gateway.lab.namespaces import entered

RTM_NEWNEIGH, RTM_DELNEIGH = 28, 29
NLM_F_REQUEST, NLM_F_CREATE, NLM_F_REPLACE = 0x1, 0x400, 0x100
NLMSG_ERROR = 2
NDA_DST, NDA_LLADDR = 1, 2
NTF_SELF, NTF_MASTER, NTF_EXT_LEARNED = 0x02, 0x04, 0x10
STATIC = 0x40 | 0x02
"""NUD_NOARP and NUD_REACHABLE."""
AF_BRIDGE = socket.AF_BRIDGE if hasattr(socket, "AF_BRIDGE") else 7
HEADER = struct.Struct("=IHHII")
NDMSG = struct.Struct("=BxxxiHBB")
TOGETHER = 64
"""Messages in one datagram, when there is no hurry to be even."""
TICK = 0.002
"""Seconds between two datagrams of a paced stream."""


def _attribute(kind: int, value: bytes) -> bytes:
    size = 4 + len(value)
    return struct.pack("=HH", size, kind) + value + bytes(-size % 4)


def _message(kind: int, flags: int, ifindex: int, where: int, attributes: bytes) -> bytes:
    body = NDMSG.pack(AF_BRIDGE, ifindex, STATIC, where | NTF_EXT_LEARNED, 0) + attributes
    size = HEADER.size + len(body)
    return HEADER.pack(size, kind, NLM_F_REQUEST | flags, 0, 0) + body


class RemoteStations:
    """Stations behind VTEPs of one VXLAN device, as its FDB and its bridge's are told of them."""

    def __init__(self, ifindex: int) -> None:
        self._ifindex = ifindex

    def put(self, mac: bytes, vtep: IPv4Address) -> bytes:
        """New, or moved as far as the VXLAN device knows."""
        return self.move(mac, vtep) + self._master(RTM_NEWNEIGH, mac)

    def move(self, mac: bytes, vtep: IPv4Address) -> bytes:
        """To another VTEP: the bridge does not notice."""
        attributes = _attribute(NDA_LLADDR, mac) + _attribute(NDA_DST, vtep.packed)
        flags = NLM_F_CREATE | NLM_F_REPLACE
        return _message(RTM_NEWNEIGH, flags, self._ifindex, NTF_SELF, attributes)

    def delete(self, mac: bytes) -> bytes:
        attributes = _attribute(NDA_LLADDR, mac)
        own = _message(RTM_DELNEIGH, 0, self._ifindex, NTF_SELF, attributes)
        return self._master(RTM_DELNEIGH, mac) + own

    def _master(self, kind: int, mac: bytes) -> bytes:
        flags = NLM_F_CREATE | NLM_F_REPLACE if kind == RTM_NEWNEIGH else 0
        return _message(kind, flags, self._ifindex, NTF_MASTER, _attribute(NDA_LLADDR, mac))


class NeighbourWriter:
    """A netlink socket in a namespace."""

    def __init__(self, netns: str) -> None:
        with entered(netns):
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._socket.bind((0, 0))
        self._socket.setblocking(False)

    def close(self) -> None:
        self._socket.close()

    def write(self, messages: Sequence[bytes]) -> None:
        """As fast as the kernel takes them; OSError if it refuses one."""
        for datagram in _together(messages):
            self._socket.send(datagram)
            self._refusals()

    def write_paced(self, messages: Sequence[bytes], rate: float) -> float:
        """So many a second, evenly; returns how many it came to."""
        began, sent = time.monotonic(), 0
        while sent < len(messages):
            due = min(len(messages), int((time.monotonic() - began) * rate) + 1)
            if due == sent:
                time.sleep(TICK)
                continue
            self.write(messages[sent:due])
            sent = due
        return sent / (time.monotonic() - began)

    def _refusals(self) -> None:
        while True:
            try:
                answer = self._socket.recv(1 << 16)
            except BlockingIOError:
                return
            _, kind, _, _, _ = HEADER.unpack_from(answer)
            code = struct.unpack_from("=i", answer, HEADER.size)[0] if kind == NLMSG_ERROR else 0
            if code:
                raise OSError(-code, f"FDB: {os.strerror(-code)} ({errno.errorcode.get(-code)})")


def _together(messages: Sequence[bytes]) -> Iterator[bytes]:
    for first in range(0, len(messages), TOGETHER):
        yield b"".join(messages[first : first + TOGETHER])
