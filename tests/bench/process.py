# SPDX-License-Identifier: GPL-2.0-or-later
"""What a process takes of the machine."""

import time
from pathlib import Path


def resident_megabytes(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def busy_percent(pid: int, seconds: float) -> float:
    """Of one core, by all threads, from now on for so long."""
    began, before = time.monotonic(), _ran_ns(pid)
    time.sleep(seconds)
    return (_ran_ns(pid) - before) / 1e9 / (time.monotonic() - began) * 100


def _ran_ns(pid: int) -> int:
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[0]) for thread in threads)
