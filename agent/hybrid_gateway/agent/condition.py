# SPDX-License-Identifier: GPL-2.0-or-later
"""What the gateway does at the moment, since when, and what went wrong last."""

import logging
import time

from ..errors import GwError

log = logging.getLogger(__name__)


class Condition:
    """As `status` has it; each change is told once."""

    def __init__(self) -> None:
        self.state = "starting"
        self.since = time.time()
        self.error: GwError | None = None

    def _change_state(self, state: str) -> None:
        if state != self.state:
            self.state, self.since = state, time.time()
            log.info("%s", state)

    def _keep(self, error: Exception) -> None:
        """What nobody foresaw is an error of ours."""
        if not isinstance(error, GwError):
            message = f"unexpected {type(error).__name__}: {error}; the agent's log has more"
            if message != str(self.error):
                log.error("unexpected", exc_info=error)
            error = GwError(message, code="internal")
        elif str(error) != str(self.error):
            log.error("%s", error)
        self.error = error
