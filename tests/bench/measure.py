# SPDX-License-Identifier: GPL-2.0-or-later
"""Alternating runs: every round measures every contender, so that a drift meets all alike."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Protocol, TypeVar

from tests.bench.contenders import Contender, Evidence
from tests.bench.generator import Exchange, Result, Traffic
from tests.bench.report import progress

TRIES = 4
"""How often a run is made at most that failed or was disturbed."""
TOLERATED = 0.02
"""Share of a run that the core may have been another's."""

Note = Callable[[str], None]
"""Takes what the reader of the figures has to know."""


class MeasurementError(Exception):
    """A figure that would not mean what its name says."""


@dataclass(frozen=True)
class Case:
    """What is sent. `known` is sent before, unmeasured; a fresh case forgets everything first."""

    name: str
    sent: Traffic
    known: Traffic | None = None
    fresh: bool = False

    @property
    def closes(self) -> int:
        """How many TCP connections the measured segments close."""
        return self.sent.total if self.sent.exchange is Exchange.TEARDOWN else 0

    @property
    def opens(self) -> int:
        """How many sessions the measured frames open."""
        return self.sent.total if self.fresh and not self.closes else 0


class Named(Protocol):
    """A case, as far as figures and pictures know it."""

    @property
    def name(self) -> str: ...


class Run(Protocol):
    @property
    def ns_per_frame(self) -> float: ...

    @property
    def waited_share(self) -> float:
        """Of the run, that something else had the core."""


R = TypeVar("R", bound=Run)


@dataclass(frozen=True)
class Series:
    """All rounds of one case, by the contenders' labels, in the order of the rounds."""

    case: Named
    results: Mapping[str, Sequence[Run]]

    def ns_per_frame(self, label: str) -> list[float]:
        return [result.ns_per_frame for result in self.results[label]]

    def cost(self, label: str, baseline: str) -> list[float]:
        """Nanoseconds a frame over the baseline's of the same round."""
        return [
            mine - base
            for mine, base in zip(
                self.ns_per_frame(label), self.ns_per_frame(baseline), strict=True
            )
        ]

    def rate(self, label: str) -> float:
        """Frames a second."""
        return 1e9 / median(self.ns_per_frame(label))


def least_disturbed(run: Callable[[], R], note: Note) -> R:
    """The first run that nothing disturbed, else the one that was disturbed least."""
    results: list[R] = []
    for _ in range(TRIES):
        try:
            results.append(run())
        except MeasurementError as error:
            note(f"{error}; the run was repeated")
            failure = error
            continue
        if results[-1].waited_share <= TOLERATED:
            break
    if not results:
        raise failure
    return min(results, key=lambda result: result.waited_share)


def run_once(contender: Contender, case: Case, note: Note) -> Result:
    return least_disturbed(lambda: _try_once(contender, case), note)


def _try_once(contender: Contender, case: Case) -> Result:
    if case.fresh:
        contender.forget()
    if case.known:
        contender.generator.send(case.known)
    before = contender.evidence()
    result = contender.generator.send(case.sent)
    found = contender.evidence().since(before)
    if complaints := list(_complaints(contender, case, result, found)):
        complaints += [f"{name} {count}" for name, count in found.others.items()]
        raise MeasurementError(f"{case.name}, {contender.label}: {', '.join(complaints)}")
    return result


def _complaints(contender: Contender, case: Case, result: Result, found: Evidence) -> Iterator[str]:
    """Everything has to arrive, changed as asked for, by the way whose cost this is."""
    if result.lost:
        yield f"{result.lost} of {result.frames} frames were lost"
    elif not result.ns:
        yield "some frames arrived on another core"
    if not contender.translates:
        return
    if result.untranslated:
        yield f"{result.untranslated} frames were not translated"
    if found.opened != case.opens:
        yield f"{found.opened} sessions were opened, not {case.opens}"
    if found.fast is not None and found.fast != case.sent.passages:
        yield f"{found.fast} of {case.sent.passages} frames took the fast path"
    if case.closes and (closing := contender.closing()) != case.closes:
        yield f"{closing} of {case.closes} connections are closing"
    yield from contender.complaints(case.sent, result, found)


def in_turn(case: Named, runs: Mapping[str, Callable[[], Run]], rounds: int, note: Note) -> Series:
    """Every round has one run of each contender, by its label."""
    results: dict[str, list[Run]] = {label: [] for label in runs}
    for number in range(rounds):
        progress(f"{case.name}: round {number + 1} of {rounds}")
        for label, run in runs.items():
            results[label].append(least_disturbed(run, note))
    return Series(case, results)


def alternate(case: Case, contenders: Sequence[Contender], rounds: int, note: Note) -> Series:
    runs = {contender.label: partial(_try_once, contender, case) for contender in contenders}
    return in_turn(case, runs, rounds, note)
