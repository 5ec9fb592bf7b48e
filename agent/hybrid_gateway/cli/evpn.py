# SPDX-License-Identifier: GPL-2.0-or-later
"""gwctl show evpn, gwctl clear evpn"""

from collections.abc import Callable
from typing import Any

import click

from . import text
from .base import output
from .filters import asked, with_options
from .listing import Listing, limit_options

STATES = ("local", "remote", "duplicate", "conflict")
NEIGHBORS = ("NEIGHBOR", "AS", "STATE", "SINCE", "RECEIVED", "ACCEPTED", "SENT", "FLAPS", "WHY")
VNIS = ("VNI", "DEVICE", "BRIDGE", "VTEP", "UP", "VTEPS", "MACS HERE", "MACS THERE", "DUPLICATE")
MACS = ("VNI", "MAC", "STATE", "WHERE", "SEQUENCE", "AGE", "MOVES", "ADDRESSES")
LESS_IMPORTANT = ("MOVES", "ADDRESSES", "AGE", "SEQUENCE")
"""What a narrow terminal goes without, in this order."""
ADDRESSES_MAX = 2
"""Shown for one station; --json has all."""
NOT_CONFIGURED = "EVPN is not configured"
FRR = (
    "EVPN is FRR's: vtysh -c 'show evpn vni' -c 'show evpn mac vni all'; "
    "what it has put into the kernel is in gwctl show vxlan and gwctl show fdb"
)
VNI = click.IntRange(1, (1 << 24) - 1)
VTEP_OPTIONS = (
    click.option("--vni", type=VNI, metavar="VNI"),
    click.option("--vtep", metavar="ADDRESS"),
)
MAC_OPTIONS = (
    *VTEP_OPTIONS,
    click.option("--mac", metavar="MAC", help="A station, or all that begin so: 02:00:5e."),
    click.option("--address", metavar="ADDRESS", help="An IP address of the station."),
    click.option("--state", type=click.Choice(STATES)),
)


def _vtep_options(command: Callable[..., Any]) -> Callable[..., Any]:
    return with_options(VTEP_OPTIONS, command)


def _mac_options(command: Callable[..., Any]) -> Callable[..., Any]:
    return with_options(MAC_OPTIONS, command)


@click.group(invoke_without_command=True)
@click.pass_context
def evpn(context: click.Context) -> None:
    """BGP EVPN: neighbors and VNIs.

    Stations, VTEPs and prefixes have commands of their own.
    """
    if context.invoked_subcommand is None:
        out = output()
        answer = out.ask("show.evpn")
        out.show(answer, describe(answer))


def describe(answer: dict[str, Any]) -> str:
    summary = answer["summary"]
    if summary is None:
        return NOT_CONFIGURED
    if summary["state"] is None:
        return FRR
    refused = text.table(
        ("REFUSED ROUTES", "OF", "WHY"),
        [
            (text.number(one["count"]), one["peer"] or "this gateway", one["reason"])
            for one in answer["refused"]
        ],
        numbers=(0,),
    )
    return text.paragraphs(
        _head(answer),
        text.table(NEIGHBORS, map(_neighbor, answer["neighbors"]), numbers=(1, 4, 5, 6, 7)),
        text.table(VNIS, map(_vni, answer["vnis"]), numbers=(0, 5, 6, 7, 8)),
        refused,
    )


def _head(answer: dict[str, Any]) -> str:
    summary = answer["summary"]
    rows = [
        ("BGP", f"AS {answer['asn']}, router id {answer['router_id']}, by {summary['daemon']}"),
        ("state", f"{text.state(summary['state'])} for {text.duration(summary['since'])}"),
        ("error", summary["error"]),
    ]
    if answer["kernel_failures"]:
        why = ", ".join(f"{one['reason']} ({one['count']})" for one in answer["kernel_reasons"])
        rows.append(
            ("kernel", f"refused to take an entry {answer['kernel_failures']} times: {why}")
        )
    return text.pairs(rows)


def _neighbor(one: dict[str, Any]) -> tuple[Any, ...]:
    since = one["since"]
    return (
        one["address"],
        one["asn"],
        one["state"] or "unknown",
        None if since is None else text.duration(since),
        text.number(one["received"]),
        text.number(one["accepted"]),
        text.number(one["advertised"]),
        text.number(one["flaps"]),
        one["reason"],
    )


