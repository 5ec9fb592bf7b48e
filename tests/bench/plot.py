# SPDX-License-Identifier: GPL-2.0-or-later
"""One picture of a group: what frames cost beside the alternative, and the limits."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib

from tests.bench import nat44
from tests.bench.measure import Series
from tests.bench.report import Figure, number
from tests.bench.vxlan import group as vxlan

matplotlib.use("Agg")
from matplotlib import pyplot

BASELINE, OURS = nat44.BASELINE, nat44.OURS
COLOURS = {nat44.PEER: "#b8bfc7", vxlan.PEER: "#b8bfc7", OURS: "#1f6fb4"}
TITLES = {
    nat44.PEER: "nftables masquerade",
    vxlan.PEER: "the kernel's VXLAN device",
    OURS: "hybrid gateway (XDP)",
}
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


def draw_nat44(outcome: nat44.Outcome, path: Path) -> None:
    with _picture(path, [4, 3, 3], outcome.hits + outcome.openings) as (left, middle, right):
        _costs(left, outcome.hits, nat44.PEER)
        left.set_title("An established flow: ns a frame over a bare redirect", loc="left")
        left.set_xlabel("flows")
        rates = [
            {label: [1e3 / ns for ns in series.ns_per_frame(label)] for label in (nat44.PEER, OURS)}
            for series in outcome.openings
        ]
        _bars(middle, outcome.openings, rates, "{:.2f}")
        middle.set_title("A second, millions", loc="left")
        _limits(right, [figure for figure in outcome.limits if figure.baseline_name == "limit"])


def draw_vxlan(outcome: vxlan.Outcome, path: Path) -> None:
    with _picture(path, [6, 4], outcome.series) as (left, right):
        _costs(left, outcome.series, vxlan.PEER)
        left.set_title("A frame: ns over a bare redirect", loc="left")
        left.set_xlabel("underlay and bytes; 1500 are cut for XDP, and whole for the kernel")
        _limits(right, outcome.limits)


@contextmanager
def _picture(path: Path, widths: list[int], all_series: Sequence[Series]) -> Iterator[Any]:
    """Axes side by side, of which the first has bars; written at the end."""
    pyplot.rcParams.update({"font.size": 10, "svg.fonttype": "none", "svg.hashsalt": "bench"})
    ratios = {"width_ratios": widths}
    figure, axes = pyplot.subplots(1, len(widths), figsize=(15, 5), gridspec_kw=ratios)
    yield axes
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=2, frameon=False)
    rounds = sorted({len(series.results[OURS]) for series in all_series})
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


def _costs(axes: Any, all_series: list[Series], peer: str) -> None:
    costs = [
        {label: series.cost(label, BASELINE) for label in (peer, OURS)} for series in all_series
    ]
    _bars(axes, all_series, costs, "{:.0f}")


def _name(series: Series) -> str:
    group, _, rest = series.case.name.partition(".")
    if group == "vxlan":
        way, _, what = rest.partition(".")
        return f"{way}\n{what.replace('.', ', ')}"
    short = rest.rpartition(".")[2]
    return NAMES.get(short, short.replace("k", " k"))


def _runs(values: list[dict[str, list[float]]]) -> list[list[float]]:
    return [runs for by_label in values for runs in by_label.values()]


def _bars(
    axes: Any, all_series: list[Series], values: list[dict[str, list[float]]], text: str
) -> None:
    ceiling = CEILING * max(map(median, _runs(values)))
    for shift, label in zip((-BAR / 2, BAR / 2), values[0], strict=True):
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
        figure.name.removeprefix("nat44.").removeprefix("vxlan.")
        + " (at least)" * (figure.better == "higher")
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
