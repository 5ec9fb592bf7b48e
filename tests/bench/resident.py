# SPDX-License-Identifier: GPL-2.0-or-later
"""What the agent itself costs: time to start, memory, an idle second, an answer to its owner."""

import json
import time
from statistics import median

from tests.bench.contenders import HybridGateway
from tests.bench.gateway import Gateway, nat44
from tests.bench.generator import Traffic
from tests.bench.instance import peak_megabytes
from tests.bench.measure import MeasurementError
from tests.bench.path import MeasuredPath
from tests.bench.process import busy_percent, resident_megabytes
from tests.bench.report import Figure, progress

DEFAULT_SESSIONS = 65536
STARTS = 5
ANSWERS = 11
IDLE_SECONDS = 5.0
# The limits that the gateway has set itself; 0.5 % of a core is what rounds to none.
START_LIMIT_S, STATUS_LIMIT_MS, RSS_LIMIT_MB, IDLE_LIMIT_PERCENT = 1.0, 150.0, 60.0, 0.5
LISTING_LIMIT_S, LISTING_LIMIT_MB = 3.0, 100.0
LEAST_PERCENT = 0.01
LISTINGS = 3
LIST = ("show", "sessions", "--all", "--json")


def measure_running(gateway: Gateway) -> list[Figure]:
    """Of an agent that has just been through the other measurements."""
    progress("gwctl.status, agent.idle, agent.rss")
    answers = []
    for _ in range(ANSWERS):
        began = time.monotonic()
        gateway.gwctl("status")
        answers.append((time.monotonic() - began) * 1e3)
    percent = max(busy_percent(gateway.pid, IDLE_SECONDS), LEAST_PERCENT)
    return [
        Figure("gwctl.status", median(answers), "ms", "limit", STATUS_LIMIT_MS),
        Figure("agent.rss", resident_megabytes(gateway.pid), "MB", "limit", RSS_LIMIT_MB),
        Figure("agent.idle", percent, "%", "limit", IDLE_LIMIT_PERCENT),
    ]


def measure_listing(ours: HybridGateway, known: Traffic) -> list[Figure]:
    """All sessions for a program, of a gateway that has those of this traffic."""
    plane = ours.plane
    if not isinstance(plane, Gateway):
        return []
    progress("gwctl.sessions.100k")
    ours.forget()
    ours.generator.send(known)
    seconds = []
    for _ in range(LISTINGS):
        began = time.monotonic()
        answer = plane.gwctl(*LIST)
        seconds.append(time.monotonic() - began)
        if (found := len(json.loads(answer)["sessions"])) != known.total:
            raise MeasurementError(f"gwctl showed {found} of {known.total} sessions")
    peak = peak_megabytes(plane.command(*LIST))
    return [
        Figure("gwctl.sessions.100k", median(seconds), "s", "limit", LISTING_LIMIT_S),
        Figure("gwctl.sessions.100k.rss", peak, "MB", "limit", LISTING_LIMIT_MB),
    ]


def measure_start() -> Figure:
    """From exec to READY=1, each time with nothing of an earlier run left in the kernel."""
    seconds = []
    with MeasuredPath("start") as path:
        for number in range(STARTS):
            progress(f"agent.start: {number + 1} of {STARTS}")
            with Gateway(path.names.middle, nat44(DEFAULT_SESSIONS)) as gateway:
                seconds.append(gateway.start_seconds)
    return Figure("agent.start", median(seconds), "s", "limit", START_LIMIT_S)
