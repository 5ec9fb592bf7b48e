# SPDX-License-Identifier: GPL-2.0-or-later
"""Network namespaces: make, remove, enter for a moment, run programs inside.

Programs start through `nsenter --net`, not `ip netns exec`: the latter mounts a new /sys, which
hides bpffs.
"""

import ctypes
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ..errors import GwError, KernelError

RUN_NETNS = Path("/run/netns")
CLONE_NEWNET = 0x40000000
COMMAND_SECONDS = 30.0

_libc = ctypes.CDLL(None, use_errno=True)


class LabError(GwError):
    """The lab cannot be built, or something in it does not run."""

    default_code = "lab.failed"


def path(name: str) -> Path:
    return RUN_NETNS / name


def exists(name: str) -> bool:
    """Whether the namespace can be entered; a name left by a half-failed `add` cannot."""
    try:
        return path(name).stat().st_dev == Path("/proc/self/ns/net").stat().st_dev
    except FileNotFoundError:
        return False


def add(name: str) -> None:
    if exists(name):
        return
    if path(name).exists():
        path(name).unlink()
    run(["ip", "netns", "add", name])


def delete(name: str) -> None:
    if exists(name):
        run(["ip", "netns", "delete", name])
    elif path(name).exists():
        path(name).unlink()


def inside(name: str, argv: Sequence[str]) -> list[str]:
    """The command line that runs `argv` in the namespace; keeps its process id (no fork)."""
    return ["nsenter", f"--net={path(name)}", "--", *argv]


def run(argv: Sequence[str], *, stdin: str | None = None, check: bool = True) -> str:
    """Run a short command; returns what it printed. LabError tells what it complained about."""
    done = subprocess.run(
        argv, input=stdin, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False
    )
    if check and done.returncode:
        complaint = (done.stderr or done.stdout).strip()
        raise LabError(f"`{' '.join(argv)}` failed ({done.returncode}): {complaint}")
    return done.stdout


def ip_batch(name: str, lines: Sequence[str]) -> None:
    """Many `ip` commands in one process; the first that fails ends it."""
    run(["ip", "-n", name, "-batch", "-"], stdin="\n".join(lines) + "\n")


@contextmanager
def entered(name: str) -> Iterator[None]:
    """The calling thread is in the namespace meanwhile; sockets made there stay there.

    Through libc, because os.setns came with Python 3.12.
    """
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _setns(path(name))
        try:
            yield
        finally:
            _setns_fd(home, "the namespace that was left")
    finally:
        os.close(home)


def write_sysctl(name: str, key: str, value: str) -> None:
    with entered(name):
        Path("/proc/sys", key).write_text(value)


def _setns(target: Path) -> None:
    try:
        handle = os.open(target, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise LabError(f"namespace {target.name} does not exist: is the lab up?") from None
    try:
        _setns_fd(handle, target.name)
    finally:
        os.close(handle)


def _setns_fd(handle: int, what: str) -> None:
    if _libc.setns(handle, CLONE_NEWNET):
        raise KernelError(f"cannot enter {what}", ctypes.get_errno(), code="lab.setns")
