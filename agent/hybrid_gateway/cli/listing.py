# SPDX-License-Identifier: GPL-2.0-or-later
"""Long answers, printed page by page: gwctl never holds more than one page of them."""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import click

from ..errors import GwError
from . import text
from .base import Output

PAGE = 1000
Cursor = int | str
CURSOR = re.compile(r"[0-9]{1,20}(\.[0-9]{1,10})?")
"""A position, or of a sorted listing a value of up to 64 bits and a position."""


def _cursor(_context: click.Context, _option: click.Parameter, value: str) -> str:
    if not CURSOR.fullmatch(value):
        shown = value if len(value) <= 40 else value[:40] + "…"
        raise click.BadParameter(f"{shown!r} is not a cursor that an answer gave")
    return value


LIMIT_OPTIONS = (
    click.option("--limit", type=click.IntRange(1), default=100, show_default=True),
    click.option("--all", "everything", is_flag=True, help="All of them, however many."),
    click.option(
        "--cursor",
        default="0",
        help="Go on where a limit ended.",
        metavar="CURSOR",
        callback=_cursor,
    ),
)


def limit_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(LIMIT_OPTIONS):
        command = option(command)
    return command


def _lines(page: list[Any]) -> str:
    """An entry on each line. Entries have no objects in them, so that this is where one ends."""
    return json.dumps(page)[1:-1].replace("}, {", "},\n{")


class Listing:
    """One method's pages; `key` is what its entries stand under. Iterate once, then `following`."""

    def __init__(
        self, out: Output, method: str, key: str, limit: int | None, cursor: str, **params: Any
    ) -> None:
        self._out = out
        self._method = method
        self._key = key
        self._limit = limit
        self._params = params
        self.following: Cursor | None = int(cursor) if cursor.isdecimal() else cursor

    def pages(self) -> Iterator[list[Any]]:
        """As many as it takes; `following` is the cursor to go on from, None at the end."""
        left = self._limit
        while self.following is not None and left != 0:
            size = PAGE if left is None else min(PAGE, left)
            params = {"cursor": self.following, "limit": size, **self._params}
            answer = self._out.ask(self._method, **params)
            self.following = answer.get("next")
            if left is not None:
                left -= min(left, len(answer[self._key]))
            yield answer[self._key]

    def print_json(self) -> None:
        """One object, an entry on each line; when the agent fails midway it says so at the end."""
        start, failed = f'{{"{self._key}": [\n', None
        try:
            for page in self.pages():
                if page:
                    click.echo(start + _lines(page), nl=False)
                    start = ",\n"
        except GwError as error:
            if start != ",\n":
                raise
            failed = error
        rest = {"next": self.following} | ({"error": failed.to_json()} if failed else {})
        click.echo(("" if start == ",\n" else start) + "\n], " + json.dumps(rest)[1:])
        if failed:
            raise SystemExit(failed.exit_code)

    def print_table(
        self, table: text.Table, row: Callable[[dict[str, Any]], Sequence[Any]], nothing: str
    ) -> None:
        printed = False
        for page in self.pages():
            if page:
                click.echo(table.block([row(entry) for entry in page]))
                printed = True
        if not printed:
            click.echo(nothing)
        elif self.following is not None:
            click.echo(f"\nthere are more: --all, or --cursor {self.following}")
