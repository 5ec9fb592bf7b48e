# SPDX-License-Identifier: GPL-2.0-or-later
"""One picture of a run: what a hit costs, what is opened and closed a second, and the limits."""

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib

from tests.bench.measure import Series
from tests.bench.nat44 import BASELINE, OURS, PEER, Outcome
from tests.bench.report import Figure, number

matplotlib.use("Agg")
from matplotlib import pyplot

COLOURS = {PEER: "#b8bfc7", OURS: "#1f6fb4"}
TITLES = {PEER: "nftables masquerade", OURS: "hybrid gateway (XDP)"}
DOT = "#22272e"
MISSED = "#c4442f"
BAR = 0.38
CEILING = 1.4
"""Of the highest median: a run beyond is drawn there, so that it does not flatten the others."""
BEYOND = 1.3
"""Times its limit: what takes more is drawn there."""
NAMES = {
    "new": "sessions\nopened",
    "mapping": "mappings\nopened",
    "teardown": "connections\nclosed",
    "1m": "1 M",
}


def draw(outcome: Outcome, path: Path) -> None:
    pyplot.rcParams.update({"font.size": 10, "svg.fonttype": "none", "svg.hashsalt": "bench"})
    figure, (left, middle, right) = pyplot.subplots(
        1, 3, figsize=(15, 5), gridspec_kw={"width_ratios": [4, 3, 3]}
    )
    costs = [
        {label: series.cost(label, BASELINE) for label in (PEER, OURS)} for series in outcome.hits
    ]
    _bars(left, outcome.hits, costs, "{:.0f}")
    left.set_title("An established flow: ns a frame over a bare redirect", loc="left")
    left.set_xlabel("flows")
    rates = [
        {label: [1e3 / ns for ns in series.ns_per_frame(label)] for label in (PEER, OURS)}
        for series in outcome.openings
    ]
    _bars(middle, outcome.openings, rates, "{:.2f}")
    middle.set_title("A second, millions", loc="left")
    _limits(right, [figure for figure in outcome.limits if figure.baseline_name == "limit"])
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=2, frameon=False)
    rounds = sorted({len(series.results[OURS]) for series in outcome.hits + outcome.openings})
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


def _name(series: Series) -> str:
    short = series.case.name.rpartition(".")[2]
    return NAMES.get(short, short.replace("k", " k"))


def _runs(values: list[dict[str, list[float]]]) -> list[list[float]]:
    return [runs for by_label in values for runs in by_label.values()]


def _bars(
    axes: Any, all_series: list[Series], values: list[dict[str, list[float]]], text: str
) -> None:
    ceiling = CEILING * max(map(median, _runs(values)))
    for shift, label in ((-BAR / 2, PEER), (BAR / 2, OURS)):
        heights = [median(by_label[label]) for by_label in values]
        places = [place + shift for place in range(len(values))]
        bars = axes.bar(places, heights, BAR, color=COLOURS[label], label=TITLES[label])
        axes.bar_label(bars, [text.format(height) for height in heights], padding=6)
        for place, by_label in zip(places, values, strict=True):
            runs = [min(run, ceiling) for run in by_label[label]]
            beside = [place + BAR * 0.42] * len(runs)
            axes.scatter(beside, runs, s=7, color=DOT, alpha=0.55, zorder=3, lw=0)
    axes.set_xticks(range(len(all_series)), [_name(series) for series in all_series])
    axes.set_ylim(0, min(ceiling, max(map(max, _runs(values)))) * 1.08)
    axes.grid(axis="y", color="#e3e6ea")
    _plain(axes)


def _limits(axes: Any, figures: Sequence[Figure]) -> None:
    """How much of its limit each takes; one that has to be reached is told the other way round."""
    figures = figures[::-1]
    shares = [1 / figure.ratio for figure in figures]
    colours = [COLOURS[OURS] if share <= 1 else MISSED for share in shares]
    bars = axes.barh(range(len(figures)), [min(share, BEYOND) for share in shares], 0.6)
    for bar, colour in zip(bars, colours, strict=True):
        bar.set_color(colour)
    texts = [f"{number(figure.value)} {figure.unit}" for figure in figures]
    axes.bar_label(bars, texts, padding=4, size=9)
    axes.axvline(1, color=DOT, lw=1, ls=":")
    names = [
        figure.name.removeprefix("nat44.") + " (at least)" * (figure.better == "higher")
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
