# SPDX-License-Identifier: GPL-2.0-or-later
"""Workers for tests: one for a module, or one for a test that ends it."""

from collections.abc import Iterator

import pytest

from tests.dpdk.harness import Bench


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    """Started, without ports; a module makes those that it needs in a fixture of its own."""
    with Bench.running("wk") as made:
        yield made


@pytest.fixture
def own_bench() -> Iterator[Bench]:
    """For a test that kills its worker, or leaves it changed."""
    with Bench.running("wo") as made:
        yield made
