# SPDX-License-Identifier: GPL-2.0-or-later
"""A thread of the worker that stands still, while all others go on."""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PTRACE_DETACH, PTRACE_SEIZE, PTRACE_INTERRUPT = 17, 0x4206, 0x4207
WALL = 0x40000000
"""For waitpid: threads, too."""


def _ptrace(request: int, tid: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    arguments = (ctypes.c_long(request), ctypes.c_long(tid), ctypes.c_void_p(), ctypes.c_void_p())
    libc.ptrace.restype = ctypes.c_long
    if libc.ptrace(*arguments) < 0:
        raise OSError(ctypes.get_errno(), f"ptrace {request:#x} of {tid}")


@contextmanager
def held(pid: int, name: str) -> Iterator[None]:
    """The only thread of that name, as the process calls it."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    (tid,) = (int(task.name) for task in tasks if (task / "comm").read_text().strip() == name)
    _ptrace(PTRACE_SEIZE, tid)
    try:
        _ptrace(PTRACE_INTERRUPT, tid)
        os.waitpid(tid, WALL)
        yield
    finally:
        try:
            _ptrace(PTRACE_DETACH, tid)
        except ProcessLookupError:
            # Its process has died, and is not gone before all who trace it know.
            os.waitpid(tid, WALL)
