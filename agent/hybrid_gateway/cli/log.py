# SPDX-License-Identifier: GPL-2.0-or-later
"""gwctl show log"""

from typing import Any

import click

from . import text
from .base import output


@click.command()
def log() -> None:
    """The log of sessions: where it goes, how fast it comes, and what was lost on the way."""
    out = output()
    answer = out.ask("show.log")
    out.show(answer, describe(answer))


def describe(answer: dict[str, Any]) -> str:
    if not answer["enabled"]:
        return "nothing is logged (nat44.log)"
    lines, export = answer["lines"], answer["export"]
    rows: list[tuple[str, Any]] = [
        ("events", f"{text.number(answer['events'])}, {text.number(answer['rate'])} a second"),
        ("lost before they were read", text.number(answer["ring_lost"])),
        ("of another version", text.number(answer["unknown"]) if answer["unknown"] else None),
    ]
    if answer["journal"] is not None:
        rows += [
            ("lines to", answer["journal"]),
            ("lines written", text.number(lines["written"])),
            ("lines lost to the limit", text.number(lines["limited"])),
            ("lines that nobody took", text.number(lines["lost"])),
        ]
    if answer["collector"] is not None:
        rows += [
            ("collector", answer["collector"]),
            ("records sent", text.number(export["records"])),
            ("messages sent", text.number(export["messages"])),
            ("records not sent", text.number(export["lost"])),
            ("errors", text.number(export["errors"])),
        ]
    stalled = [] if answer["reading"] else ["nothing is read: see the agent's log"]
    return text.paragraphs(text.pairs(rows), text.warnings(stalled))
