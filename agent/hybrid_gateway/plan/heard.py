# SPDX-License-Identifier: GPL-2.0-or-later
"""The steps by which bridges hear what the worker floods, and no longer."""

from collections.abc import Iterator

from ..model import Observed, Step, StepKind, WantedWorker, heard_name


class HeardPlanner:
    """Compares the two: a TAP for each bridge, before the worker hears of it and after."""

    def __init__(self, wanted: WantedWorker | None, observed: Observed) -> None:
        self._wanted = wanted.heard if wanted else frozenset()
        self._left = observed.heard_left - self._wanted
        self.missing = self._wanted - observed.heard
        """Bridges whose TAP is not there, or is not whole."""

    def additions(self) -> Iterator[Step]:
        for bridge in sorted(self.missing):
            text = "a TAP by which its bridge hears what the worker floods"
            yield Step(StepKind.HEAR, heard_name(bridge), text, bridge)

    def removals(self) -> Iterator[Step]:
        for bridge in sorted(self._left):
            text = "remove the TAP: the worker floods nothing for its bridge"
            yield Step(StepKind.STOP_HEARING, heard_name(bridge), text, bridge)
