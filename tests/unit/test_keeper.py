# SPDX-License-Identifier: GPL-2.0-or-later
"""The lab's stand-in for systemd: what it keeps is started again, and handed back in between."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hybrid_gateway.lab import keeper

ANSWER_SECONDS = 10.0
WORKER = """#!/bin/sh
echo "worker $$ $*"
exec sleep 1000
"""
HANDBACK = """#!/bin/sh
echo "handback $*"
"""


class Kept:
    """The keeper, and the lines that its programs print."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process

    def line(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().strip()

    def started(self) -> int:
        """Process id of the worker that says that it runs."""
        word, pid, *arguments = self.line().split()
        assert (word, arguments) == ("worker", ["--instance", "x"])
        return int(pid)


@contextmanager
def keeping(directory: Path) -> Iterator[Kept]:
    programs = {}
    for name, text in (("worker", WORKER), ("handback", HANDBACK)):
        program = directory / name
        program.write_text(text)
        program.chmod(0o755)
        programs[name] = str(program)
    argv = [sys.executable, "-I", keeper.__file__, "--instance", "x"]
    argv += ["--after", programs["handback"], "--without", str(directory / "left")]
    argv += [programs["worker"], "--instance", "x"]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    try:
        yield Kept(process)
    finally:
        process.terminate()
        process.wait(ANSWER_SECONDS)
        if process.stdout:
            process.stdout.close()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_what_ends_is_started_again(tmp_path: Path, number: signal.Signals) -> None:
    left = tmp_path / "left"
    with keeping(tmp_path) as kept:
        first = kept.started()
        left.touch()
        os.kill(first, number)
        assert kept.line() == "handback --instance x"
        assert kept.started() != first
        assert not left.exists()


def test_left_alone_and_kept_again(tmp_path: Path) -> None:
    with keeping(tmp_path) as kept:
        pid = kept.started()
        os.kill(kept.process.pid, signal.SIGUSR1)
        os.kill(pid, signal.SIGKILL)
        assert kept.line() == "handback --instance x"
        with pytest.raises(subprocess.TimeoutExpired):
            kept.process.wait(2 * keeper.RESTART_SECONDS)
        os.kill(kept.process.pid, signal.SIGUSR2)
        kept.started()


def test_its_end_is_the_workers(tmp_path: Path) -> None:
    with keeping(tmp_path) as kept:
        pid = kept.started()
        kept.process.terminate()
        assert kept.line() == "handback --instance x"
        assert kept.process.wait(ANSWER_SECONDS) == 0
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
