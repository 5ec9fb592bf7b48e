# SPDX-License-Identifier: GPL-2.0-or-later
"""The worker's process, to be awaited or killed."""

import contextlib
import logging
import os
import select
import signal

log = logging.getLogger(__name__)

END_SECONDS = 5.0
"""One that was told to end may take so long."""


class Process:
    def __init__(self, pid: int) -> None:
        self.pid = pid
        try:
            self._file = os.pidfd_open(pid)
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
