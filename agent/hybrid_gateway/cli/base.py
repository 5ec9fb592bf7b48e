# SPDX-License-Identifier: GPL-2.0-or-later
"""What every command has: the agent's address, `--json`, and one way to print."""

import json
import os
import select
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import click

from ..client import TIMEOUT, Client
from ..errors import GwError
from ..instance import Instance, from_environment

INSTANCE = "hybrid_gateway.instance"
"""In a context's `meta`: what --instance says, for completion, which runs no command."""


@dataclass(slots=True)
class Output:
    """What the options that every command takes say, and where answers go."""

    as_json: bool = False
    instance_name: str | None = None

    @property
    def instance(self) -> Instance:
        return from_environment(self.instance_name)

    def ask(self, method: str, timeout: float = TIMEOUT, **params: Any) -> Any:
        """One question to the agent."""
        with Client(self.instance, timeout) as client:
            return client.call(method, **params)

    def ask_last(self, method: str, timeout: float = TIMEOUT, **params: Any) -> Any:
        """A question after which the agent ends; returns when its process is gone."""
        with Client(self.instance, timeout) as client:
            process = client.peer_process()
            try:
                answer = client.call(method, **params)
                client.close()
                if not select.select([process], [], [], timeout)[0]:
                    raise GwError("the agent was told to end and did not", code="agent.stays")
            finally:
                os.close(process)
        return answer

    def show(self, answer: Any, text: str) -> None:
        """The same content for programs or for people."""
        if self.as_json:
            click.echo(json.dumps(answer, indent=2))
        elif text:
            click.echo(text, color=False if os.environ.get("NO_COLOR") else None)

    def fail(self, error: GwError, exit_code: int | None = None) -> int:
        """Say why; returns the exit code."""
        if self.as_json:
            click.echo(json.dumps({"error": error.to_json()}, indent=2))
        else:
            sys.stdout.flush()
            # A configuration error is a list of places, which editors jump to: no prefix.
            prefix = "" if error.where else "gwctl: "
            click.echo(f"{prefix}{error}", err=True)
        return error.exit_code if exit_code is None else exit_code


def output() -> Output:
    """That of the running command."""
    found = click.get_current_context().find_object(Output)
    return found if found is not None else Output()


def _set_json(_: click.Context, __: click.Parameter, value: bool) -> None:
    if value:
        output().as_json = True


def _set_instance(ctx: click.Context, _: click.Parameter, value: str | None) -> None:
    if value is not None:
        output().instance_name = value
        ctx.meta[INSTANCE] = value
        output().instance  # noqa: B018 - a name that cannot be one is refused here


def _common_options() -> list[click.Option]:
    return [
        click.Option(
            ["--json"],
            is_flag=True,
            expose_value=False,
            is_eager=True,
            callback=_set_json,
            help="Answer in JSON.",
        ),
        click.Option(
            ["--instance"],
            metavar="NAME",
            expose_value=False,
            callback=_set_instance,
            help="Which gateway, where several run on one host.  [env: GW_INSTANCE]",
        ),
    ]


def with_common_options(command: click.Command) -> click.Command:
    """Give the command, and all below it, the options that every command has."""
    names = {param.name for param in command.params}
    command.params.extend(o for o in _common_options() if o.name not in names)
    if isinstance(command, click.Group):
        for child in command.commands.values():
            with_common_options(child)
    return command


class LazyGroup(click.Group):
    """Commands by name, in modules of this package that are imported on use."""

    def __init__(
        self, *args: Any, commands_in: Mapping[str, tuple[str, str]] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self._commands_in = dict(commands_in or {})
        self.params.extend(_common_options())

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(self._commands_in)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in self.commands and cmd_name in self._commands_in:
            module = import_module(f".{self._commands_in[cmd_name][0]}", __package__)
            self.commands[cmd_name] = with_common_options(getattr(module, cmd_name))
        return self.commands.get(cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            # Imported here: it is needed for mistakes only.
            from difflib import get_close_matches

            near = get_close_matches(name, self._commands_in, n=1)
            hint = f" Did you mean '{near[0]}'?" if near else ""
            ctx.fail(f"No such command '{name}'.{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """From the table, so that help imports nothing either."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self._commands_in.items()])
