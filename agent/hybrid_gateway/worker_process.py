# SPDX-License-Identifier: GPL-2.0-or-later
"""The process behind the worker's socket."""

import contextlib
import logging
import os
import select
import signal
import socket

log = logging.getLogger(__name__)

END_SECONDS = 5.0
"""One that was told to end may take so long."""


class Process:
    """The process at the other end of a socket."""

    def __init__(self, connection: socket.socket) -> None:
        self.pid = peer(connection)
        try:
            self._file = os.pidfd_open(self.pid)
        except ProcessLookupError:
            self._file = -1

    def kill(self) -> None:
        if self._file >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._file, signal.SIGKILL)

    def wait(self) -> None:
        """Kills it when it takes too long."""
        if self._file < 0:
            return
        try:
            if not select.select([self._file], [], [], END_SECONDS)[0]:
                log.warning("the worker (process %d) did not end: it is killed", self.pid)
                self.kill()
                select.select([self._file], [], [], END_SECONDS)
        finally:
            os.close(self._file)


def peer(connection: socket.socket) -> int:
    """The process that listens at the other end."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return int.from_bytes(credentials[:4], "little")