def _vni(one: dict[str, Any]) -> tuple[Any, ...]:
    routing = " (prefixes)" if one["routing"] else ""
    return (
        one["vni"],
        one["device"] + routing,
        one["bridge"],
        one["local"],
        text.yes_no(one["up"]),
        *(text.number(one[name]) for name in ("vteps", "macs_local", "macs_remote", "duplicates")),
    )


@evpn.command()
@_mac_options
@limit_options
@click.option("--count", is_flag=True, help="Only how many there are.")
def macs(limit: int, everything: bool, cursor: str, count: bool, **options: Any) -> None:
    """Stations of the VNIs: where each is, and how often it has moved.

    What is given has to hold all together: --vni 550 --state duplicate.
    """
    out, wanted = output(), asked(options)
    if count:
        answer = out.ask("show.evpn.macs", count=True, **wanted)
        out.show(answer, text.count(answer["count"], "station"))
        return
    found = Listing(out, "show.evpn.macs", "macs", None if everything else limit, cursor, **wanted)
    if out.as_json:
        found.print_json()
    else:
        table = text.Table(MACS, numbers=(0, 4, 5, 6), drop=LESS_IMPORTANT)
        found.print_table(table, _mac, "no stations" + (" match" if wanted else ""))


def _mac(one: dict[str, Any]) -> tuple[Any, ...]:
    release = one["release_in"]
    until = f", {text.duration(release)} more" if release else ""
    sticky = ", sticky" if one["sticky"] else ""
    more = len(one["addresses"]) - ADDRESSES_MAX
    shown = ", ".join(one["addresses"][:ADDRESSES_MAX])
    return (
        one["vni"],
        one["mac"],
        one["state"] + sticky + until,
        one["vtep"] or one["port"],
        one["sequence"],
        text.duration(one["age"]),
        one["moves"],
        (f"{shown} +{more}" if more > 0 else shown) or None,
    )


@evpn.command()
@_vtep_options
@limit_options
def vteps(limit: int, everything: bool, cursor: str, **options: Any) -> None:
    """VTEPs of the VNIs: who gets what is flooded, and stations behind each."""
    out, wanted = output(), asked(options)
    pages = None if everything else limit
    found = Listing(out, "show.evpn.vteps", "vteps", pages, cursor, **wanted)
    if out.as_json:
        found.print_json()
    else:
        table = text.Table(("VNI", "VTEP", "FLOODED TO", "MACS"), numbers=(0, 3))
        found.print_table(table, _vtep, "no VTEPs" + (" match" if wanted else ""))


def _vtep(one: dict[str, Any]) -> tuple[Any, ...]:
    return one["vni"], one["address"], text.yes_no(one["flood"]), text.number(one["macs"])


@evpn.command()
@_vtep_options
@limit_options
def prefixes(limit: int, everything: bool, cursor: str, **options: Any) -> None:
    """Prefixes that are routed from site to site (type 5)."""
    out, wanted = output(), asked(options)
    pages = None if everything else limit
    found = Listing(out, "show.evpn.prefixes", "prefixes", pages, cursor, **wanted)
    if out.as_json:
        found.print_json()
    else:
        table = text.Table(("VNI", "PREFIX", "BY", "ROUTER MAC"), numbers=(0,))
        found.print_table(table, _prefix, "no prefixes" + (" match" if wanted else ""))


def _prefix(one: dict[str, Any]) -> tuple[Any, ...]:
    return one["vni"], one["prefix"], one["vtep"] or "this gateway", one["router_mac"]


# ---- clear ------------------------------------------------------------------------------


@click.group(name="evpn")
def clear_evpn() -> None:
    """Of what EVPN has found out."""


@clear_evpn.command()
@click.option("--vni", type=VNI, metavar="VNI")
@click.option("--mac", metavar="MAC", help="One station.")
def duplicates(**options: Any) -> None:
    """Let stations be announced again that moved to and fro too often.

    All of them, or those that match. Which there are, and where:
    `gwctl show evpn macs --state duplicate`.
    """
    out = output()
    answer = out.ask("clear.evpn", **asked(options))
    out.show(answer, f"{text.count(answer['cleared'], 'station')} released")


@clear_evpn.command()
def refused() -> None:
    """Count what was refused from the beginning, and end the warnings of it.

    What is refused again is warned of again. `gwctl show evpn` tells what was.
    """
    out = output()
    answer = out.ask("clear.evpn.refused")
    out.show(answer, f"{text.count(answer['cleared'], 'reason')} cleared")
