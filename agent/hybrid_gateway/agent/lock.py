# SPDX-License-Identifier: GPL-2.0-or-later
"""Who may run: one agent of an instance, and one instance in a network namespace."""

import contextlib
import fcntl
import os
from pathlib import Path

from ..errors import RefusedError
from ..instance import Instance, namespace_lock


class Lock:
    """Held for the life of the agent; the kernel lets it go however the process ends.

    A file, and no abstract socket: any user could bind that, and nobody could run a gateway.
    """

    def __init__(self, path: Path, holder: str, complaint: str) -> None:
        self._path = path
        self._complaint = complaint
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        while True:
            self._file = open(path, "a+")  # noqa: SIM115 - kept open: closing it unlocks
            self._take()
            # An agent that ended meanwhile took the file away: what we hold has no name then.
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
            raise RefusedError(self._complaint.format(holder), code="agent.running") from error

    def release(self) -> None:
        """Leaves no file; the folder stays when somebody else has something in it."""
        self._path.unlink(missing_ok=True)
        self._file.close()
        with contextlib.suppress(OSError):
            self._path.parent.rmdir()


def locked(instance: Instance) -> contextlib.ExitStack:
    """Both locks, until the stack is closed; RefusedError that says who holds one of them.

    Two instances in one namespace would take turns in writing the one nftables table and the
    settings of the host, each undoing what the other did.
    """
    with contextlib.ExitStack() as held:
        pid = str(os.getpid())
        own = Lock(instance.lock, pid, "another agent of this instance runs: process {}")
        held.callback(own.release)
        inode = Path("/proc/self/ns/net").stat().st_ino
        complaint = "instance {} already serves this network namespace"
        namespace = Lock(namespace_lock(inode), instance.name, complaint)
        held.callback(namespace.release)
        return held.pop_all()
