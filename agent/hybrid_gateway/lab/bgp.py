# SPDX-License-Identifier: GPL-2.0-or-later
"""The gateway's gobgpd in its namespace, and the keeper that starts it again."""

import os
import signal
from collections.abc import Sequence
from pathlib import Path

from ..evpn.daemon import command
from ..instance import Instance
from . import leftovers
from .daemon import Daemon
from .namespaces import LabError
from .places import PYTHON


class BgpProcess(Daemon):
    """gobgpd for the instance that bears the lab's name, kept running as systemd would.

    `start` returns once it listens. The process that this object has is the keeper; the daemon is
    whichever that has started last.
    """

    name = "gw-bgp"

    def argv(self) -> Sequence[str]:
        keeper = str(Path(__file__).with_name("keeper.py"))
        socket = Instance(self._lab.name).bgp_socket
        socket.parent.mkdir(parents=True, exist_ok=True)
        argv = [PYTHON, "-I", keeper, "--instance", self._lab.name, "--without", str(socket)]
        return [*argv, *command(socket), "--sdnotify"]

    @property
    def daemon(self) -> int | None:
        """Process id of gobgpd itself, if there is one at the moment."""
        return next(iter(leftovers.bgp_pids(self._lab.name)), None)

    def crash(self) -> int:
        """SIGKILL to the daemon, not to the keeper; the process id that it had."""
        pid = self.daemon
        if pid is None:
            raise LabError("gobgpd does not run")
        os.kill(pid, signal.SIGKILL)
        return pid

    def leave(self) -> None:
        """What ends from now on is not started again."""
        self.send_signal(signal.SIGUSR1)

    def keep(self) -> None:
        """It is, and what has ended meanwhile is started now."""
        self.send_signal(signal.SIGUSR2)
