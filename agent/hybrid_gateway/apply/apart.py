# SPDX-License-Identifier: GPL-2.0-or-later
"""Steps that the rest of the gateway does not wait for, and does not fail with."""

from dataclasses import dataclass

from ..errors import GwError, WorkerAbsentError
from ..model import Step, StepKind

OF_A_PORT = frozenset({StepKind.TAKE, StepKind.ADD_PORT})
OF_THE_START = frozenset({StepKind.RESERVE_MEMORY, StepKind.START_WORKER})
APART = OF_A_PORT | OF_THE_START | {StepKind.SEGMENTS}


@dataclass(frozen=True, slots=True)
class Failed:
    """One of them that failed."""

    step: Step
    error: GwError

    def undoes(self, done: Step) -> bool:
        """Whether what was done before is of no use any more."""
        if self.step.kind is StepKind.SEGMENTS:
            return False  # they are the kernel's: the ports forward all the same
        if self.step.kind in OF_A_PORT:
            return done.kind in OF_A_PORT and done.subject == self.step.subject
        return done.kind in APART

    def forbids(self, other: Step) -> bool:
        """Whether what would come later is of no use: nobody serves ports when the worker died,
        which is for its follower to see to."""
        gone = other.kind in APART and isinstance(self.error, WorkerAbsentError)
        return gone or self.undoes(other)
