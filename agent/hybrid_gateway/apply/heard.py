# SPDX-License-Identifier: GPL-2.0-or-later
"""Steps by which bridges hear what the worker floods. None keeps another from being done: a bridge
that cannot hear so floods by itself, as it did before."""

import logging
from collections.abc import Callable

from ..errors import GwError
from ..model import heard_name
from ..worker_view import WorkerView
from .undo import Undo, nothing, void

log = logging.getLogger(__name__)


class HeardSteps:
    """Each method does one step and returns how to undo it."""

    def __init__(self, view: WorkerView) -> None:
        self._view = view

    def hear(self, bridge: int) -> Undo:
        if not self._done(self._make, bridge):
            return nothing
        return lambda: void(self._done(self._remove, bridge))

    def stop(self, bridge: int) -> Undo:
        if not self._done(self._remove, bridge):
            return nothing
        return lambda: void(self._done(self._make, bridge))

    # Imported late: only a gateway with a worker pays for it.

    @staticmethod
    def _make(bridge: int) -> None:
        from ..devices import heard

        heard.make(bridge)

    @staticmethod
    def _remove(bridge: int) -> None:
        from ..devices import heard

        heard.remove(bridge)

    def _done(self, action: Callable[[int], None], bridge: int) -> bool:
        name = heard_name(bridge)
        try:
            action(bridge)
        except GwError as error:
            log.error("%s: %s", name, error)
            self._view.cannot_hear(name, error.message)
            return False
        return True
