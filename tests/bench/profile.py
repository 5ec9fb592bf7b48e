# SPDX-License-Identifier: GPL-2.0-or-later
"""`--profile`: how long the kernel says that each BPF program ran, case by case.

The clock that the kernel reads before and after each run costs about as much as a short program,
so these times tell programs and cases apart and are no figures of their own.
"""

import json
from collections.abc import Iterable
from contextlib import AbstractContextManager

from tests.bench.contenders import Contender
from tests.bench.measure import Case, Note, run_once
from tests.bench.path import run
from tests.bench.report import aligned, number

SWITCH = "kernel.bpf_stats_enabled"


class ProgramStatistics(AbstractContextManager["ProgramStatistics"]):
    """The kernel counts runs and time of every program inside this context."""

    def __enter__(self) -> "ProgramStatistics":
        self._before = run(["sysctl", "-n", SWITCH]).strip()
        run(["sysctl", "-qw", f"{SWITCH}=1"])
        return self

    def __exit__(self, *_: object) -> None:
        run(["sysctl", "-qw", f"{SWITCH}={self._before}"])

    def read(self) -> dict[tuple[str, int], tuple[int, int]]:
        """(program name, id) to (runs, nanoseconds)."""
        return {
            (program.get("name", "?"), program["id"]): (
                program.get("run_cnt", 0),
                program.get("run_time_ns", 0),
            )
            for program in json.loads(run(["bpftool", "--json", "prog", "show"]))
        }


def profile(contender: Contender, cases: Iterable[Case], note: Note) -> str:
    """One run of each case, as a table."""
    rows = [("case", "program", "runs", "ns a run")]
    with ProgramStatistics() as statistics:
        for case in cases:
            before = statistics.read()
            run_once(contender, case, note)
            for program, (runs, ns) in sorted(statistics.read().items()):
                earlier_runs, earlier_ns = before.get(program, (0, 0))
                # Whatever else runs on the machine is not asked for.
                if (count := runs - earlier_runs) >= case.sent.frames // 2:
                    average = (ns - earlier_ns) / count
                    rows.append((case.name, program[0], f"{count:,}", number(average)))
    return aligned(rows, right=(2, 3))
