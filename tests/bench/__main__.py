# SPDX-License-Identifier: GPL-2.0-or-later
"""Measures, prints a table, writes build/bench.json and draws build/bench-GROUP.svg."""

import argparse
import os
import sys
from collections.abc import Iterable
from typing import Protocol

from tests.bench import nat44, report
from tests.bench.dpdk import group as dpdk
from tests.bench.evpn import group as evpn
from tests.bench.group import Outcome
from tests.bench.measure import Note
from tests.bench.path import ROOT
from tests.bench.vxlan import group as vxlan

ROUNDS = 9


class Measures(Protocol):
    """A group's module."""

    def measure(self, rounds: int, note: Note, *, bare: bool = False) -> Outcome: ...
    def profiled(self, note: Note, *, bare: bool = False) -> Iterable[str]:
        """Where the time goes, as tables."""


GROUPS: dict[str, Measures] = {"nat44": nat44, "vxlan": vxlan, "dpdk": dpdk, "evpn": evpn}


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
    parser.add_argument("--profile", action="store_true", help="only: time by program or node")
    return parser.parse_args()


def measured(group: str, rounds: int, notes: list[str], *, bare: bool) -> report.Results:
    """One group, drawn as well."""
    picture = ROOT / f"build/bench-{group}.svg"
    outcome = GROUPS[group].measure(rounds, notes.append, bare=bare)
    if outcome.drawable:
        outcome.draw(picture)
    return report.Results(outcome.figures, outcome.failures, [picture] if outcome.drawable else [])


def profile(groups: Iterable[str], notes: list[str], *, bare: bool) -> None:
    for group in groups:
        for table in GROUPS[group].profiled(notes.append, bare=bare):
            print(table, end="\n\n")


def main() -> int:
    chosen = arguments()
    if os.geteuid():
        print("the benchmark makes network namespaces: run it as root", file=sys.stderr)
        return 1
    notes: list[str] = []
    groups = [chosen.group] if chosen.group else list(GROUPS)
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
