# SPDX-License-Identifier: GPL-2.0-or-later
"""The IPFIX collector: a datagram socket that never blocks and outlives whoever listens."""

import socket
import time
from dataclasses import dataclass
from ipaddress import IPv4Address

from .event import clock_offset
from .ipfix import Encoder, Message

TEMPLATE_SECONDS = 20.0
"""A collector that was restarted knows no templates; until they come it has to throw records
away (RFC 7011, 8.4)."""
TEMPLATE_MESSAGES = 1000
RETRY_SECONDS = 1.0
"""Between attempts at a socket, when there is no way to the collector."""


@dataclass(slots=True)
class ExportCounts:
    """Records and datagrams that left, records that could not, and what the kernel refused."""

    records: int = 0
    messages: int = 0
    lost: int = 0
    errors: int = 0


class Collector:
    """Sends at once what it is given. One transport session each, so a new one is a new object."""

    def __init__(
        self, address: tuple[IPv4Address, int], counts: ExportCounts, *, destinations: bool
    ) -> None:
        self.address = address
        self.counts = counts
        self._encoder = Encoder(destinations=destinations)
        self._socket: socket.socket | None = None
        self._retry = 0.0
        self._templates_at = 0.0
        self._messages_left = 0

    def export(self, events: memoryview) -> None:
        """All of these events (struct gw_log_event); what cannot be sent is counted as lost."""
        now = time.monotonic()
        if self._socket is None and now >= self._retry:
            self._connect(now)
        if self._socket and self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self._refused()
        due = now >= self._templates_at or self._messages_left <= 0
        seconds = int(time.time())
        messages = self._encoder.messages(events, clock_offset(), seconds, templates=due)
        for number, message in enumerate(messages):
            if not self._send(message, now):
                self.counts.lost += message.records
                self._templates_at = 0.0
            elif due and number == 0:  # the first has the templates
                self._templates_at = now + TEMPLATE_SECONDS
                self._messages_left = TEMPLATE_MESSAGES
            self._messages_left -= 1

    def close(self) -> None:
        if self._socket:
            self._socket.close()
            self._socket = None

    def _connect(self, now: float) -> None:
        """Connected, so that the kernel tells when nobody listens over there."""
        opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            opened.connect((str(self.address[0]), self.address[1]))
        except OSError:
            opened.close()
            self.counts.errors += 1
            self._retry = now + RETRY_SECONDS
        else:
            self._socket = opened
            self._templates_at = 0.0

    def _send(self, message: Message, now: float) -> bool:
        if self._socket is None:
            return False
        try:
            self._send_once(self._socket, message.data)
        except BlockingIOError:
            self.counts.errors += 1
            return False
        except OSError:
            # The address that the socket is bound to went away, or the route.
            self.counts.errors += 1
            self.close()
            self._retry = now + RETRY_SECONDS
            return False
        self.counts.records += message.records
        self.counts.messages += 1
        return True

    def _send_once(self, opened: socket.socket, data: bytes) -> None:
        try:
            opened.send(data)
        except ConnectionRefusedError:
            # That is about an earlier datagram, and this one was not sent.
            self._refused()
            opened.send(data)

    def _refused(self) -> None:
        """Nobody listens over there; whoever will one day has not seen the templates."""
        self.counts.errors += 1
        self._templates_at = 0.0
