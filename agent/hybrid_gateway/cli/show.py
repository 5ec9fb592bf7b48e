# SPDX-License-Identifier: GPL-2.0-or-later
"""gwctl show"""

from typing import Any

import click

from . import text
from .base import output
from .fdb import fdb
from .log import log
from .pools import nat
from .sessions import mappings, sessions
from .vxlan import vxlan


@click.group()
def show() -> None:
    """Look at what the gateway has and does."""


for _command in (nat, sessions, mappings, vxlan, fdb, log):
    show.add_command(_command)


@show.command()
def ports() -> None:
    """Ports: device, whether it has a link, role, and how XDP is attached."""
    out = output()
    answer = out.ask("show.ports")
    rows = [
        (
            port["name"],
            port["device"],
            port.get("ifindex"),
            text.yes_no(port.get("up")),
            text.role(port),
            port.get("mode"),
            port.get("l3_device"),
        )
        for port in answer["ports"]
    ]
    head = ("PORT", "DEVICE", "INDEX", "UP", "ROLE", "XDP MODE", "ADDRESSES ON")
    out.show(answer, text.table(head, rows, numbers=(2,)) or "no ports")


@show.command()
@click.option("--all", "everything", is_flag=True, help="Counters that are zero, too.")
def counters(everything: bool) -> None:
    """What happened to the frames of each port, by reason."""
    from .counters import grouped

    out = output()
    answer = out.ask("show.counters")
    found: dict[str, dict[str, int]] = {port["name"]: port["counters"] for port in answer["ports"]}
    names = {
        name for values in found.values() for name, value in values.items() if value or everything
    }
    rows: list[tuple[Any, ...]] = []
    for title, phrases in grouped(names).items():
        rows.append((title, *[""] * len(found), ""))
        for name, phrase in phrases.items():
            values = [text.number(port.get(name, 0)) for port in found.values()]
            rows.append((f"  {name}", *values, phrase))
    columns = range(1, len(found) + 1)
    listing = text.table(("FRAMES", *found, ""), rows, numbers=columns)
    out.show(answer, listing or "nothing counted yet")
