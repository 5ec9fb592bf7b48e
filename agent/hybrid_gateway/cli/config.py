# SPDX-License-Identifier: GPL-2.0-or-later
"""gwctl check, plan, apply and detach"""

from pathlib import Path
from typing import Any

import click

from ..errors import NotRunningError
from ..instance import DEFAULT_CONFIG, DEFAULT_INSTANCE
from . import text
from .base import Output, output
from .login import session_addresses

CHANGES_EXIT = 3
APPLY_TIMEOUT = 120.0

_config_option = click.option(
    "--config",
    "-c",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="This file instead of the one that the agent uses.",
)


def _absolute(config: Path | None) -> str | None:
    """The agent has a working directory of its own."""
    return None if config is None else str(config.absolute())


def _asked(config: Path | None) -> dict[str, Any]:
    """Which file, and from where the caller is logged in, if so."""
    sessions = session_addresses()
    return {"config": _absolute(config), **({"sessions": sessions} if sessions else {})}


@click.command()
@_config_option
def check(config: Path | None) -> None:
    """Check the configuration file, and that the host has what it names; change nothing.

    Without a running agent only the file itself is checked.
    """
    out = output()
    try:
        answer = out.ask("check", **_asked(config))
    except NotRunningError:
        answer = _check_file(out, config)
    out.show(
        answer,
        text.paragraphs(
            f"{answer.get('config')}: {answer.get('result', 'no errors')}",
            text.warnings(answer.get("warnings", [])),
        ),
    )


def _check_file(out: Output, config: Path | None) -> dict[str, Any]:
    # Imported only here: it takes 100 ms, and everything else goes through the agent.
    from ..config import load

    found = load(_absolute(config) or DEFAULT_CONFIG)
    agent = f"the agent of instance {out.instance.name} does not run"
    return {
        "config": found.path,
        "result": f"no errors in the file; the host was not looked at, for {agent}",
        "warnings": [{"where": w.where, "message": w.message} for w in found.warnings],
    }


def _steps(answer: dict[str, Any]) -> str:
    return text.table(
        ("#", "STEP", "OF", "WHAT"),
        [
            (number, step.get("kind"), step.get("subject"), step.get("text"))
            for number, step in enumerate(answer.get("steps", []), 1)
        ],
        numbers=(0,),
    )


@click.command()
@_config_option
@click.option(
    "--exit-code", is_flag=True, help=f"Exit {CHANGES_EXIT} when there is something to do."
)
@click.pass_context
def plan(ctx: click.Context, config: Path | None, exit_code: bool) -> None:
    """Show what apply would do, in order; change nothing."""
    out = output()
    answer = out.ask("plan", **_asked(config))
    out.show(
        answer,
        text.paragraphs(
            _steps(answer) or "nothing to do", text.warnings(answer.get("warnings", []))
        ),
    )
    ctx.exit(CHANGES_EXIT if exit_code and answer.get("steps") else 0)


@click.command()
@_config_option
@click.option(
    "--force",
    is_flag=True,
    help="Let the worker have the port of your SSH session, or of the last default route.",
)
def apply(config: Path | None, force: bool) -> None:
    """Make the gateway what the configuration says; undo it all when a step fails.

    With --config the agent uses that file from then on, until it is restarted. A port that
    was applied once is not refused again, after a reboot neither.
    """
    out = output()
    given = {**_asked(config), **({"force": True} if force else {})}
    answer = out.ask("apply", timeout=APPLY_TIMEOUT, **given)
    out.show(answer, _done(answer, "nothing to do"))


@click.command()
@click.option("--stay", is_flag=True, help="Leave the agent running; `apply` forwards again.")
def detach(stay: bool) -> None:
    """Take the gateway off every port, undo what it changed on the host, and end the agent.

    When no agent runs, `gw-agent --detach` removes what an earlier one left.
    """
    out = output()
    try:
        if stay:
            answer = out.ask("detach", timeout=APPLY_TIMEOUT)
        else:
            answer = out.ask_last("shutdown", timeout=APPLY_TIMEOUT, detach=True)
    except NotRunningError as error:
        name = out.instance.name
        option = "" if name == DEFAULT_INSTANCE else f" --instance {name}"
        error.message += f"; `gw-agent{option} --detach` removes what an earlier one left"
        raise
    out.show(answer, _done(answer or {}, "detached"))


def _done(answer: dict[str, Any], nothing: str) -> str:
    steps = _steps(answer)
    done = text.count(len(answer.get("steps", [])), "step") + " done" if steps else nothing
    return text.paragraphs(steps, done, text.warnings(answer.get("warnings", [])))
