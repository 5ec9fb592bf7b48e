# SPDX-License-Identifier: GPL-2.0-or-later
"""The real gw-worker in the gateway's namespace, and the keeper that starts it again."""

import os
import signal
from collections.abc import Sequence
from pathlib import Path

from . import leftovers
from .daemon import Daemon
from .namespaces import LabError
from .places import PYTHON, program


class WorkerProcess(Daemon):
    """gw-worker of the instance that bears the lab's name, kept running as systemd would.

    `start` returns once the first one listens. The process that this object has is the keeper;
    the worker is whichever that has started last.
    """

    name = "gw-worker"

    def argv(self) -> Sequence[str]:
        keeper = str(Path(__file__).with_name("keeper.py"))
        of_instance = ["--instance", self._lab.name]
        argv = [PYTHON, "-I", keeper, *of_instance, "--after", str(program("gw-handback"))]
        return [*argv, str(program("gw-worker")), *of_instance]

    @property
    def worker(self) -> int | None:
        """Process id of the worker itself, if there is one at the moment."""
        return next(iter(leftovers.worker_pids(self._lab.name)), None)

    def crash(self) -> int:
        """SIGKILL to the worker, not to the keeper; the process id that it had."""
        return self._kill(signal.SIGKILL)

    def _kill(self, number: signal.Signals) -> int:
        pid = self.worker
        if pid is None:
            raise LabError("gw-worker does not run")
        os.kill(pid, number)
        return pid

    def end(self) -> int:
        """SIGTERM to the worker, not to the keeper; the process id that it had."""
        return self._kill(signal.SIGTERM)

    def leave(self) -> None:
        """What ends from now on is not started again."""
        self.send_signal(signal.SIGUSR1)

    def keep(self) -> None:
        """It is, and what has ended meanwhile is started now."""
        self.send_signal(signal.SIGUSR2)
