# SPDX-License-Identifier: GPL-2.0-or-later
"""The group vxlan: what a VTEP costs, against the kernel's own device and its own limits."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from statistics import median

from tests.bench.measure import Case, MeasurementError, Note, Series, alternate
from tests.bench.nat44 import REFERENCE_REDIRECT_NS
from tests.bench.profile import profile
from tests.bench.report import Figure
from tests.bench.vxlan import cases, mirror
from tests.bench.vxlan.contenders import (
    BridgedBaseline,
    GatewayVxlan,
    KernelVxlan,
    TunnelContender,
)
from tests.bench.vxlan.path import TunnelSetup
from tests.bench.vxlan.transfer import check_transfer

BASELINE, PEER, OURS = "redirect", "kernel", "gateway"
NAMES = {cases.WHOLE.name: "kernel VXLAN, jumbo"}
LIMITS_NS = {"v4": 120.0, "v6": 170.0}
"""Where a bare redirect takes REFERENCE_REDIRECT_NS."""
TIMES_CHEAPER = 4.0
TIMES_THE_KERNEL = 2.5
"""At most: a frame that is cut, to one that the kernel sends whole over a larger underlay."""


@dataclass
class Outcome:
    """What could be measured, and why the rest could not."""

    series: list[Series] = field(default_factory=list)
    limits: list[Figure] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    @property
    def figures(self) -> list[Figure]:
        return [*_redirect(self.series), *map(_figure, self.series), *self.limits]


def measure(rounds: int, note: Note, *, bare: bool = False) -> Outcome:
    """All figures of the group; with `bare` of the XDP plane alone, without an agent."""
    group = Group(rounds, note, bare)
    for setup, in_setup in cases.SMALL:
        group.beside_kernel(in_setup, setup, setup)
    group.beside_kernel([cases.WHOLE], cases.WHOLE_SETUP, cases.JUMBO_SETUP)
    group.whole_frames()
    group.attempt(lambda: check_transfer(note, bare=bare))
    group.attempt(lambda: group.outcome.limits.extend(mirror.measure(note, bare=bare)))
    return group.outcome


class Group:
    """One part after the other, each with paths of its own."""

    def __init__(self, rounds: int, note: Note, bare: bool) -> None:
        self.outcome = Outcome()
        self._rounds = rounds
        self._note = note
        self._bare = bare

    def beside_kernel(
        self, in_setup: Sequence[Case], ours: TunnelSetup, kernels: TunnelSetup
    ) -> None:
        """One case that fails leaves the others."""
        with ExitStack() as stack:
            contenders: tuple[TunnelContender, ...] = (
                stack.enter_context(BridgedBaseline(BASELINE, ours)),
                stack.enter_context(KernelVxlan(PEER, kernels)),
                stack.enter_context(GatewayVxlan(OURS, ours, bare=self._bare)),
            )
            for case in in_setup:
                self.attempt(partial(self._alternate, case, contenders))

    def whole_frames(self) -> None:
        """How many times what the kernel takes where nothing has to be cut."""
        for series in self.outcome.series:
            if series.case is cases.WHOLE:
                ours, peer = costs(series)
                name = f"{series.case.name}.times"
                figure = Figure(name, ours / peer, "x", "limit", TIMES_THE_KERNEL)
                self.outcome.limits.append(figure)

    def attempt(self, part: Callable[[], None]) -> None:
        try:
            part()
        except MeasurementError as error:
            self.outcome.failures.append(str(error))

    def _alternate(self, case: Case, contenders: Sequence[TunnelContender]) -> None:
        series = alternate(case, contenders, self._rounds, self._note)
        self.outcome.series.append(series)
        if case is not cases.WHOLE:
            self._note(_beside_limits(series))


def profiled(note: Note, *, bare: bool = False) -> Iterator[str]:
    """Where the time goes, as one table for each setup."""
    for setup, in_setup in cases.BY_SETUP:
        with GatewayVxlan(OURS, setup, bare=bare) as ours:
            yield profile(ours, in_setup, note)


def costs(series: Series) -> tuple[float, float]:
    """Of the gateway and of the kernel, ns a frame over the bare redirect."""
    ours, peer = (median(series.cost(label, BASELINE)) for label in (OURS, PEER))
    return ours, peer


def _redirect(all_series: Sequence[Series]) -> Iterator[Figure]:
    runs = [ns for series in all_series for ns in series.ns_per_frame(BASELINE)]
    if runs:
        yield Figure("vxlan.redirect", median(runs), "ns", "reference", REFERENCE_REDIRECT_NS)


def _figure(series: Series) -> Figure:
    ours, peer = costs(series)
    name = series.case.name
    return Figure(name, ours, "ns", NAMES.get(name, "kernel VXLAN"), peer)


def _beside_limits(series: Series) -> str:
    ours, peer = costs(series)
    reference = LIMITS_NS[series.case.name.split(".")[2]]
    # The quietest run tells what the machine can do.
    limit = reference * min(series.ns_per_frame(BASELINE)) / REFERENCE_REDIRECT_NS
    return (
        f"{series.case.name}: {ours:.0f} ns, at most {limit:.0f} on this machine; "
        f"{peer / ours:.1f} times cheaper than the kernel, at least {TIMES_CHEAPER:.0f}"
    )
