# SPDX-License-Identifier: GPL-2.0-or-later
"""gwctl show sessions, gwctl show mappings"""

from collections.abc import Sequence
from typing import Any

import click

from . import text
from .base import output
from .filters import SORTS, asked, mapping_options, session_options
from .listing import Listing, limit_options

ICMP = 1
PROTOCOLS = {ICMP: "icmp", 6: "tcp", 17: "udp"}
HEAD = ("PROTO", "INSIDE", "OUTSIDE", "REMOTE", "STATE", "ORIGIN", "OUT", "IN", "AGE", "LEFT")
NUMBERS = (6, 7, 8, 9)
LESS_IMPORTANT = ("ORIGIN", "AGE", "IN", "OUT", "LEFT", "STATE")
"""What a narrow terminal goes without, in this order."""


@click.command()
@session_options
@click.option("--sort", type=click.Choice(SORTS), help="Largest first, addresses in order.")
@click.option("--reverse", is_flag=True, help="The other way round.")
@limit_options
@click.option("--count", is_flag=True, help="Only how many there are.")
def sessions(
    sort: str | None,
    reverse: bool,
    limit: int,
    everything: bool,
    cursor: str,
    count: bool,
    **options: Any,
) -> None:
    """NAT sessions: who talks to whom, through which outside port.

    What is given has to hold all together: --inside 192.168.1.7 --port 443 --older 1h.
    """
    if reverse and not sort:
        raise click.UsageError("--reverse needs --sort")
    out, wanted = output(), asked(options)
    if count:
        answer = out.ask("show.sessions", count=True, **wanted)
        out.show(answer, text.count(answer["count"], "session"))
        return
    order = {"sort": sort, "reverse": reverse} if sort else {}
    found = Listing(
        out, "show.sessions", "sessions", None if everything else limit, cursor, **wanted, **order
    )
    if out.as_json:
        found.print_json()
    else:
        table = text.Table(HEAD, NUMBERS, drop=LESS_IMPORTANT)
        found.print_table(table, _session, "no sessions" + (" match" if wanted else ""))


def _session(session: dict[str, Any]) -> tuple[Any, ...]:
    protocol = session["protocol"]
    return (
        PROTOCOLS.get(protocol, protocol),
        endpoint(session["inside"], protocol),
        endpoint(session["outside"], protocol),
        session["remote"][0] if protocol == ICMP else endpoint(session["remote"], protocol),
        session["state"],
        session["origin"],
        text.size(session["bytes_out"]),
        text.size(session["bytes_in"]),
        text.duration(session["age"]),
        text.duration(max(0.0, session["expires_in"])),
    )


def endpoint(value: Sequence[Any], protocol: int) -> str:
    """An ICMP query has an identifier where others have a port."""
    address, number = value
    return f"{address} id {number}" if protocol == ICMP else f"{address}:{number}"


@click.command()
@mapping_options
@limit_options
def mappings(limit: int, everything: bool, cursor: str, **options: Any) -> None:
    """NAT mappings: the outside port that each inside endpoint keeps.

    An endpoint has one for all whom it talks to. Static mappings are in `gwctl show nat`.
    """
    out, wanted = output(), asked(options)
    found = Listing(
        out, "show.mappings", "mappings", None if everything else limit, cursor, **wanted
    )
    if out.as_json:
        found.print_json()
    else:
        table = text.Table(("PROTO", "INSIDE", "OUTSIDE", "SESSIONS"), (3,))
        found.print_table(table, _mapping, "no mappings" + (" match" if wanted else ""))


def _mapping(mapping: dict[str, Any]) -> tuple[Any, ...]:
    protocol = mapping["protocol"]
    return (
        PROTOCOLS.get(protocol, protocol),
        endpoint(mapping["inside"], protocol),
        endpoint(mapping["outside"], protocol),
        text.number(mapping["sessions"]),
    )
