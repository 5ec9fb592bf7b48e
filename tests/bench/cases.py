# SPDX-License-Identifier: GPL-2.0-or-later
"""The cases of the group nat44, by the setup that they run in."""

from tests.bench.contenders import Setup
from tests.bench.generator import Exchange, Flows, Traffic
from tests.bench.measure import Case
from tests.bench.path import MILLION

HIT_FRAMES = 2_000_000
# Fewer than both session tables hold, mappings included.
NEW_FRAMES = 240_000
# Two thirds of the ports of one address: finding a free one is part of the cost.
MAPPING_FRAMES = 20_000

ENDPOINTS = 10_000
PER_HOST = 40


def flows(destinations: int = 1, step: int = ENDPOINTS, first: int = 0) -> Flows:
    """Ten thousand inside endpoints, each with so many destinations: one address has fewer ports
    than so many endpoint-independent mappings would need."""
    return Flows(ENDPOINTS, PER_HOST, destinations, step, first)


def known(flows: Flows, exchange: Exchange = Exchange.ONE_WAY) -> Traffic:
    """Every flow once."""
    return Traffic(flows.endpoints * flows.destinations, flows, exchange)


ONE = Flows()
ORDINARY = Setup()
HITS = (
    Case("nat44.hit.1", Traffic(HIT_FRAMES, ONE), Traffic(64, ONE)),
    Case("nat44.hit.10k", Traffic(HIT_FRAMES, flows()), known(flows())),
    Case("nat44.hit.100k", Traffic(HIT_FRAMES, flows(10)), known(flows(10))),
)
OPENINGS = (
    Case(
        "nat44.new",
        Traffic(NEW_FRAMES, flows(NEW_FRAMES, step=1)),
        known(flows(first=1 << 20)),
        fresh=True,
    ),
    Case(
        "nat44.mapping",
        Traffic(MAPPING_FRAMES, Flows(MAPPING_FRAMES, 2 * PER_HOST)),
        fresh=True,
    ),
)

# As many as fit: 101 is prime to the number of endpoints, so that a new destination with each frame
# comes to every flow, and to neighbours in no table.
LARGE = Setup(sessions=1 << 20)
LARGE_FLOWS = flows(101)
LARGE_HIT = Case("nat44.hit.1m", Traffic(HIT_FRAMES, flows(101, step=1)), known(LARGE_FLOWS))
assert MILLION <= LARGE_FLOWS.endpoints * LARGE_FLOWS.destinations < LARGE.sessions

TCP = Setup(protocol="tcp", hosts=ENDPOINTS // PER_HOST)
TEARDOWN = Case(
    "nat44.teardown",
    Traffic(20 * ENDPOINTS, flows(20), Exchange.TEARDOWN),
    known(flows(20), Exchange.HANDSHAKE),
    fresh=True,
)

TWO_CORES = Setup(cores=2)
ON_CORES = tuple(
    Case(
        f"nat44.hit.10k on {cores}",
        Traffic(HIT_FRAMES, flows(), cores=cores),
        known(flows(TWO_CORES.cores)),
    )
    for cores in (1, TWO_CORES.cores)
)

BY_SETUP = (
    (ORDINARY, (*HITS, *OPENINGS)),
    (LARGE, (LARGE_HIT,)),
    (TCP, (TEARDOWN,)),
    (TWO_CORES, ON_CORES),
)
