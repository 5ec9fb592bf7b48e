# SPDX-License-Identifier: GPL-2.0-or-later
"""gwctl show fdb"""

from collections.abc import Callable
from typing import Any

import click

from . import text
from .base import output
from .filters import asked, with_options
from .listing import Listing, limit_options
from .suggest import bridge_names, port_devices, vtep_addresses

STATES = ("learned", "static", "extern")
HEAD = ("BRIDGE", "VLAN", "MAC", "WHERE", "STATE", "SEEN BY XDP", "ADDRESSES")
NUMBERS = (1, 5)
LESS_IMPORTANT = ("ADDRESSES", "STATE", "VLAN", "SEEN BY XDP", "BRIDGE")
"""What a narrow terminal goes without, in this order."""
PLANES = {"kernel": " (kernel)", "worker": " (worker)"}
ADDRESSES_MAX = 2
"""Shown for one station; --json has more."""

OPTIONS = (
    click.option("--bridge", metavar="DEVICE", shell_complete=bridge_names),
    click.option("--vlan", type=click.IntRange(1, 4094), metavar="VLAN"),
    click.option("--mac", metavar="MAC", help="A station, or all that begin so: 02:00:5e."),
    click.option(
        "--port",
        metavar="DEVICE",
        shell_complete=port_devices,
        help="The bridge port, a VXLAN device too.",
    ),
    click.option("--vtep", metavar="ADDRESS", shell_complete=vtep_addresses),
    click.option("--vni", type=click.IntRange(1, (1 << 24) - 1), metavar="VNI"),
    click.option("--state", type=click.Choice(STATES)),
)


def _options(command: Callable[..., Any]) -> Callable[..., Any]:
    return with_options(OPTIONS, command)


@click.command()
@_options
@limit_options
@click.option("--count", is_flag=True, help="Only how many there are.")
def fdb(limit: int, everything: bool, cursor: str, count: bool, **options: Any) -> None:
    """Stations of the bridges: where each MAC address is.

    It is the kernel's FDB as XDP has it: a port, or the VTEP that a station is behind, and who
    sends there if not XDP. What is given has to hold all together: --bridge br-lan --vtep
    198.51.100.1.
    """
    out, wanted = output(), asked(options)
    if count:
        answer = out.ask("show.fdb", count=True, **wanted)
        out.show(answer, text.count(answer["count"], "station"))
        return
    found = Listing(out, "show.fdb", "fdb", None if everything else limit, cursor, **wanted)
    if out.as_json:
        found.print_json()
    else:
        table = text.Table(HEAD, NUMBERS, drop=LESS_IMPORTANT)
        found.print_table(table, _row, "no stations" + (" match" if wanted else ""))


def _row(entry: dict[str, Any]) -> tuple[Any, ...]:
    seen = entry["seen"]
    return (
        entry["bridge"],
        entry["vlan"],
        entry["mac"],
        _where(entry),
        entry["state"],
        None if seen is None else f"{text.duration(seen)} ago",
        _addresses(entry["addresses"], entry["more_addresses"]),
    )


def _where(entry: dict[str, Any]) -> str:
    """A port, or a VTEP and the VXLAN device by which it is reached."""
    behind = f"{entry['vtep']} by " if entry["vtep"] else ""
    return f"{behind}{entry['port']}{PLANES.get(entry['plane'], '')}"


def _addresses(addresses: list[str], unlisted: int) -> str | None:
    shown = ", ".join(addresses[:ADDRESSES_MAX])
    more = max(0, len(addresses) - ADDRESSES_MAX) + unlisted
    return (f"{shown} +{more}" if more else shown) or None
