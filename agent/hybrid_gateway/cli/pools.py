# SPDX-License-Identifier: GPL-2.0-or-later
"""gwctl show nat"""

from typing import Any

import click

from . import text
from .base import output
from .sessions import PROTOCOLS

APART = ("static", "enabled", "warnings", "pools")
"""What is no line of its own."""


@click.command()
def nat() -> None:
    """NAT: addresses, ports used and left, limits, timeouts and static mappings."""
    out = output()
    answer = out.ask("show.nat")
    out.show(answer, describe(answer))


def describe(answer: dict[str, Any]) -> str:
    if not answer.get("enabled", True):
        return "NAT44 is not configured, or is off"
    rows = [
        (name.replace("_", " "), _value(name, value))
        for name, value in answer.items()
        if name not in APART and value is not None
    ]
    return text.paragraphs(
        text.pairs(rows),
        _pools(answer.get("pools", [])),
        text.table(
            ("STATIC", "OUTSIDE", "INSIDE"),
            [(s.get("protocol") or "any", s["outside"], _inside(s)) for s in answer["static"]],
        ),
        text.warnings(answer.get("warnings", [])),
    )


def _pools(pools: list[dict[str, Any]]) -> str:
    rows = [
        (
            pool["address"],
            PROTOCOLS[pool["protocol"]],
            *(text.number(pool[name]) for name in ("ports", "used", "resting", "static", "left")),
        )
        for pool in pools
    ]
    head = ("ADDRESS", "PROTO", "PORTS", "USED", "RESTING", "STATIC", "LEFT")
    return text.table(head, rows, numbers=range(2, len(head)))


def _inside(static: dict[str, Any]) -> str:
    """Backends with their weights, an identity mapping as what it is."""
    if static["inside"] == static["outside"]:
        return "the same (identity)"
    if not static.get("weights"):
        return str(static["inside"])
    backends = zip(static["inside"].split(", "), static["weights"], strict=True)
    return ", ".join(f"{backend} (weight {weight})" for backend, weight in backends)


def _value(name: str, value: Any) -> str | None:
    """A setting: lists and mappings on one line, numbers in groups of three."""
    if name == "sessions":
        used, limit = value["used"], value["limit"]
        share = f" ({used / limit:.1%})" if limit else ""
        return f"{text.number(used)} of {text.number(limit)}{share}"
    if name == "hosts":
        full = value["at_limit"]
        return text.number(value["holding"]) + (f", {full} of them at their limit" if full else "")
    if name == "log":
        return _log(value)
    if isinstance(value, bool):
        return text.yes_no(value)
    if isinstance(value, dict):
        unit = " s" if name == "timeouts" else ""
        return ", ".join(f"{k.replace('_', ' ')} {_value('', v)}{unit}" for k, v in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(str(item) for item in value) or "none"
    return text.number(value) if isinstance(value, int) else str(value)


def _log(value: dict[str, Any]) -> str:
    kinds = [name for name in ("sessions", "mappings", "destinations") if value.get(name)]
    found = [f"{' and '.join(kinds)} to the journal"] if kinds else []
    if value.get("ipfix"):
        found.append(f"IPFIX to {value['ipfix']}")
    return ", ".join(found) or "off"
