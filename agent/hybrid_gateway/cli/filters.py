# SPDX-License-Identifier: GPL-2.0-or-later
"""The options that choose sessions, the same for every command that takes them."""

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
PROTOCOLS = ("tcp", "udp", "icmp")
SORTS = ("age", "expires", "bytes", "packets", "inside", "outside", "remote")
STATES = ("opening", "established", "closing", "active")
ORIGINS = ("outbound", "inbound", "hairpin", "static")

Command = TypeVar("Command", bound=Callable[..., Any])


class Duration(click.ParamType):
    """ "90s", "5m", "1h30m", "2d"; a bare number is seconds."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        if isinstance(value, (int, float)):
            return value
        parts = re.findall(r"(\d+(?:\.\d+)?)([a-z]*)", value)
        if not parts or "".join(number + unit for number, unit in parts) != value:
            self._refuse(value, param, ctx)
        seconds = 0.0
        for number, unit in parts:
            if unit not in UNITS and (unit or len(parts) > 1):
                self._refuse(value, param, ctx)
            seconds += float(number) * UNITS.get(unit, 1)
        return seconds

    def _refuse(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> None:
        self.fail(f"{value!r} is not a duration like 90s, 5m, 1h30m or 2d", param, ctx)


ENDPOINT = "ADDRESS[/N][:PORT]"
PORTS = "PORT[-PORT]"

MAPPING_OPTIONS = (
    click.option("--inside", metavar=ENDPOINT, help="The inside host, prefix or endpoint."),
    click.option("--outside", metavar=ENDPOINT, help="The outside one; :PORT alone will do."),
    click.option("--protocol", type=click.Choice(PROTOCOLS)),
)
SESSION_OPTIONS = (
    *MAPPING_OPTIONS[:2],
    click.option("--remote", metavar=ENDPOINT, help="Whom the inside host talks to."),
    click.option("--address", metavar="ADDRESS[/N]", help="Any of the three."),
    click.option("--port", metavar=PORTS, help="Of any of the three; of ICMP, the identifier."),
    MAPPING_OPTIONS[2],
    click.option("--state", type=click.Choice(STATES), help="Of UDP and ICMP: active."),
    click.option("--origin", type=click.Choice(ORIGINS), help="Who opened it, or by what."),
    click.option("--older", type=Duration(), help="Opened at least so long ago: 90s, 5m, 2h."),
    click.option("--younger", type=Duration(), help="Opened at most so long ago."),
    click.option("--expires-within", type=Duration(), help="Ends by then if nothing more comes."),
)


def session_options(command: Command) -> Command:
    """Adds the options; `asked` makes one value of what they are given."""
    return with_options(SESSION_OPTIONS, command)


def mapping_options(command: Command) -> Command:
    return with_options(MAPPING_OPTIONS, command)


def with_options(options: tuple[Callable[[Command], Command], ...], command: Command) -> Command:
    for option in reversed(options):
        command = option(command)
    return command


def asked(options: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters for the agent: {"filter": …}, or nothing when nothing was chosen."""
    chosen = {name: value for name, value in options.items() if value is not None}
    return {"filter": chosen} if chosen else {}
