# SPDX-License-Identifier: GPL-2.0-or-later
"""A worker on cables, as tests have it, with the memory that it has by default."""

from collections.abc import Iterator
from contextlib import contextmanager

from hybrid_gateway.errors import GwError
from hybrid_gateway.worker_client import WorkerOptions
from tests.bench.dpdk.hugepages import SIZE_KB, Hugepages
from tests.bench.generator import CPU
from tests.bench.measure import MeasurementError
from tests.dpdk.harness import Bench as Bench

MEMORY_MB = 256
"""The default."""


def options(cpu: int = CPU) -> WorkerOptions:
    return WorkerOptions(cores=(cpu,), memory_mb=MEMORY_MB, no_pci=True)


@contextmanager
def box(name: str, cpu: int = CPU) -> Iterator[Bench]:
    """MeasurementError for whatever goes wrong with the worker."""
    try:
        with Hugepages(MEMORY_MB * 1024 // SIZE_KB), Bench.running(name, options(cpu)) as bench:
            yield bench
    except (GwError, AssertionError) as error:
        raise MeasurementError(f"{name}: {error}") from error
