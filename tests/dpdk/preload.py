# SPDX-License-Identifier: GPL-2.0-or-later
"""Workers with a library of a test's own in front of DPDK's."""

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.dpdk import harness


def compiled(source: Path, directory: Path) -> Path:
    made = directory / f"{source.stem}.so"
    asked = ["pkg-config", "--cflags", "--libs", "libdpdk"]
    flags = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split()
    argv = ["cc", "-O2", "-shared", "-fPIC", "-o", str(made), str(source), *flags]
    subprocess.run(argv, check=True)
    return made


@contextmanager
def preloaded(source: Path, directory: Path) -> Iterator[None]:
    """Each worker of a bench that is made meanwhile; `directory` has the library of the C file."""
    library = compiled(source, directory)

    class Preloaded(harness.BenchWorker):
        def argv(self) -> Sequence[str]:
            return ["env", f"LD_PRELOAD={library}", *super().argv()]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(harness, "BenchWorker", Preloaded)
        yield
