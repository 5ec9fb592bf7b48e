# SPDX-License-Identifier: GPL-2.0-or-later
"""Where lines go: systemd's journal, a syslog daemon, or the agent's own log.

The journal's native protocol is a datagram of NAME=VALUE lines, so python3-systemd would bring a
dependency and no less code.
"""

import asyncio
import logging
import os
import socket
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from .lines import Line

NAME = "gw-nat"
"""Of the log: `journalctl -t gw-nat`."""
INFO = 6
DAEMON = 3
"""Severity and facility of syslog."""
JOURNAL = Path("/run/systemd/journal/socket")
SYSLOG = Path("/dev/log")
OVERRIDE = "GW_SYSLOG"
"""Environment: the path of another syslog daemon's socket."""
WAITING_MAX = 4096
"""Lines kept for a daemon that is busy; what comes on top is lost."""
RETRY_SECONDS = 1.0

log = logging.getLogger(NAME)
log.setLevel(logging.INFO)


def journal_entry(line: Line) -> bytes:
    """See systemd's "Native Journal Protocol"; no value of ours has a line end."""
    fields = (
        ("MESSAGE", line.text),
        ("PRIORITY", str(INFO)),
        ("SYSLOG_FACILITY", str(DAEMON)),
        ("SYSLOG_IDENTIFIER", NAME),
        *line.fields,
    )
    return "".join(f"{name}={value}\n" for name, value in fields).encode()


def syslog_entry(line: Line) -> bytes:
    """As syslog(3) writes it."""
    at = time.strftime("%b %e %H:%M:%S", time.localtime(line.seconds))
    return f"<{DAEMON << 3 | INFO}>{at} {NAME}[{os.getpid()}]: {line.text}".encode()


def _places() -> list[tuple[Path, Callable[[Line], bytes]]]:
    if override := os.environ.get(OVERRIDE):
        return [(Path(override), syslog_entry)]
    return [(JOURNAL, journal_entry), (SYSLOG, syslog_entry)]


@dataclass(slots=True)
class LineCounts:
    """Lines that somebody took, that nobody took, and that were too many a second."""

    written: int = 0
    lost: int = 0
    limited: int = 0


class Journal:
    """Writes lines without ever waiting for who reads them."""

    def __init__(self, loop: asyncio.AbstractEventLoop, counts: LineCounts) -> None:
        self.counts = counts
        self.place = ""
        """What is written to: a path, or "stderr"."""
        self._loop = loop
        self._entry: Callable[[Line], bytes] = journal_entry
        self._socket: socket.socket | None = None
        self._waiting: deque[bytes] = deque()
        self._watched = False
        self._retry = 0.0
        self._connect()

    def write(self, lines: Iterable[Line]) -> None:
        if self._socket is None and time.monotonic() >= self._retry:
            self._connect()
        for line in lines:
            if self._socket is None:
                log.info("%s", line.text)
                self.counts.written += 1
            elif len(self._waiting) < WAITING_MAX:
                self._waiting.append(self._entry(line))
            else:
                self.counts.lost += 1
        if not self._watched:
            self._flush()

    def close(self) -> None:
        """What a busy daemon has not taken by now is lost."""
        self._flush()
        self._hang_up()

    def _hang_up(self) -> None:
        self.counts.lost += len(self._waiting)
        self._waiting.clear()
        self._watch(False)
        if self._socket:
            self._socket.close()
            self._socket = None

    def _connect(self) -> None:
        """To the first that answers; a daemon that comes later is found by and by."""
        self.place = "stderr"
        for path, entry in _places():
            opened = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
            try:
                opened.connect(str(path))
            except OSError:
                opened.close()
                continue
            self._socket, self._entry, self.place = opened, entry, str(path)
            return
        self._retry = time.monotonic() + RETRY_SECONDS

    def _flush(self) -> None:
        """As much as the daemon takes now; the rest when it reads again."""
        while self._waiting and self._socket:
            try:
                self._socket.send(self._waiting[0])
            except BlockingIOError:
                self._watch(True)
                return
            except OSError:  # it went away
                self._hang_up()
                return
            self._waiting.popleft()
            self.counts.written += 1
        self._watch(False)

    def _watch(self, on: bool) -> None:
        if on == self._watched or self._socket is None:
            return
        self._watched = on
        if on:
            self._loop.add_writer(self._socket, self._flush)
        else:
            self._loop.remove_writer(self._socket)
