# SPDX-License-Identifier: GPL-2.0-or-later
"""What the steps have in common: what was written last, and what the owner should know of it."""

from dataclasses import replace
from typing import Any

from ..model import Written


class Record:
    """`written` is what was done last into places that cannot be read back."""

    def __init__(self) -> None:
        self.written = Written()
        self.notes: list[str] = []

    def write(self, **what: Any) -> None:
        self.written = replace(self.written, **what)
