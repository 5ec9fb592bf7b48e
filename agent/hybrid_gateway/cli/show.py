# SPDX-License-Identifier: GPL-2.0-or-later
"""gwctl show"""

from typing import Any

import click

from . import text, worker
from .base import output
from .drivers import drivers
from .evpn import evpn
from .fdb import fdb
from .graph import graph
from .log import log
from .pools import nat
from .sessions import mappings, sessions
from .vxlan import vxlan


@click.group()
def show() -> None:
    """Look at what the gateway has and does."""


for _command in (nat, sessions, mappings, vxlan, fdb, evpn, log, graph, drivers):
    show.add_command(_command)


@show.command()
def ports() -> None:
    """Ports: device, whether it has a link, role, and how its data path has it."""
    out = output()
    answer = out.ask("show.ports")
    found = answer["ports"]
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
        for port in found
        if not worker.is_its(port)
    ]
    head = ("PORT", "DEVICE", "INDEX", "UP", "ROLE", "XDP MODE", "ADDRESSES ON")
    of_xdp = text.table(head, rows, numbers=(2,))
    parts = (of_xdp, worker.ports(found), worker.traffic(found))
    out.show(answer, text.paragraphs(*parts) or "no ports")


@show.command()
@click.option("--all", "everything", is_flag=True, help="Counters that are zero, too.")
def counters(everything: bool) -> None:
    """What happened to the frames of each port, by reason."""
    from .counters import GROUPS, WORKER_GROUPS

    out = output()
    answer = out.ask("show.counters")
    listings = []
    for groups, its in ((GROUPS, False), (WORKER_GROUPS, True)):
        found = {p["name"]: p["counters"] for p in answer["ports"] if worker.is_its(p) is its}
        listings.append(_counted(groups, found, everything))
    out.show(answer, text.paragraphs(*listings) or "nothing counted yet")


def _counted(
    groups: dict[str, dict[str, str]],
    found: dict[str, dict[str, int]],
    everything: bool,
) -> str:
    """A column for each port, a line for each counter that is not zero anywhere."""
    from .counters import grouped

    names = {
        name for values in found.values() for name, value in values.items() if value or everything
    }
    rows: list[tuple[Any, ...]] = []
    for group, phrases in grouped(names, groups).items():
        rows.append((group, *[""] * len(found), ""))
        for name, phrase in phrases.items():
            values = [text.number(port.get(name, 0)) for port in found.values()]
            rows.append((f"  {name}", *values, phrase))
    return text.table(("FRAMES", *found, ""), rows, numbers=range(1, len(found) + 1))
