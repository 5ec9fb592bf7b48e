# SPDX-License-Identifier: GPL-2.0-or-later
"""What all groups have in common: parts of which one that fails leaves the others."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Generic, TypeVar

from tests.bench.measure import MeasurementError, Note, Series
from tests.bench.report import Figure

REFERENCE_REDIRECT_NS = 94.0
"""On the machine on which limits in nanoseconds were set: another's figures scale by this."""
LIMIT = "limit"
"""What a figure is compared with that has no alternative."""


@dataclass
class Outcome(ABC):
    """What could be measured, and why the rest could not."""

    series: list[Series] = field(default_factory=list)  # costs, over a baseline
    limits: list[Figure] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    @property
    @abstractmethod
    def figures(self) -> list[Figure]:
        """All of them, in the order of the table."""

    @abstractmethod
    def draw(self, path: Path) -> None:
        """The group's picture; there has to be something of each kind."""

    @property
    def drawable(self) -> bool:
        return bool(self.series and self.limits)


Found = TypeVar("Found", bound=Outcome)


class Group(Generic[Found]):
    """One part after the other, each with paths of its own."""

    def __init__(self, outcome: Found, rounds: int, note: Note) -> None:
        self.outcome = outcome
        self._rounds = rounds
        self._note = note

    def attempt(self, part: Callable[[], None]) -> None:
        """A figure that cannot be measured is a failure of the group, and not its end."""
        try:
            part()
        except MeasurementError as error:
            self.outcome.failures.append(str(error))


def costs(series: Series, baseline: str, *labels: str) -> Iterator[float]:
    """Of each contender, ns a frame over the baseline."""
    return (median(series.cost(label, baseline)) for label in labels)


def reference(
    name: str, all_series: Iterable[Series], baseline: str, expected_ns: float
) -> Iterator[Figure]:
    """What the baseline itself took, beside what it did where the limits were set."""
    runs = [ns for series in all_series for ns in series.ns_per_frame(baseline)]
    if runs:
        yield Figure(name, median(runs), "ns", "reference", expected_ns)
