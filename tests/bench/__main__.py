# SPDX-License-Identifier: GPL-2.0-or-later
"""Measures, prints a table, writes build/bench.json and draws build/bench-GROUP.svg."""

import argparse
import os
import sys
from collections.abc import Sequence

from tests.bench import nat44, plot, report
from tests.bench.path import ROOT
from tests.bench.vxlan import group as vxlan

ROUNDS = 9
GROUPS = ("nat44", "vxlan")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python3 -m tests.bench", description=__doc__)
    parser.add_argument(
        "group",
        nargs="?",
        default=os.environ.get("GROUP") or None,
        choices=GROUPS,
        help="what is measured (default: everything)",
    )
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="alternating runs (default 9)")
    parser.add_argument("--bare", action="store_true", help="the XDP plane without the agent")
    parser.add_argument("--profile", action="store_true", help="only: time by BPF program")
    return parser.parse_args()


def measured(group: str, rounds: int, notes: list[str], *, bare: bool) -> report.Results:
    """One group, drawn as well."""
    picture = ROOT / f"build/bench-{group}.svg"
    if group == "nat44":
        hits = nat44.measure(rounds, notes.append, bare=bare)
        drawn = bool(hits.hits and hits.openings)
        if drawn:
            plot.draw_nat44(hits, picture)
        return report.Results(hits.figures, hits.failures, [picture] if drawn else [])
    frames = vxlan.measure(rounds, notes.append, bare=bare)
    drawn = bool(frames.series and frames.limits)
    if drawn:
        plot.draw_vxlan(frames, picture)
    return report.Results(frames.figures, frames.failures, [picture] if drawn else [])


def profile(groups: Sequence[str], notes: list[str], *, bare: bool) -> None:
    for group in groups:
        profiled = nat44.profiled if group == "nat44" else vxlan.profiled
        for table in profiled(notes.append, bare=bare):
            print(table, end="\n\n")


def main() -> int:
    chosen = arguments()
    if os.geteuid():
        print("the benchmark makes network namespaces: run it as root", file=sys.stderr)
        return 1
    notes: list[str] = []
    groups = [chosen.group] if chosen.group else GROUPS
    if chosen.profile:
        profile(groups, notes, bare=chosen.bare)
        return 0
    results = [measured(group, chosen.rounds, notes, bare=chosen.bare) for group in groups]
    figures = [figure for result in results for figure in result.figures]
    failures = [failure for result in results for failure in result.failures]
    report.progress("")
    print(report.table(figures))
    for note in notes:
        print(f"note: {note}")
    file = ROOT / "build/bench.json"
    report.write_json(file, figures)
    written = [file, *(picture for result in results for picture in result.pictures)]
    print(f"\nwritten: {', '.join(str(path.relative_to(ROOT)) for path in written)}")
    for failure in failures:
        print(f"failed: {failure}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
