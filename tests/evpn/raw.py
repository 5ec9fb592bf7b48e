# SPDX-License-Identifier: GPL-2.0-or-later
"""A BGP neighbour (RFC 4271) that sends what it is given, for what no daemon would send."""

import socket
import struct
from ipaddress import IPv4Address
from types import TracebackType
from typing import Self

from hybrid_gateway.evpn.attributes import AFI_L2VPN, ORIGIN_IGP, SAFI_EVPN, attribute
from hybrid_gateway.lab import namespaces

MARKER = b"\xff" * 16
OPEN, UPDATE, NOTIFICATION, KEEPALIVE = 1, 2, 3, 4
AS_PATH = attribute(0x40, 2, b"")
LOCAL_PREFERENCE = attribute(0x40, 5, struct.pack("!I", 100))
ANSWER_SECONDS = 30.0
HOLD_SECONDS = 3600
"""Configured on the other side too. Without any hold time, gobgpd gives up each write at once."""


class RawNeighbor:
    """An established session, for as long as the test holds it; no keepalive is due by then."""

    def __init__(
        self,
        namespace: str,
        address: str,
        router_id: IPv4Address,
        asn: int,
        source: str | None = None,
    ) -> None:
        """`source`: its own address, where there are several; it is the one that calls."""
        with namespaces.entered(namespace):
            self._socket = socket.create_connection(
                (address, 179), ANSWER_SECONDS, (source, 0) if source else None
            )
        capabilities = struct.pack("!BBHBB", 1, 4, AFI_L2VPN, 0, SAFI_EVPN)
        capabilities += struct.pack("!BBI", 65, 4, asn)
        options = struct.pack("!BB", 2, len(capabilities)) + capabilities
        head = struct.pack("!BHH4sB", 4, asn, HOLD_SECONDS, router_id.packed, len(options))
        self._send(OPEN, head + options)
        kind, self.opened = self.receive()
        """The OPEN of the other side, without its header."""
        assert kind == OPEN
        self._send(KEEPALIVE)
        assert self.receive()[0] == KEEPALIVE

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._socket.close()

    def _send(self, kind: int, body: bytes = b"") -> None:
        self._socket.sendall(MARKER + struct.pack("!HB", 19 + len(body), kind) + body)

    def _exactly(self, size: int) -> bytes:
        read = b""
        while len(read) < size:
            more = self._socket.recv(size - len(read))
            assert more, "the session was closed"
            read += more
        return read

    def receive(self) -> tuple[int, bytes]:
        """The next message's type and body."""
        head = self._exactly(19)
        size, kind = struct.unpack_from("!HB", head, 16)
        return kind, self._exactly(size - 19)

    def received_update(self) -> list[bytes]:
        """The attributes of the next UPDATE, each as it came; nothing else is in one of EVPN."""
        while True:
            kind, body = self.receive()
            assert kind != NOTIFICATION, body.hex()
            if kind == UPDATE:
                break
        assert body[:2] == bytes(2)
        left = body[4:]
        assert len(left) == int.from_bytes(body[2:4], "big")
        attributes = []
        while left:
            head, size = (4, int.from_bytes(left[2:4], "big")) if left[0] & 0x10 else (3, left[2])
            attributes.append(left[: head + size])
            left = left[head + size :]
        return attributes

    def update(self, *attributes: bytes) -> None:
        """What is announced or withdrawn is in the attributes; the mandatory ones are added."""
        value = ORIGIN_IGP + AS_PATH + LOCAL_PREFERENCE + b"".join(attributes)
        self._send(UPDATE, struct.pack("!HH", 0, len(value)) + value)
