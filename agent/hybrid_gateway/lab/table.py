# SPDX-License-Identifier: GPL-2.0-or-later
"""A table for a terminal whose rows are printed one by one, with cells of several lines."""

import shutil
import textwrap
from collections.abc import Sequence
from itertools import zip_longest

NARROWEST, WIDEST = 72, 100


class Table:
    """Columns share the terminal's width by weight. A no-break space in a cell is one."""

    def __init__(self, columns: Sequence[tuple[str, int]]) -> None:
        terminal = shutil.get_terminal_size((WIDEST, 24)).columns
        self.width = max(NARROWEST, min(WIDEST, terminal))
        room = self.width - 2 * (len(columns) - 1)
        total = sum(weight for _, weight in columns)
        self._widths = [room * weight // total for _, weight in columns]
        self._titles = [title for title, _ in columns]

    def head(self) -> str:
        return f"{self.row(self._titles)}\n{self.row(['-' * width for width in self._widths])}"

    def row(self, cells: Sequence[str]) -> str:
        """The cells side by side, wrapped each within its own column."""
        wrapped = [
            textwrap.wrap(cell, width) for cell, width in zip(cells, self._widths, strict=True)
        ]
        lines = [
            "  ".join(
                part.ljust(width) for part, width in zip(parts, self._widths, strict=True)
            ).rstrip()
            for parts in zip_longest(*wrapped, fillvalue="")
        ]
        return "\n".join(lines).replace("\N{NO-BREAK SPACE}", " ")
