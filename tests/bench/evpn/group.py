# SPDX-License-Identifier: GPL-2.0-or-later
"""The group evpn: VXLAN by the worker, beside grout, the kernel's device, and its own limits."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

from tests.bench import group, plot
from tests.bench.dpdk import nodes
from tests.bench.dpdk.beside import ReplayGroup, replayed
from tests.bench.dpdk.group import REFERENCE_IO_NS
from tests.bench.dpdk.hugepages import Hugepages
from tests.bench.dpdk.replay import Forwarder
from tests.bench.dpdk.testpmd import IoForwarding
from tests.bench.evpn import cases, exchange, frames, kernel
from tests.bench.evpn.cases import CASES, Case
from tests.bench.evpn.grout import GroutTunnels
from tests.bench.evpn.ours import OurTunnels
from tests.bench.group import LIMIT, costs, reference
from tests.bench.measure import Note, Series, in_turn
from tests.bench.report import Figure

BASELINE, PEER, OURS = "testpmd", "grout", "worker"
SIDES = plot.Sides(BASELINE, PEER, "grout", OURS, "hybrid gateway (DPDK worker)")
PAGES = 800
"""Hugepages, for all contenders."""


@dataclass
class Outcome(group.Outcome):
    @property
    def figures(self) -> list[Figure]:
        small = [series for series in self.series if series.case in cases.SMALL]
        io = reference("evpn.io", small, BASELINE, REFERENCE_IO_NS)
        return [*io, *map(_figure, self._beside_peer()), *self.limits]

    def draw(self, path: Path) -> None:
        with plot.picture(path, [5, 5], self.series, SIDES) as (left, right):
            plot.cost_bars(left, self._beside_peer(), SIDES, _short)
            left.set_title("An inner frame: ns over testpmd in io mode", loc="left")
            left.set_xlabel("way, underlay, bytes of the inner frame")
            plot.limits(right, self.limits, "evpn.")

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
    parts.attempt(parts.beside_kernel)
    parts.attempt(lambda: parts.outcome.limits.extend(exchange.measure(note)))
    return parts.outcome


class Group(ReplayGroup[Outcome]):
    def replayed(self, case: Case) -> None:
        with self._contenders(case) as contenders:
            runs = {contender.label: contender.run for contender in contenders}
            series = in_turn(case, runs, self._rounds, self._note)
        self.outcome.series.append(series)
        if case.limit_ns is not None:
            name, found = f"{case.name}.limit", cost(series, case)
            self.outcome.limits.append(Figure(name, found, "ns", LIMIT, case.limit_ns))

    def beside_kernel(self) -> None:
        """How many times cheaper than the kernel's device, each over its own way in and out."""
        by_name = {series.case.name: cost(series, of(series)) for series in self.outcome.series}
        for name, kernels, times in kernel.measure(self._rounds, self._note):
            if ours := by_name.get(name):
                figure = Figure(f"{name}.times", kernels / ours, "x", LIMIT, times, "higher")
                self.outcome.limits.append(figure)
                self._note(f"{name}: {ours:.0f} ns, the kernel's VXLAN device {kernels:.0f} ns")

    @contextmanager
    def _contenders(self, case: Case) -> Iterator[Sequence[Forwarder]]:
        """Beside grout where there is one, and where it does the same: it does not cut."""
        with ExitStack() as stack, replayed(case.name, partial(_written, case)) as replay:
            stack.enter_context(Hugepages(PAGES))
            contenders: list[Forwarder] = [
                stack.enter_context(IoForwarding(BASELINE, replay)),
                stack.enter_context(OurTunnels(OURS, replay, case)),
            ]
            if case in cases.BESIDE:
                make = partial(GroutTunnels, PEER, replay, case)
                self.beside_grout(case.name, contenders, make, stack)
            yield contenders


def _written(case: Case, pcap: Path) -> int:
    return frames.write(pcap, case.frames())


def cost(series: Series, case: Case) -> float:
    """Of one inner frame, ns over what testpmd takes for what arrives of it."""
    taken = zip(series.ns_per_frame(OURS), series.ns_per_frame(BASELINE), strict=True)
    return median(ours - case.pieces * io for ours, io in taken)


def of(series: Series) -> Case:
    return next(case for case in CASES if case.name == series.case.name)


def profiled(note: Note, *, bare: bool = False) -> Iterator[str]:
    """Where the time goes, as one table for each case."""
    del bare, note
    for case in CASES:
        with (
            replayed(case.name, partial(_written, case)) as replay,
            Hugepages(PAGES),
            IoForwarding(BASELINE, replay) as baseline,
            OurTunnels(OURS, replay, case) as ours,
        ):
            yield nodes.profile(case.name, baseline, ours)


def _figure(series: Series) -> Figure:
    ours, peer = costs(series, BASELINE, OURS, PEER)
    return Figure(series.case.name, ours, "ns", PEER, peer)


def _short(name: str) -> str:
    _, way, family, size = name.split(".")
    return f"{way}\nIPv{family[1:]}\n{size}"
