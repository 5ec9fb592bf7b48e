# SPDX-License-Identifier: GPL-2.0-or-later
"""The group vxlan: what a VTEP costs, against the kernel's own device and its own limits."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.bench import group, plot
from tests.bench.group import LIMIT, REFERENCE_REDIRECT_NS, costs, reference
from tests.bench.measure import Case, Note, Series, alternate
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
SIDES = plot.Sides(BASELINE, PEER, "the kernel's VXLAN device", OURS)
NAMES = {cases.WHOLE.name: "kernel VXLAN, jumbo"}
LIMITS_NS = {"v4": 120.0, "v6": 170.0}
"""Where a bare redirect takes REFERENCE_REDIRECT_NS."""
TIMES_CHEAPER = 4.0
TIMES_THE_KERNEL = 2.5
"""At most: a frame that is cut, to one that the kernel sends whole over a larger underlay."""


@dataclass
class Outcome(group.Outcome):
    @property
    def figures(self) -> list[Figure]:
        redirect = reference("vxlan.redirect", self.series, BASELINE, REFERENCE_REDIRECT_NS)
        return [*redirect, *map(_figure, self.series), *self.limits]

    def draw(self, path: Path) -> None:
        with plot.picture(path, [6, 4], self.series, SIDES) as (left, right):
            plot.cost_bars(left, self.series, SIDES, _short)
            left.set_title("A frame: ns over a bare redirect", loc="left")
            left.set_xlabel("underlay and bytes; 1500 are cut for XDP, and whole for the kernel")
            plot.limits(right, self.limits, "vxlan.")


def measure(rounds: int, note: Note, *, bare: bool = False) -> Outcome:
    """All figures of the group; with `bare` of the XDP plane alone, without an agent."""
    parts = Group(rounds, note, bare)
    for setup, in_setup in cases.SMALL:
        parts.beside_kernel(in_setup, setup, setup)
    parts.beside_kernel([cases.WHOLE], cases.WHOLE_SETUP, cases.JUMBO_SETUP)
    parts.whole_frames()
    parts.attempt(lambda: check_transfer(note, bare=bare))
    parts.attempt(lambda: parts.outcome.limits.extend(mirror.measure(note, bare=bare)))
    return parts.outcome


class Group(group.Group[Outcome]):
    def __init__(self, rounds: int, note: Note, bare: bool) -> None:
        super().__init__(Outcome(), rounds, note)
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
                ours, peer = costs(series, BASELINE, OURS, PEER)
                name = f"{series.case.name}.times"
                figure = Figure(name, ours / peer, "x", LIMIT, TIMES_THE_KERNEL)
                self.outcome.limits.append(figure)

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


def _short(name: str) -> str:
    _, way, *what = name.split(".")
    return f"{way}\n{', '.join(what)}"


def _figure(series: Series) -> Figure:
    ours, peer = costs(series, BASELINE, OURS, PEER)
    name = series.case.name
    return Figure(name, ours, "ns", NAMES.get(name, "kernel VXLAN"), peer)


def _beside_limits(series: Series) -> str:
    ours, peer = costs(series, BASELINE, OURS, PEER)
    reference = LIMITS_NS[series.case.name.split(".")[2]]
    # The quietest run tells what the machine can do.
    limit = reference * min(series.ns_per_frame(BASELINE)) / REFERENCE_REDIRECT_NS
    return (
        f"{series.case.name}: {ours:.0f} ns, at most {limit:.0f} on this machine; "
        f"{peer / ours:.1f} times cheaper than the kernel, at least {TIMES_CHEAPER:.0f}"
    )
