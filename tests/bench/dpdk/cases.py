# SPDX-License-Identifier: GPL-2.0-or-later
"""The cases whose frames are replayed: tables, flows, memory, and what they must reach."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from tests.bench.dpdk import tables
from tests.bench.dpdk.tables import Table

MANY_FLOWS = 16384
"""Each with a destination of its own: their entries are more than a core's first caches hold."""
REAL4, REAL6 = 500_000, 250_000


@dataclass(frozen=True)
class Case:
    name: str
    make_table: Callable[[], Table]
    flows: int  # frames in the file, each of another flow
    limit_ns: float  # over testpmd
    memory_mb: int  # of hugepages that the worker may take
    groups: int = 0  # of rte_fib6's last levels; 0: the worker's guess
    pages: int = 800  # hugepages, for all contenders


CASES = (
    Case("dpdk.ip4.1k", partial(tables.small, 4), 1000, 50.0, 256),
    Case("dpdk.ip6.1k", partial(tables.small, 6), 1000, 60.0, 256),
    Case(
        "dpdk.ip4.500k",
        partial(tables.real, 4, REAL4),
        MANY_FLOWS,
        100.0,
        memory_mb=448,
        pages=1150,
    ),
    # grout takes four groups of 2 kB for each IPv6 route.
    Case(
        "dpdk.ip6.250k",
        partial(tables.real, 6, REAL6),
        MANY_FLOWS,
        100.0,
        memory_mb=640,
        groups=300_000,
        pages=2000,
    ),
)
