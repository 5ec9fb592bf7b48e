# SPDX-License-Identifier: GPL-2.0-or-later
"""One picture of a run: what a hit costs, and how many sessions and mappings a second."""

from pathlib import Path
from statistics import median
from typing import Any

import matplotlib

from tests.bench.measure import Series
from tests.bench.nat44 import BASELINE, OURS, PEER, Outcome

matplotlib.use("Agg")
from matplotlib import pyplot

COLOURS = {PEER: "#b8bfc7", OURS: "#1f6fb4"}
TITLES = {PEER: "nftables masquerade", OURS: "hybrid gateway (XDP)"}
DOT = "#22272e"
BAR = 0.38
CEILING = 1.4
"""Of the highest median: a run beyond is drawn there, so that it does not flatten the others."""


def draw(outcome: Outcome, path: Path) -> None:
    pyplot.rcParams.update({"font.size": 10, "svg.fonttype": "none", "svg.hashsalt": "bench"})
    figure, (left, right) = pyplot.subplots(
        1, 2, figsize=(10.5, 4.6), gridspec_kw={"width_ratios": [3, 2]}
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
    _bars(right, outcome.openings, rates, "{:.2f}")
    right.set_title("Opened a second, millions", loc="left")
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=2, frameon=False)
    rounds = len(outcome.hits[0].results[OURS])
    figure.text(
        0.99, 0.015, f"one core; bars: medians of {rounds} runs, dots: runs", ha="right", size=8
    )
    figure.tight_layout(rect=(0, 0.06, 1, 1))
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def _name(series: Series) -> str:
    short = series.case.name.rpartition(".")[2]
    return {"new": "sessions", "mapping": "mappings"}.get(short, short.replace("k", " k"))


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
    axes.tick_params(length=0)
    axes.grid(axis="y", color="#e3e6ea")
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
