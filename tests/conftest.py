# SPDX-License-Identifier: GPL-2.0-or-later
"""Fixtures for every kind of test: the lab, the running gateway in it, and the data plane alone."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from hybrid_gateway.lab import Lab, leftovers

pytest_plugins = [
    "tests.bpf.fixtures",
    "tests.forward.fixtures",
    "tests.forward.fibre",
    "tests.forward.sites",
]


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A lab of this run's own; removed with all that it holds, also when building it fails."""
    directory: Path = tmp_path_factory.mktemp("lab")
    built = Lab(f"t{os.getpid()}", directory)
    with ExitStack() as stack:
        stack.callback(leftovers.remove, built)
        built.up()
        yield built
