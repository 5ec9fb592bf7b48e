# SPDX-License-Identifier: GPL-2.0-or-later
"""Keeps gw-worker or gobgpd running as its systemd unit does. A program of its own.

Usage: keeper.py --instance NAME [--after PROGRAM] [--without FILE] COMMAND…

The command is started again half a second after it has ended. `--after` names a program that runs
each time in between, for that instance; `--without` a file that is removed before each start.

    SIGTERM    ends what is kept, and then the keeper
    SIGUSR1    what ends is not started again
    SIGUSR2    it is, as in the beginning
"""

import argparse
import os
import signal
import subprocess
import time
from pathlib import Path

RESTART_SECONDS = 0.5
STOP_SECONDS = 10.0
SIGNALS = {signal.SIGCHLD, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2}


class Keeper:
    def __init__(self, kept: list[str], after: list[str], without: str) -> None:
        """`after` and `without` may be empty."""
        self._argv = kept
        self._after = after
        self._without = without
        self._kept: subprocess.Popen[bytes] | None = None
        self._due: float | None = time.monotonic()
        """When it is started; None: never."""

    def run(self) -> None:
        while True:
            self._start_when_due()
            number = self._next_signal()
            if self._kept and self._kept.poll() is not None:
                self._ended()
                if self._due is not None:
                    self._due = time.monotonic() + RESTART_SECONDS
            if number == signal.SIGUSR1:
                self._due = None
            elif number == signal.SIGUSR2 and self._due is None:
                self._due = time.monotonic()
            elif number == signal.SIGTERM:
                self._end()
                return

    def _start_when_due(self) -> None:
        if self._kept is None and self._due is not None and self._due <= time.monotonic():
            if self._without:
                Path(self._without).unlink(missing_ok=True)
            self._kept = subprocess.Popen(self._argv, preexec_fn=_as_usual)

    def _next_signal(self) -> int | None:
        """None when it is time to start it."""
        if self._kept or self._due is None:
            return signal.sigwait(SIGNALS)
        got = signal.sigtimedwait(SIGNALS, max(0.0, self._due - time.monotonic()))
        return got.si_signo if got else None

    def _end(self) -> None:
        if self._kept is None:
            return
        self._kept.terminate()
        try:
            self._kept.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._kept.kill()
            self._kept.wait()
        self._ended()

    def _ended(self) -> None:
        self._kept = None
        if self._after:
            subprocess.run(self._after, preexec_fn=_as_usual, check=False)


def _as_usual() -> None:
    """The programs get the signals that the keeper waits for."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def main() -> None:
    parser = argparse.ArgumentParser(description="keeps a program running")
    parser.add_argument("--instance", required=True)
    parser.add_argument("--after", metavar="PROGRAM")
    parser.add_argument("--without", metavar="FILE", default="")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    # Whoever waits for the worker of a lab listens once.
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    after = [arguments.after, "--instance", arguments.instance] if arguments.after else []
    Keeper(arguments.command, after, arguments.without).run()


if __name__ == "__main__":
    main()
