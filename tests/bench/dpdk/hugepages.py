# SPDX-License-Identifier: GPL-2.0-or-later
"""Hugepages for a measurement: added where the machine has too few, and given back."""

from contextlib import AbstractContextManager
from pathlib import Path

from tests.bench.measure import MeasurementError

SIZE_KB = 2048
DIRECTORY = Path(f"/sys/kernel/mm/hugepages/hugepages-{SIZE_KB}kB")
COUNT = DIRECTORY / "nr_hugepages"
FREE = DIRECTORY / "free_hugepages"


def free_pages() -> int:
    return int(FREE.read_text())


class Hugepages(AbstractContextManager["Hugepages"]):
    """So many are free on entering the context."""

    def __init__(self, pages: int) -> None:
        self._wanted = pages
        self._added = 0

    def __enter__(self) -> "Hugepages":
        missing = self._wanted - free_pages()
        if missing > 0:
            before = int(COUNT.read_text())
            COUNT.write_text(str(before + missing))
            self._added = int(COUNT.read_text()) - before
        if (found := free_pages()) < self._wanted:
            self.__exit__()
            raise MeasurementError(f"{found} of {self._wanted} hugepages are free")
        return self

    def __exit__(self, *_: object) -> None:
        if self._added:
            COUNT.write_text(str(int(COUNT.read_text()) - self._added))
            self._added = 0
