# SPDX-License-Identifier: GPL-2.0-or-later
"""Measures, prints a table, writes build/bench.json and draws build/bench-GROUP.svg."""

import argparse
import os
import sys

from tests.bench import nat44, plot, report
from tests.bench.path import ROOT

ROUNDS = 9


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python3 -m tests.bench", description=__doc__)
    parser.add_argument(
        "group", nargs="?", default=os.environ.get("GROUP") or "nat44", choices=["nat44"]
    )
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="alternating runs (default 9)")
    parser.add_argument("--bare", action="store_true", help="the XDP plane without the agent")
    parser.add_argument("--profile", action="store_true", help="only: time by BPF program")
    return parser.parse_args()


def main() -> int:
    chosen = arguments()
    if os.geteuid():
        print("the benchmark makes network namespaces: run it as root", file=sys.stderr)
        return 1
    notes: list[str] = []
    if chosen.profile:
        for table in nat44.profiled(notes.append, bare=chosen.bare):
            print(table, end="\n\n")
        return 0
    outcome = nat44.measure(chosen.rounds, notes.append, bare=chosen.bare)
    report.progress("")
    print(report.table(outcome.figures))
    for note in notes:
        print(f"note: {note}")
    report.write_json(ROOT / "build/bench.json", outcome.figures)
    picture = ROOT / f"build/bench-{chosen.group}.svg"
    written = ["build/bench.json"]
    if outcome.hits and outcome.openings:
        plot.draw(outcome, picture)
        written.append(str(picture.relative_to(ROOT)))
    print(f"\nwritten: {', '.join(written)}")
    for failure in outcome.failures:
        print(f"failed: {failure}", file=sys.stderr)
    return 1 if outcome.failures else 0


if __name__ == "__main__":
    sys.exit(main())
