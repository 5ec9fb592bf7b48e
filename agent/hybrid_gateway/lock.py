# SPDX-License-Identifier: GPL-2.0-or-later
"""A file that one process at a time can hold."""

import contextlib
import fcntl
import os
from pathlib import Path

from .errors import RefusedError


class Lock:
    """Held for the life of a process; the kernel lets it go however the process ends.

    A file, and no abstract socket: any user could bind that, and nobody could run a gateway.
    """

    def __init__(self, path: Path, holder: str, complaint: str, code: str) -> None:
        """`holder` is written into the file; RefusedError with `complaint`, which has a place for
        the other holder."""
        self._path = path
        self._complaint = complaint
        self._code = code
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        while True:
            self._file = open(path, "a+")  # noqa: SIM115 - kept open: closing it unlocks
            self._take()
            # A process that ended meanwhile took the file away: what we hold has no name then.
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(path.stat(), os.fstat(self._file.fileno())):
                    break
            self._file.close()
        self._file.truncate(0)
        self._file.write(f"{holder}\n")
        self._file.flush()

    def _take(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._file.seek(0)
            holder = self._file.read().strip() or "unknown"
            self._file.close()
            raise RefusedError(self._complaint.format(holder), code=self._code) from error

    def release(self) -> None:
        """Leaves no file; the folder stays when somebody else has something in it."""
        self._path.unlink(missing_ok=True)
        self._file.close()
        with contextlib.suppress(OSError):
            self._path.parent.rmdir()
