# SPDX-License-Identifier: GPL-2.0-or-later
"""One picture of a group: what frames cost beside the alternative, and the limits."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib

from tests.bench.measure import Series
from tests.bench.report import Figure, number

matplotlib.use("Agg")
from matplotlib import pyplot

PEER_COLOUR, OUR_COLOUR = "#b8bfc7", "#1f6fb4"
DOT = "#22272e"
MISSED = "#c4442f"
BAR = 0.38
CEILING = 1.4
"""Of the highest median: a run beyond is drawn there, so that it does not flatten the others."""
BEYOND = 1.3
"""Times its limit: what takes more is drawn there."""

Names = Callable[[str], str]
"""What stands below the bars of a case; lines are separated."""


@dataclass(frozen=True)
class Sides:
    """Whom a picture compares: the labels in series, and what the legend calls them."""

    baseline: str
    peer: str
    peer_title: str
    ours: str
    our_title: str = "hybrid gateway (XDP)"

    def named(self) -> Iterator[tuple[str, str, str]]:
        """Label, title and colour of each."""
        yield self.peer, self.peer_title, PEER_COLOUR
        yield self.ours, self.our_title, OUR_COLOUR


@contextmanager
def picture(
    path: Path, widths: list[int], all_series: Sequence[Series], sides: Sides
) -> Iterator[Any]:
    """Axes side by side, of which the first has bars; written at the end."""
    pyplot.rcParams.update({"font.size": 10, "svg.fonttype": "none", "svg.hashsalt": "bench"})
    ratios = {"width_ratios": widths}
    figure, axes = pyplot.subplots(1, len(widths), figsize=(15, 5), gridspec_kw=ratios)
    yield axes
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=2, frameon=False)
    rounds = sorted({len(series.results[sides.ours]) for series in all_series})
    figure.text(
        0.99,
        0.015,
        f"one core; bars: medians of {' or '.join(map(str, rounds))} runs, dots: runs",
        ha="right",
        size=8,
    )
    figure.tight_layout(rect=(0, 0.06, 1, 1))
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def cost_bars(axes: Any, all_series: Sequence[Series], sides: Sides, names: Names) -> None:
    """Nanoseconds a frame over the baseline."""
    values = [
        {label: series.cost(label, sides.baseline) for label, _, _ in sides.named()}
        for series in all_series
    ]
    _bars(axes, values, "{:.0f}", sides)
    _ticks(axes, all_series, names)


def rate_bars(axes: Any, all_series: Sequence[Series], sides: Sides, names: Names) -> None:
    """Millions a second."""
    values = [
        {label: [1e3 / ns for ns in series.ns_per_frame(label)] for label, _, _ in sides.named()}
        for series in all_series
    ]
    _bars(axes, values, "{:.2f}", sides)
    _ticks(axes, all_series, names)


def _runs(values: list[dict[str, list[float]]]) -> list[list[float]]:
    return [runs for by_label in values for runs in by_label.values()]


def _bars(axes: Any, values: list[dict[str, list[float]]], text: str, sides: Sides) -> None:
    ceiling = CEILING * max(map(median, _runs(values)))
    for shift, (label, title, colour) in zip((-BAR / 2, BAR / 2), sides.named(), strict=True):
        heights = [median(by_label[label]) for by_label in values]
        places = [place + shift for place in range(len(values))]
        bars = axes.bar(places, heights, BAR, color=colour, label=title)
        axes.bar_label(bars, [text.format(height) for height in heights], padding=6)
        for place, by_label in zip(places, values, strict=True):
            runs = [min(run, ceiling) for run in by_label[label]]
            beside = [place + BAR * 0.42] * len(runs)
            axes.scatter(beside, runs, s=7, color=DOT, alpha=0.55, zorder=3, lw=0)
    axes.set_ylim(0, min(ceiling, max(map(max, _runs(values)))) * 1.08)
    axes.grid(axis="y", color="#e3e6ea")
    _plain(axes)


def _ticks(axes: Any, all_series: Sequence[Series], names: Names) -> None:
    labels = [names(series.case.name) for series in all_series]
    axes.set_xticks(range(len(all_series)), labels)


def limits(axes: Any, figures: Sequence[Figure], prefix: str) -> None:
    """How much of its limit each takes; one that has to be reached is told the other way round."""
    figures = figures[::-1]
    shares = [1 / figure.ratio for figure in figures]
    colours = [OUR_COLOUR if share <= 1 else MISSED for share in shares]
    bars = axes.barh(range(len(figures)), [min(share, BEYOND) for share in shares], 0.6)
    for bar, colour in zip(bars, colours, strict=True):
        bar.set_color(colour)
    texts = [f"{number(figure.value)} {figure.unit}" for figure in figures]
    axes.bar_label(bars, texts, padding=4, size=9)
    axes.axvline(1, color=DOT, lw=1, ls=":")
    names = [
        figure.name.removeprefix(prefix) + " (at least)" * (figure.better == "higher")
        for figure in figures
    ]
    axes.set_yticks(range(len(figures)), names, size=9)
    axes.set_xlim(0, BEYOND * 1.25)
    axes.set_xticks([0, 0.5, 1], ["0", "half", "limit"])
    axes.set_title("What has a limit of its own", loc="left")
    axes.grid(axis="x", color="#e3e6ea")
    _plain(axes)


def _plain(axes: Any) -> None:
    axes.tick_params(length=0)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
