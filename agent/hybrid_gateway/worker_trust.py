# SPDX-License-Identifier: GPL-2.0-or-later
"""What is thought of the DPDK worker and its ports: who is waited for, who is tried again."""

import logging
import math
import time
from dataclasses import dataclass
from pathlib import Path

from .errors import GwError
from .model import Step, StepKind, WorkerState
from .restore import write_atomically

log = logging.getLogger(__name__)

RETRY_SECONDS = 10.0
RETRY_MAX_SECONDS = 320.0
"""Between two attempts; twice as long after each that fails."""
OWNER = math.inf
"""As a time: not before the owner applies the configuration again."""
SEGMENTS = "segments"
"""The subject of the step that gives the worker its VXLAN segments."""
OF_A_PORT = frozenset({StepKind.TAKE, StepKind.ADD_PORT})
OF_THE_WORKER = frozenset(
    {
        StepKind.RESERVE_MEMORY,
        StepKind.START_WORKER,
        StepKind.STOP_WORKER,
        StepKind.REMOVE_PORT,
    }
)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What became of a worker that died or failed: it is waited for, or was given up."""

    state: WorkerState
    reason: str
    again: float | None = None
    """When it is tried again, by time.monotonic(); None: as soon as there is one."""


@dataclass(frozen=True, slots=True)
class Shunned:
    """A port that the worker could not have, or the kernel."""

    reason: str
    again: float


class Trust:
    """Of one worker; the clock is time.monotonic(), which is the event loop's, too."""

    def __init__(self, verdict: Path) -> None:
        """`verdict`: a file for a judgement that only the owner lifts, which outlives the agent,
        and not the boot."""
        self._verdict = verdict
        self.judgement: Judgement | None = self._remembered()
        """None: it is as it looks."""
        self.shunned: dict[str, Shunned] = {}
        """By name of the port."""
        self.away: dict[str, Shunned] = {}
        """Ports whose devices did not come back to the kernel."""
        self.segments_refused: Shunned | None = None
        """VXLAN segments that the worker did not take."""
        self.unheard: dict[str, Shunned] = {}
        """By name: TAPs by which bridges were to hear, and which could not be made."""
        self.leaving: set[int] = set()
        """Processes that were told to end: their death is no crash."""
        self.crashes: list[float] = []
        """When it died of late."""
        self._failures: dict[str, int] = {}
        """In a row, by the subject of the step."""

    def forgive(self) -> None:
        """The owner has had a look: whatever it did before, it is given another chance."""
        self.judgement = None
        self.shunned.clear()
        self.segments_refused = None
        self.unheard.clear()
        self.crashes.clear()
        self._failures.clear()
        self._verdict.unlink(missing_ok=True)

    def give_up(self, reason: str, *, again: float | None = None) -> bool:
        """Its ports are the kernel's from now on; False: that was decided before."""
        before = self.judgement
        self.judgement = Judgement(WorkerState.GIVEN_BACK, reason, again)
        if again == OWNER:
            try:
                write_atomically(self._verdict, f"{reason}\n".encode())
            except GwError as error:
                log.warning("the next agent will not know of this: %s", error)
        return before is None or before.state is not WorkerState.GIVEN_BACK

    def _remembered(self) -> Judgement | None:
        try:
            reason = self._verdict.read_text().strip()
        except FileNotFoundError:
            return None
        return Judgement(WorkerState.GIVEN_BACK, reason, OWNER)

    def failed(self, step: Step | None, reason: str) -> bool:
        """A plan ended with this step, which nobody was there to see: without the port, or
        without the worker, the rest works; both are tried again later. False: it is not theirs."""
        if step is None or step.kind not in OF_A_PORT | OF_THE_WORKER | {StepKind.SEGMENTS}:
            return False
        again = time.monotonic() + self._wait(step.subject)
        if step.kind is StepKind.SEGMENTS:
            self.segments_refused = Shunned(reason, again)
            return True
        if step.kind in OF_THE_WORKER:
            return self.give_up(reason, again=again)
        first = step.subject not in self.shunned
        self.shunned[step.subject] = Shunned(reason, again)
        return first

    def stays_away(self, port: str, reason: str) -> None:
        """It could not be given back, which takes seconds each time: not at every look."""
        self.away[port] = Shunned(reason, time.monotonic() + self._wait(port))

    def cannot_hear(self, tap: str, reason: str) -> None:
        """Likewise: its bridge floods by itself for so long."""
        self.unheard[tap] = Shunned(reason, time.monotonic() + self._wait(tap))

    def _wait(self, subject: str) -> float:
        """Of one that has just failed."""
        before = self._failures.get(subject, 0)
        self._failures[subject] = before + 1
        return min(math.ldexp(RETRY_SECONDS, min(before, 10)), RETRY_MAX_SECONDS)

    def settled(self) -> None:
        """A plan has come to its end: what is not left out by now has not failed."""
        if self.judgement is None:
            left = self.shunned.keys() | self.away.keys() | self.unheard.keys()
            left |= {SEGMENTS} if self.segments_refused else set()
            self._failures = {k: count for k, count in self._failures.items() if k in left}

    def retry(self, now: float) -> bool:
        """Whether anything is to be tried again by now, which then it is."""
        due = False
        for left in (self.shunned, self.away, self.unheard):
            for name in [name for name, one in left.items() if one.again <= now]:
                del left[name]
                due = True
        if self.segments_refused and self.segments_refused.again <= now:
            self.segments_refused = None
            due = True
        judged = self.judgement
        if judged and judged.again is not None and judged.again <= now:
            self.judgement = None
            return True
        return due
