# SPDX-License-Identifier: GPL-2.0-or-later
"""Figures: build/bench.json for programs, a table for people."""

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

HEADINGS = ("figure", "ours", "unit", "compared with", "its figure", "ahead")


@dataclass(frozen=True)
class Figure:
    """One measured value beside what it is compared with: the alternative, or a limit."""

    name: str
    value: float
    unit: str
    baseline_name: str
    baseline_value: float
    better: Literal["lower", "higher"] = "lower"

    @property
    def ratio(self) -> float:
        """Above 1: ahead of the baseline."""
        if self.better == "lower":
            return self.baseline_value / self.value
        return self.value / self.baseline_value

    def to_json(self) -> dict[str, object]:
        return {
            "name": self.name,
            "value": round(self.value, 3),
            "unit": self.unit,
            "better": self.better,
            "baseline": {"name": self.baseline_name, "value": round(self.baseline_value, 3)},
            "ratio": round(self.ratio, 3),
        }


@dataclass(frozen=True)
class Results:
    """Of one group."""

    figures: list[Figure]
    failures: list[str]
    pictures: list[Path]


def write_json(path: Path, figures: Iterable[Figure]) -> None:
    path.write_text(json.dumps([figure.to_json() for figure in figures], indent=2) + "\n")


def table(figures: Iterable[Figure]) -> str:
    rows = [HEADINGS] + [
        (
            figure.name,
            number(figure.value),
            figure.unit,
            figure.baseline_name,
            number(figure.baseline_value),
            f"{figure.ratio:.2f} x",
        )
        for figure in figures
    ]
    return aligned(rows, right=(1, 4, 5))


def number(value: float) -> str:
    """Three significant digits or more, thousands grouped."""
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def aligned(rows: Sequence[Sequence[str]], right: Sequence[int]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    lines.insert(1, "-" * max(map(len, lines)))
    return "\n".join(lines)


def progress(text: str) -> None:
    """On one line of a terminal; nothing in a log."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
