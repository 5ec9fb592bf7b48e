# SPDX-License-Identifier: GPL-2.0-or-later
"""The group dpdk: what the worker takes a frame, beside grout, the kernel and its own limits."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.bench import group, plot
from tests.bench.dpdk import blind, frames, kernel, mirror, nodes, resting, transfer
from tests.bench.dpdk.beside import ReplayGroup, replayed
from tests.bench.dpdk.cases import CASES, Case
from tests.bench.dpdk.grout import GroutRouter
from tests.bench.dpdk.hugepages import Hugepages
from tests.bench.dpdk.ours import OurRouter, options_for
from tests.bench.dpdk.replay import Forwarder
from tests.bench.dpdk.tables import Table
from tests.bench.dpdk.testpmd import IoForwarding
from tests.bench.group import LIMIT, costs, reference
from tests.bench.measure import Note, Series, in_turn
from tests.bench.report import Figure

BASELINE, PEER, OURS = "testpmd", "grout", "worker"
SIDES = plot.Sides(BASELINE, PEER, "grout", OURS, "hybrid gateway (DPDK worker)")
REFERENCE_IO_NS = 12.0
"""What testpmd took a frame where the limits were set, with a thousand flows."""


@dataclass
class Outcome(group.Outcome):
    @property
    def figures(self) -> list[Figure]:
        few = [series for series in self.series if series.case.name.endswith(".1k")]
        io = reference("dpdk.io", few, BASELINE, REFERENCE_IO_NS)
        return [*io, *map(_figure, self.series), *self.limits]

    def draw(self, path: Path) -> None:
        with plot.picture(path, [5, 5], self.series, SIDES) as (left, right):
            plot.cost_bars(left, self._beside_peer(), SIDES, _short)
            left.set_title("A frame of 64 bytes: ns over testpmd in io mode", loc="left")
            left.set_xlabel("routes")
            own = [figure for figure in self.limits if figure.baseline_name == LIMIT]
            plot.limits(right, own, "dpdk.")

    @property
    def drawable(self) -> bool:
        return bool(self._beside_peer() and self.limits)

    def _beside_peer(self) -> list[Series]:
        return [series for series in self.series if PEER in series.results]


def measure(rounds: int, note: Note, *, bare: bool = False) -> Outcome:
    """All figures of the group; there is nothing that could be left out for `bare`."""
    del bare
    parts = Group(Outcome(), rounds, note)
    for case in CASES:
        parts.attempt(partial(parts.replayed, case))
    parts.attempt(lambda: parts.outcome.limits.extend(kernel.measure(rounds, note)))
    for limits in (resting.measure, blind.measure, mirror.measure, transfer.measure):
        parts.attempt(partial(parts.limited, limits))
    return parts.outcome


class Group(ReplayGroup[Outcome]):
    def replayed(self, case: Case) -> None:
        with self._contenders(case) as contenders:
            runs = {contender.label: contender.run for contender in contenders}
            series = in_turn(case, runs, self._rounds, self._note)
        self.outcome.series.append(series)
        (ours,) = costs(series, BASELINE, OURS)
        name = f"{case.name}.limit"
        self.outcome.limits.append(Figure(name, ours, "ns", LIMIT, case.limit_ns))

    def limited(self, measured: Callable[[Note], Iterable[Figure]]) -> None:
        """Figures that have limits and no alternative."""
        self.outcome.limits += measured(self._note)

    @contextmanager
    def _contenders(self, case: Case) -> Iterator[list[Forwarder]]:
        """All of them stand at the same time."""
        table = case.make_table()
        with ExitStack() as stack, replayed(case.name, partial(_written, case, table)) as replay:
            stack.enter_context(Hugepages(case.pages))
            ours = OurRouter(
                OURS, replay, table, options_for(table, case.flows, case.memory_mb, case.groups)
            )
            contenders: list[Forwarder] = [
                stack.enter_context(IoForwarding(BASELINE, replay)),
                stack.enter_context(ours),
            ]
            self._note(f"{case.name}: {described(case, table)}; {ours.memory()}")
            make = partial(GroutRouter, PEER, replay, table)
            self.beside_grout(case.name, contenders, make, stack)
            yield contenders


def _written(case: Case, table: Table, pcap: Path) -> int:
    frames.write_pcap(pcap, table.family, table.destinations(case.flows))
    return case.flows


def described(case: Case, table: Table) -> str:
    lengths = table.lengths()
    shares = ", ".join(
        f"/{length} {count / len(table.routes):.0%}"
        for length, count in sorted(lengths.items(), key=lambda item: -item[1])[:4]
    )
    return f"{len(table.routes):,} routes ({shares}), {case.flows:,} flows"


def profiled(note: Note, *, bare: bool = False) -> Iterator[str]:
    """Where the time goes, as one table for each case."""
    del bare, note
    for case in CASES:
        table = case.make_table()
        with replayed(case.name, partial(_written, case, table)) as replay, Hugepages(case.pages):
            ours = OurRouter(
                OURS, replay, table, options_for(table, case.flows, case.memory_mb, case.groups)
            )
            with IoForwarding(BASELINE, replay) as baseline, ours:
                yield nodes.profile(case.name, baseline, ours)


def _figure(series: Series) -> Figure:
    """Beside grout, or where it could not be measured beside the limit."""
    name = series.case.name
    if PEER not in series.results:
        (ours,) = costs(series, BASELINE, OURS)
        limit = next(case.limit_ns for case in CASES if case.name == name)
        return Figure(name, ours, "ns", "limit (no grout)", limit)
    ours, peer = costs(series, BASELINE, OURS, PEER)
    return Figure(name, ours, "ns", PEER, peer)


def _short(name: str) -> str:
    _, family, size = name.split(".")
    return f"{'IPv4' if family == 'ip4' else 'IPv6'}\n{size.replace('k', ' k')}"
