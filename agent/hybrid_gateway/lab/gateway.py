# SPDX-License-Identifier: GPL-2.0-or-later
"""The real gw-agent in the gateway's namespace."""

from collections.abc import Sequence
from pathlib import Path

from .daemon import Daemon
from .network import Lab
from .places import program


class GatewayProcess(Daemon):
    """One run of the agent of the instance that bears the lab's name.

    `start` returns once the agent is ready, which is the moment from which it forwards.
    Forwarding stays on after `stop`.
    """

    name = "gw-agent"

    def __init__(
        self, lab: Lab, config: Path | None = None, *, env: dict[str, str] | None = None
    ) -> None:
        super().__init__(lab, env=env)
        self.config = config or lab.config

    def argv(self) -> Sequence[str]:
        argv = [str(program("gw-agent")), "--instance", self._lab.name]
        return [*argv, "--config", str(self.config)]
