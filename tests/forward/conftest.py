# SPDX-License-Identifier: GPL-2.0-or-later
"""What only the tests of this folder need; the running gateway is in fixtures.py."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from hybrid_gateway.lab import Lab, leftovers


@pytest.fixture(autouse=True)
def watched(leak_watch: None) -> None:
    """Every test here is under the watch."""


@pytest.fixture
def fresh_lab(tmp_path: Path) -> Iterator[Lab]:
    """A second lab beside that of the session, in which no agent has run yet."""
    built = Lab(f"d{os.getpid()}", tmp_path / "lab")
    with ExitStack() as stack:
        stack.callback(leftovers.remove, built)
        built.up()
        yield built


@pytest.fixture
def foreign_object(tmp_path: Path) -> Path:
    """Somebody else's XDP program, compiled."""
    compiled = tmp_path / "foreign.bpf.o"
    source = Path(__file__).with_name("foreign.bpf.c")
    multiarch = subprocess.check_output(["gcc", "-print-multiarch"], text=True).strip()
    command = ["clang", "-O2", "-g", "-target", "bpf", f"-I/usr/include/{multiarch}"]
    subprocess.run([*command, "-c", source, "-o", compiled], check=True)
    return compiled


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.forward)
