# SPDX-License-Identifier: GPL-2.0-or-later
"""Text for people: tables, units and times."""

import shutil
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Any

import click

GAP = "  "
_STATES = {
    "forwarding": "green",
    "running": "green",
    "failed": "red",
    "given back": "red",
    "absent": "red",
    "starting": "yellow",
    "synchronized": "green",
    "learning": "yellow",
    "connecting": "red",
    "stopped": "red",
}


class Table:
    """Aligned columns, block by block; those in `numbers` to the right.

    On a terminal that is too narrow the columns of `drop` are left out, the first ones first.
    """

    def __init__(
        self, head: Sequence[str], numbers: Sequence[int] = (), drop: Sequence[str] = ()
    ) -> None:
        self._head = list(head)
        self._numbers = frozenset(numbers)
        self._drop = drop
        self._widths = [len(name) for name in head]
        self._columns: list[int] | None = None

    def block(self, rows: Iterable[Sequence[Any]]) -> str:
        """The rows as lines, below the head when they are the first."""
        lines = [["-" if cell is None else str(cell) for cell in row] for row in rows]
        for line in lines:
            self._widths = [max(w, len(c)) for w, c in zip(self._widths, line, strict=True)]
        printed = []
        if self._columns is None:
            self._columns = self._fitting()
            printed.append(click.style(self._line(self._head), bold=True))
        printed += [self._line(line) for line in lines]
        return "\n".join(printed)

    def _fitting(self) -> list[int]:
        """The columns that there is room for; for a file or a pipe all of them."""
        columns = list(range(len(self._head)))
        if not sys.stdout.isatty():
            return columns
        room = shutil.get_terminal_size().columns
        for name in self._drop:
            if sum(self._widths[c] + len(GAP) for c in columns) - len(GAP) <= room:
                break
            columns.remove(self._head.index(name))
        return columns

    def _line(self, line: Sequence[str]) -> str:
        cells = [
            line[c].rjust(self._widths[c]) if c in self._numbers else line[c].ljust(self._widths[c])
            for c in self._columns or ()
        ]
        return GAP.join(cells).rstrip()


def table(head: Sequence[str], rows: Iterable[Sequence[Any]], numbers: Sequence[int] = ()) -> str:
    """A whole table. Empty when there are no rows."""
    lines = list(rows)
    return Table(head, numbers).block(lines) if lines else ""


def pairs(rows: Iterable[tuple[str, Any]]) -> str:
    """`name: value` lines, values aligned."""
    items = [(name, value) for name, value in rows if value is not None]
    width = max((len(name) for name, _ in items), default=0) + 1
    return "\n".join(f"{name + ':':<{width}} {value}" for name, value in items)


def paragraphs(*parts: str) -> str:
    """The parts that are not empty, with a blank line between them."""
    return "\n\n".join(part for part in parts if part)


def state(name: str) -> str:
    return click.style(name, fg=_STATES.get(name), bold=True)


def warnings(found: Iterable[Any]) -> str:
    """One line a warning; each is text, or has `where` and `message`."""
    lines = []
    for warning in found:
        if isinstance(warning, dict):
            where = warning.get("where")
            warning = f"{where}: {warning.get('message')}" if where else warning.get("message")
        lines.append(f"{click.style('warning:', fg='yellow')} {warning}")
    return "\n".join(lines)


def number(value: float) -> str:
    """With thin groups of three: 1 234 567."""
    return f"{value:,}".replace(",", " ")


def count(value: int, what: str) -> str:
    return f"{number(value)} {what}{'' if value == 1 else 's'}"


def yes_no(value: bool | None) -> str | None:
    return None if value is None else "yes" if value else "no"


def role(port: dict[str, Any]) -> str | None:
    """What a port is for: in NAT44, and where there is VXLAN."""
    parts = [port.get("role"), *(name for name in ("bridged", "underlay") if port.get(name))]
    return ", ".join(part for part in parts if part) or None


def size(value: float) -> str:
    """Bytes in units of 1000, as links are sold."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(value) < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def duration(seconds: float) -> str:
    """The two largest units: 2 h 4 min."""
    left = int(seconds)
    parts: list[str] = []
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        if left >= length or (unit == "s" and not parts):
            parts.append(f"{left // length} {unit}")
            left %= length
    return " ".join(parts[:2])


def moment(since: Any) -> str:
    """A point in time (seconds since 1970, or text) and how long ago it was."""
    if not isinstance(since, (int, float)):
        return str(since)
    clock = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(since))
    return f"{clock} ({duration(max(0.0, time.time() - since))})"
