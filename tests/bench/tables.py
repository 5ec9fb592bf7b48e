# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tables themselves cost: memory, a scan that finds nothing, ending every session."""

import time
from statistics import median

from tests.bench import cases
from tests.bench.contenders import Contender, HybridGateway, Nftables, Setup
from tests.bench.generator import Traffic
from tests.bench.instance import Scan
from tests.bench.measure import MeasurementError
from tests.bench.path import MILLION
from tests.bench.report import Figure, progress
from tests.bench.resident import DEFAULT_SESSIONS

SCANS = 5
REMOVALS = 3
# The limits that the gateway has set itself.
DEFAULT_LIMIT_MB, LARGE_LIMIT_MB = 24.0, 360.0
SCAN_LIMIT_MS, SLICE_LIMIT_MS = 40.0, 1.0


def measure_default_size(bare: bool) -> list[Figure]:
    """Maps with as many sessions as there is room for by default."""
    progress("nat44.maps.64k")
    setup = Setup(sessions=DEFAULT_SESSIONS)
    with HybridGateway("default", setup, bare=bare) as ours:
        _fill(ours, Traffic(DEFAULT_SESSIONS, cases.flows(7)))
        size = ours.maps().megabytes()
    return [Figure("nat44.maps.64k", size, "MB", "limit", DEFAULT_LIMIT_MB)]


def measure_large(ours: HybridGateway, nftables: Nftables) -> list[Figure]:
    """Of instances that have just been through the case of a million sessions."""
    size = ours.maps().megabytes()
    return [
        Figure("nat44.maps.1m", size, "MB", "limit", LARGE_LIMIT_MB),
        *_scans(ours),
        *_removals(ours, nftables),
    ]


def _fill(contender: Contender, traffic: Traffic) -> None:
    """Afterwards there is a session for each of these frames, and no other."""
    contender.forget()
    before = contender.evidence()
    result = contender.generator.send(traffic)
    opened = contender.evidence().since(before).opened
    if result.lost or opened != traffic.total:
        raise MeasurementError(f"{contender.label}: {opened} of {traffic.total} sessions opened")


def _scans(ours: HybridGateway) -> list[Figure]:
    """After as many frames each: a scan that follows another finds the caches filled for it."""
    scans = []
    for number in range(SCANS):
        progress(f"nat44.expire.1m: {number + 1} of {SCANS}")
        ours.generator.send(cases.LARGE_HIT.sent)
        scans.append(ours.maps().scan())
        if scans[-1].removed or scans[-1].looked < MILLION:
            raise MeasurementError(f"{scans[-1].removed} of {scans[-1].looked} sessions removed")
    return _figures("nat44.expire.1m", scans, "limit", SCAN_LIMIT_MS)


def _removals(ours: HybridGateway, nftables: Nftables) -> list[Figure]:
    """Ending live sessions runs the same code as ending expired ones, at a time that we choose."""
    scans, flushes = [], []
    everything = cases.known(cases.LARGE_FLOWS)
    for number in range(REMOVALS):
        progress(f"nat44.removal.1m: {number + 1} of {REMOVALS}")
        for contender in (ours, nftables):
            _fill(contender, everything)
        scans.append(ours.maps().scan(end_all=True))
        if scans[-1].removed != everything.total:
            raise MeasurementError(f"{scans[-1].removed} of {everything.total} sessions ended")
        began = time.monotonic()
        nftables.forget()
        flushes.append((time.monotonic() - began) * 1e3 * MILLION / everything.total)
    return _figures("nat44.removal.1m", scans, "conntrack -F", median(flushes))


def _figures(name: str, scans: list[Scan], compared: str, with_ms: float) -> list[Figure]:
    """A million sessions, and the slice that holds its core longest."""
    total = median(scan.ns / scan.looked for scan in scans) * MILLION / 1e6
    longest = median(scan.longest_ns for scan in scans) / 1e6
    return [
        Figure(name, total, "ms", compared, with_ms),
        Figure(f"{name}.slice", longest, "ms", "limit", SLICE_LIMIT_MS),
    ]
