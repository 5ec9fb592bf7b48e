# SPDX-License-Identifier: GPL-2.0-or-later
"""The group nat44: hits, new sessions and new mappings against nftables masquerade."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median

from tests.bench.contenders import BareRedirect, Contender, HybridGateway, Nftables
from tests.bench.gateway import Gateway
from tests.bench.generator import Flows
from tests.bench.measure import Case, MeasurementError, Note, Series, alternate
from tests.bench.profile import profile
from tests.bench.report import Figure
from tests.bench.resident import measure_running, measure_start

BASELINE, PEER, OURS = "redirect", "nftables", "gateway"

HIT_FRAMES = 2_000_000
# Fewer than both session tables hold, mappings included.
NEW_FRAMES = 240_000
# Two thirds of the ports of one address: finding a free one is part of the cost.
MAPPING_FRAMES = 20_000

ENDPOINTS = 10_000
PER_HOST = 40
ONE = Flows()
TEN_THOUSAND = Flows(endpoints=ENDPOINTS, ports_per_host=PER_HOST)
# One address has fewer ports than 100 k endpoint-independent mappings would need.
HUNDRED_THOUSAND = Flows(
    endpoints=ENDPOINTS, ports_per_host=PER_HOST, destinations=10, destination_step=ENDPOINTS
)
NEW = Flows(endpoints=ENDPOINTS, ports_per_host=PER_HOST, destinations=NEW_FRAMES)
ELSEWHERE = Flows(endpoints=ENDPOINTS, ports_per_host=PER_HOST, first_destination=1 << 20)
MAPPING = Flows(endpoints=MAPPING_FRAMES, ports_per_host=2 * PER_HOST)

HITS = (
    Case("nat44.hit.1", HIT_FRAMES, ONE, known=(64, ONE)),
    Case("nat44.hit.10k", HIT_FRAMES, TEN_THOUSAND, known=(ENDPOINTS, TEN_THOUSAND)),
    Case("nat44.hit.100k", HIT_FRAMES, HUNDRED_THOUSAND, known=(10 * ENDPOINTS, HUNDRED_THOUSAND)),
)
OPENINGS = (
    Case("nat44.new", NEW_FRAMES, NEW, known=(ENDPOINTS, ELSEWHERE), fresh=True),
    Case("nat44.mapping", MAPPING_FRAMES, MAPPING, fresh=True),
)
OPENING_UNITS = {"nat44.new": "sessions/s", "nat44.mapping": "mappings/s"}
REFERENCE_REDIRECT_NS = 94.0
"""On the machine on which limits in nanoseconds were set: another's figures scale by this."""


@dataclass(frozen=True)
class Outcome:
    """What could be measured, and why the rest could not."""

    figures: list[Figure]
    hits: list[Series]
    openings: list[Series]
    failures: list[str]


def measure(rounds: int, note: Note, *, bare: bool = False) -> Outcome:
    """All figures of the group; with `bare` of the XDP plane alone."""
    resident: list[Figure] = []
    with ExitStack() as stack:
        contenders: list[Contender] = [BareRedirect(BASELINE), Nftables(PEER)]
        ours = HybridGateway(OURS, bare=bare)
        contenders.append(ours)
        for contender in contenders:
            stack.enter_context(contender)
        failures: list[str] = []
        hits = list(_series(HITS, contenders, rounds, note, failures))
        openings = list(_series(OPENINGS, contenders[1:], rounds, note, failures))
        if isinstance(ours.plane, Gateway):
            resident = [*measure_running(ours.plane), measure_start()]
    figures = [*_redirect(hits), *map(_hit, hits), *map(_opening, openings), *resident]
    return Outcome(figures, hits, openings, failures)


def _series(
    cases: Iterable[Case],
    contenders: list[Contender],
    rounds: int,
    note: Note,
    failures: list[str],
) -> Iterator[Series]:
    """One figure that fails leaves the others."""
    for case in cases:
        try:
            yield alternate(case, contenders, rounds, note)
        except MeasurementError as error:
            failures.append(str(error))


def profiled(note: Note, *, bare: bool = False) -> str:
    """Where the time goes, as a table."""
    with HybridGateway(OURS, bare=bare) as ours:
        return profile(ours, (*HITS, *OPENINGS), note)


def _redirect(hits: list[Series]) -> Iterator[Figure]:
    runs = [ns for series in hits for ns in series.ns_per_frame(BASELINE)]
    if runs:
        yield Figure("redirect", median(runs), "ns", "reference", REFERENCE_REDIRECT_NS)


def _hit(series: Series) -> Figure:
    ours, peer = (median(series.cost(label, BASELINE)) for label in (OURS, PEER))
    return Figure(series.case.name, ours, "ns", PEER, peer)


def _opening(series: Series) -> Figure:
    unit = OPENING_UNITS[series.case.name]
    return Figure(
        series.case.name, series.rate(OURS), unit, PEER, series.rate(PEER), better="higher"
    )
