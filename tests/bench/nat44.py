# SPDX-License-Identifier: GPL-2.0-or-later
"""The group nat44: what the data path costs, against nftables masquerade and its own limits."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tests.bench import cases, group, plot, tables
from tests.bench.contenders import BareRedirect, Contender, HybridGateway, Nftables, Setup
from tests.bench.gateway import Gateway
from tests.bench.group import LIMIT, REFERENCE_REDIRECT_NS, costs, reference
from tests.bench.measure import Case, Note, Series, alternate
from tests.bench.profile import profile
from tests.bench.report import Figure
from tests.bench.resident import measure_listing, measure_running, measure_start

BASELINE, PEER, OURS = "redirect", "nftables", "gateway"

SIDES = plot.Sides(BASELINE, PEER, "nftables masquerade", OURS)
SHORT = {
    "new": "sessions\nopened",
    "mapping": "mappings\nopened",
    "teardown": "connections\nclosed",
    "1m": "1 M",
}
OPENING_UNITS = {
    "nat44.new": "sessions/s",
    "nat44.mapping": "mappings/s",
    "nat44.teardown": "flows/s",
}
CORES_LIMIT = 1.7
LARGE_ROUNDS = 5
"""At most: each sends three million frames."""


@dataclass
class Outcome(group.Outcome):
    openings: list[Series] = field(default_factory=list)

    @property
    def figures(self) -> list[Figure]:
        return [
            *reference("redirect", self.series, BASELINE, REFERENCE_REDIRECT_NS),
            *map(_hit, self.series),
            *map(_opening, self.openings),
            *self.limits,
        ]

    @property
    def drawable(self) -> bool:
        return bool(self.series and self.openings)

    def draw(self, path: Path) -> None:
        drawn = self.series + self.openings
        with plot.picture(path, [4, 3, 3], drawn, SIDES) as (left, middle, right):
            plot.cost_bars(left, self.series, SIDES, _short)
            left.set_title("An established flow: ns a frame over a bare redirect", loc="left")
            left.set_xlabel("flows")
            plot.rate_bars(middle, self.openings, SIDES, _short)
            middle.set_title("A second, millions", loc="left")
            own = [figure for figure in self.limits if figure.baseline_name == LIMIT]
            plot.limits(right, own, "nat44.")


def measure(rounds: int, note: Note, *, bare: bool = False) -> Outcome:
    """All figures of the group; with `bare` of the XDP plane alone."""
    parts = Group(rounds, note, bare)
    for part in (parts.ordinary, parts.large, parts.teardown, parts.two_cores):
        part()
    if not bare:
        parts.outcome.limits.append(measure_start())
    return parts.outcome


class Group(group.Group[Outcome]):
    def __init__(self, rounds: int, note: Note, bare: bool) -> None:
        super().__init__(Outcome(), rounds, note)
        self._bare = bare

    def ordinary(self) -> None:
        with self._contenders(cases.ORDINARY) as (redirect, nftables, ours):
            everyone = (redirect, nftables, ours)
            self.outcome.series += self._series(cases.HITS, everyone)
            if not self._bare:
                self._limits(lambda: measure_listing(ours, cases.known(cases.flows(10))))
            self._openings(cases.OPENINGS, everyone)
            if isinstance(ours.plane, Gateway):
                self.outcome.limits += measure_running(ours.plane)
        self._limits(lambda: tables.measure_default_size(self._bare))

    def large(self) -> None:
        with self._contenders(cases.LARGE) as (redirect, nftables, ours):
            everyone, rounds = (redirect, nftables, ours), min(self._rounds, LARGE_ROUNDS)
            self.outcome.series += self._series([cases.LARGE_HIT], everyone, rounds)
            self._note(f"{cases.LARGE_HIT.name}: {nftables.room()}")
            self._limits(lambda: tables.measure_large(ours, nftables))

    def teardown(self) -> None:
        with self._contenders(cases.TCP) as everyone:
            self._openings([cases.TEARDOWN], everyone)

    def two_cores(self) -> None:
        with self._contenders(cases.TWO_CORES) as (redirect, _, ours):
            found = self._series(cases.ON_CORES, (redirect, ours))
            if len(found) < len(cases.ON_CORES):
                return
            one, two = found
            ratio = {label: two.rate(label) / one.rate(label) for label in (BASELINE, OURS)}
            self._note(f"two cores: the bare redirect itself gains {ratio[BASELINE]:.2f}")
            self.outcome.limits.append(
                Figure("nat44.2cores", ratio[OURS], "x", LIMIT, CORES_LIMIT, better="higher")
            )

    @contextmanager
    def _contenders(self, setup: Setup) -> Iterator[tuple[BareRedirect, Nftables, HybridGateway]]:
        with ExitStack() as stack:
            yield (
                stack.enter_context(BareRedirect(BASELINE, setup)),
                stack.enter_context(Nftables(PEER, setup)),
                stack.enter_context(HybridGateway(OURS, setup, bare=self._bare)),
            )

    def _series(
        self, cases: Iterable[Case], contenders: Sequence[Contender], rounds: int | None = None
    ) -> list[Series]:
        """One figure that fails leaves the others."""
        found: list[Series] = []

        def one(case: Case) -> None:
            found.append(alternate(case, contenders, rounds or self._rounds, self._note))

        for case in cases:
            self.attempt(partial(one, case))
        return found

    def _openings(self, cases: Iterable[Case], contenders: Sequence[Contender]) -> None:
        for series in self._series(cases, contenders):
            self.outcome.openings.append(series)
            ours, peer = costs(series, BASELINE, OURS, PEER)
            self._note(
                f"{series.case.name}: {ours:.0f} ns over the bare redirect, "
                f"nftables {peer:.0f} ns: {peer / ours:.2f} x"
            )

    def _limits(self, measured: Callable[[], list[Figure]]) -> None:
        self.attempt(lambda: self.outcome.limits.extend(measured()))


def profiled(note: Note, *, bare: bool = False) -> Iterator[str]:
    """Where the time goes, as one table for each setup."""
    for setup, in_setup in cases.BY_SETUP:
        with HybridGateway(OURS, setup, bare=bare) as ours:
            yield profile(ours, in_setup, note)


def _short(name: str) -> str:
    last = name.rpartition(".")[2]
    return SHORT.get(last, last.replace("k", " k"))


def _hit(series: Series) -> Figure:
    ours, peer = costs(series, BASELINE, OURS, PEER)
    return Figure(series.case.name, ours, "ns", PEER, peer)


def _opening(series: Series) -> Figure:
    unit = OPENING_UNITS[series.case.name]
    return Figure(
        series.case.name, series.rate(OURS), unit, PEER, series.rate(PEER), better="higher"
    )
