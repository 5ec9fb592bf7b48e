# SPDX-License-Identifier: GPL-2.0-or-later
"""gwctl nat"""

from typing import Any

import click

from . import text
from .base import output
from .counters import GROUPS
from .filters import PROTOCOLS

ENDPOINT = "ADDRESS[:PORT]"


@click.group()
def nat() -> None:
    """Ask what NAT would do."""


@nat.command()
@click.argument("address", metavar=ENDPOINT)
@click.option("--to", metavar=ENDPOINT, help="The packet goes from ADDRESS to there.")
@click.option("--from", "sender", metavar=ENDPOINT, help="It comes from there to ADDRESS.")
@click.option("--protocol", type=click.Choice(PROTOCOLS), default="tcp", show_default=True)
@click.option("--middle", is_flag=True, help="TCP: one in mid-connection, not the first.")
def trace(address: str, to: str | None, sender: str | None, protocol: str, middle: bool) -> None:
    """Tell what the tables would do with a packet; nothing is sent or changed.

    ADDRESS is an inside host that sends, or an outside address of the gateway that is
    sent to. For ICMP the port is the identifier.

    \b
    gwctl nat trace 192.168.1.7:4000 --to 198.51.100.10:443
    gwctl nat trace 203.0.113.2:24000 --from 198.51.100.10 --protocol udp
    """
    if to and sender:
        raise click.UsageError("give --to or --from: ADDRESS is the other end")
    packet = {"address": address, "to": to, "from": sender, "protocol": protocol}
    asked: dict[str, Any] = {name: value for name, value in packet.items() if value is not None}
    out = output()
    answer = out.ask("nat.trace", packet=asked | ({"middle": True} if middle else {}))
    out.show(answer, describe(answer))


def describe(answer: dict[str, Any]) -> str:
    packet, becomes, verdict = answer["packet"], answer["becomes"], answer["verdict"]
    phrases = {name: phrase for group in GROUPS.values() for name, phrase in group.items()}
    protocol = packet["protocol"]
    end = click.style(verdict, bold=True) + f": {phrases.get(verdict, 'see gwctl show counters')}"
    return text.paragraphs(
        _line(protocol, packet),
        text.pairs((step["step"], step["text"]) for step in answer["steps"]),
        f"{end}\n{_line(protocol, becomes)}" if becomes else end,
    )


def _line(protocol: str, ends: dict[str, Any]) -> str:
    return f"{protocol} {_end(protocol, ends['source'])} -> {_end(protocol, ends['destination'])}"


def _end(protocol: str, value: list[Any] | None) -> str:
    """None: an outside endpoint that is chosen only when the packet comes."""
    if value is None:
        return "(a new outside port)" if protocol != "icmp" else "(a new outside identifier)"
    address, port = value
    if not port:
        return str(address)
    return f"{address} id {port}" if protocol == "icmp" else f"{address}:{port}"
