# SPDX-License-Identifier: GPL-2.0-or-later
"""A daemon in the gateway's namespace: started, awaited, stopped, killed."""

import os
import select
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import mkdtemp
from typing import Protocol

from .namespaces import LabError

START_SECONDS = 20.0
STOP_SECONDS = 15.0


class Place(Protocol):
    """Where a daemon runs: a lab, or what stands for one."""

    name: str
    directory: Path

    def argv(self, host: str, argv: Sequence[str]) -> list[str]:
        """The command line that runs `argv` on the host."""


class Daemon(ABC):
    """One run of a program that reports READY=1 to systemd's notification socket."""

    name = "daemon"
    """As messages have it, and the file of its log."""

    def __init__(self, lab: Place, *, env: Mapping[str, str] | None = None) -> None:
        self._lab = lab
        self._env = dict(env or {})
        self._process: subprocess.Popen[bytes] | None = None
        self.log = lab.directory / f"{self.name.removeprefix('gw-')}.log"
        self.ready_after = 0.0

    @abstractmethod
    def argv(self) -> Sequence[str]:
        """The command line, as it is in the namespace."""

    @property
    def pid(self) -> int:
        if self._process is None:
            raise LabError(f"{self.name} was not started")
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self, seconds: float = START_SECONDS) -> None:
        """Start and wait for READY=1; LabError with the end of the log when it does not come."""
        if self.running:
            return
        with ExitStack() as stack:
            listener = stack.enter_context(_Listener())
            begun = time.monotonic()
            self._process = self._spawn(listener.path)
            why = listener.wait_ready(self._process.pid, begun + seconds)
            self.ready_after = time.monotonic() - begun
            if why:
                self._process.kill()
                self._process.wait()
                raise LabError(f"{self.name} {why}; the end of {self.log}:\n{self.log_end()}")

    def stop(self) -> int:
        """SIGTERM, as systemd does. Returns the exit code."""
        return self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL: nothing of its own can run any more."""
        self._end(signal.SIGKILL)

    def send_signal(self, number: signal.Signals) -> None:
        """Any other signal, SIGSTOP for example."""
        os.kill(self.pid, number)

    def log_end(self, lines: int = 15) -> str:
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        except FileNotFoundError:
            return ""

    def _spawn(self, notify: Path) -> subprocess.Popen[bytes]:
        env = os.environ | {"NOTIFY_SOCKET": str(notify)} | self._env
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            # A session of its own: Ctrl-C in the terminal is for the command, not for the daemon.
            return subprocess.Popen(
                self._lab.argv("gw", self.argv()),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=env,
                start_new_session=True,
            )

    def _end(self, number: signal.Signals) -> int:
        if self._process is None:
            return 0
        if self._process.poll() is None:
            self._process.send_signal(number)
        try:
            return self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise LabError(f"{self.name} ignored {number.name} for {STOP_SECONDS:.0f} s") from None


class _Listener:
    """The receiving end of sd_notify; a path, as abstract names are bound to a namespace."""

    def __init__(self) -> None:
        self._directory = Path(mkdtemp(prefix="gw-notify-"))
        self.path = self._directory / "notify"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.bind(str(self.path))

    def __enter__(self) -> "_Listener":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()
        self.path.unlink(missing_ok=True)
        self._directory.rmdir()

    def wait_ready(self, pid: int, deadline: float) -> str:
        """Empty once READY=1 arrived, otherwise what happened instead."""
        end = os.pidfd_open(pid)
        try:
            while (patience := deadline - time.monotonic()) > 0:
                ready, _, _ = select.select([self._socket.fileno(), end], [], [], patience)
                if self._socket.fileno() in ready:
                    if b"READY=1" in self._socket.recv(4096).split(b"\n"):
                        return ""
                elif end in ready:
                    return "ended before it was ready"
            return "was not ready in time"
        finally:
            os.close(end)
