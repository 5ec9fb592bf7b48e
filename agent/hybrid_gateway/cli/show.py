# SPDX-License-Identifier: GPL-2.0-or-later
"""gwctl show"""

from collections.abc import Sequence
from typing import Any

import click

from . import text
from .base import Output, output
from .log import log

PAGE = 500
ICMP = 1
_PROTOCOLS = {ICMP: "icmp", 6: "tcp", 17: "udp"}


@click.group()
def show() -> None:
    """Look at what the gateway has and does."""


show.add_command(log)


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
            port.get("role"),
            port.get("mode"),
            port.get("l3_device"),
        )
        for port in answer["ports"]
    ]
    head = ("PORT", "DEVICE", "INDEX", "UP", "ROLE", "XDP MODE", "ADDRESSES ON")
    out.show(answer, text.table(head, rows, numbers=(2,)) or "no ports")


@show.command()
def nat() -> None:
    """NAT: addresses, ports, limits, timeouts and static mappings."""
    out = output()
    answer = out.ask("show.nat")
    out.show(answer, _nat(answer))


def _nat(answer: dict[str, Any]) -> str:
    if not answer.get("enabled", True):
        return "NAT44 is not configured, or is off"
    settings = {
        name: value
        for name, value in answer.items()
        if name not in ("static", "enabled", "warnings") and value is not None
    }
    rows = [(name.replace("_", " "), _value(name, value)) for name, value in settings.items()]
    static = text.table(
        ("PROTOCOL", "OUTSIDE", "INSIDE"),
        [(s.get("protocol") or "any", s["outside"], s["inside"]) for s in answer.get("static", [])],
    )
    return text.paragraphs(text.pairs(rows), static, text.warnings(answer.get("warnings", [])))


def _value(name: str, value: Any) -> str:
    """A setting: lists and mappings on one line, numbers in groups of three."""
    if name == "sessions":
        return f"{text.number(value['used'])} of {text.number(value['limit'])}"
    if isinstance(value, dict):
        unit = " s" if name == "timeouts" else ""
        return ", ".join(f"{k.replace('_', ' ')} {_value('', v)}{unit}" for k, v in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(str(item) for item in value) or "none"
    return text.number(value) if isinstance(value, int) else str(value)


@show.command()
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True)
@click.option("--all", "everything", is_flag=True, help="All of them, however many.")
@click.option("--cursor", type=click.IntRange(0), default=0, help="Go on where a limit ended.")
def sessions(limit: int, everything: bool, cursor: int) -> None:
    """NAT sessions: who talks to whom, through which outside port."""
    out = output()
    answer = _sessions(out, None if everything else limit, cursor)
    rows = [_session(session) for session in answer["sessions"]]
    head = ("PROTO", "INSIDE", "OUTSIDE", "REMOTE", "STATE", "OPENED", "OUT", "IN", "AGE", "LEFT")
    more = ""
    if answer["next"] is not None:
        more = f"there are more: --all, or --cursor {answer['next']}"
    listing = text.table(head, rows, numbers=(6, 7, 8, 9)) or "no sessions"
    out.show(answer, text.paragraphs(listing, more))


def _sessions(out: Output, limit: int | None, cursor: int) -> dict[str, Any]:
    """As many pages as it takes; `next` is the cursor to go on from, None at the end."""
    found: list[Any] = []
    following: int | None = cursor
    while following is not None and (limit is None or len(found) < limit):
        page = min(PAGE, PAGE if limit is None else limit - len(found))
        answer = out.ask("show.sessions", cursor=following, limit=page)
        found += answer["sessions"]
        following = answer.get("next")
    return {"sessions": found, "next": following}


def _session(session: dict[str, Any]) -> tuple[Any, ...]:
    protocol = session["protocol"]
    return (
        _PROTOCOLS.get(protocol, protocol),
        _endpoint(session["inside"], protocol),
        _endpoint(session["outside"], protocol),
        session["remote"][0] if protocol == ICMP else _endpoint(session["remote"], protocol),
        session["state"],
        session["origin"],
        text.size(session["bytes_out"]),
        text.size(session["bytes_in"]),
        text.duration(session["age"]),
        text.duration(max(0.0, session["expires_in"])),
    )


def _endpoint(value: Sequence[Any], protocol: int) -> str:
    """An ICMP query has an identifier where others have a port."""
    address, number = value
    return f"{address} id {number}" if protocol == ICMP else f"{address}:{number}"


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
