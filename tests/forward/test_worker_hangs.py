# SPDX-License-Identifier: GPL-2.0-or-later
"""The worker answers nobody for a while: nothing of that stays."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from hybrid_gateway.lab import SFP0
from tests.forward.fibre import CONFIGURATION, TAKEN_SECONDS, Fibre
from tests.forward.test_worker_crash import BACK_SECONDS, takes
from tests.forward.test_worker_follow import forwarded
from tests.lib.gateway import eventually


@contextmanager
def asleep(fibre: Fibre, *, wakes: bool) -> Iterator[None]:
    """The worker's process; it is killed in the end unless it wakes."""
    pid = fibre.status().pid
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT if wakes else signal.SIGKILL)


def test_and_dies(fresh_fibre: Fibre) -> None:
    """It is not held against the next one, nor has that what this one had."""
    fibre = fresh_fibre
    with asleep(fibre, wakes=False):
        assert "not answer" in fibre.gateway.ctl("status").stdout
    eventually(lambda: takes(fibre), "another one has its ports", BACK_SECONDS)
    fibre.meet()
    forwarded(fibre)


def test_while_the_agent_starts(fresh_fibre: Fibre) -> None:
    """What the agent could not ask it then it asks later; nobody tells when."""
    fibre = fresh_fibre
    fibre.gateway.process.stop()
    lines = CONFIGURATION.splitlines(keepends=True)
    one = [line for line in lines if not line.strip().startswith("sfp1:")]
    fibre.gateway.config.write_text("".join(one))
    with asleep(fibre, wakes=True):
        fibre.gateway.start()
        assert "not answer" in fibre.gateway.ctl("status").stdout
    eventually(
        lambda: list(fibre.status().ports) == [SFP0.device], "it has this port", TAKEN_SECONDS
    )
    eventually(lambda: not fibre.gateway.call("status")["warnings"], "all is well", TAKEN_SECONDS)
