# SPDX-License-Identifier: GPL-2.0-or-later
"""Keeps gw-worker running as its systemd unit does. A program of its own.

Usage: keeper.py --instance NAME WORKER HANDBACK, two programs. The second one runs after every
end of the first, which is started again half a second later.

    SIGTERM    ends the worker, and then the keeper
    SIGUSR1    what ends is not started again
    SIGUSR2    it is, as in the beginning
"""

import argparse
import os
import signal
import subprocess
import time

RESTART_SECONDS = 0.5
STOP_SECONDS = 10.0
SIGNALS = {signal.SIGCHLD, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2}


class Keeper:
    def __init__(self, worker: list[str], handback: list[str]) -> None:
        self._argv = worker
        self._handback = handback
        self._worker: subprocess.Popen[bytes] | None = None
        self._due: float | None = time.monotonic()
        """When it is started; None: never."""

    def run(self) -> None:
        while True:
            self._start_when_due()
            number = self._next_signal()
            if self._worker and self._worker.poll() is not None:
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
        if self._worker is None and self._due is not None and self._due <= time.monotonic():
            self._worker = subprocess.Popen(self._argv, preexec_fn=_as_usual)

    def _next_signal(self) -> int | None:
        """None when it is time to start the worker."""
        if self._worker or self._due is None:
            return signal.sigwait(SIGNALS)
        got = signal.sigtimedwait(SIGNALS, max(0.0, self._due - time.monotonic()))
        return got.si_signo if got else None

    def _end(self) -> None:
        if self._worker is None:
            return
        self._worker.terminate()
        try:
            self._worker.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._worker.kill()
            self._worker.wait()
        self._ended()

    def _ended(self) -> None:
        self._worker = None
        subprocess.run(self._handback, preexec_fn=_as_usual, check=False)


def _as_usual() -> None:
    """The programs get the signals that the keeper waits for."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def main() -> None:
    parser = argparse.ArgumentParser(description="keeps gw-worker running")
    parser.add_argument("--instance", required=True)
    parser.add_argument("worker")
    parser.add_argument("handback")
    arguments = parser.parse_args()
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    # Whoever waits for the worker of a lab listens once.
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    of_instance = ["--instance", arguments.instance]
    Keeper([arguments.worker, *of_instance], [arguments.handback, *of_instance]).run()


if __name__ == "__main__":
    main()
