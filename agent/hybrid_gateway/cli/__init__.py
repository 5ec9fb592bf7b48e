# SPDX-License-Identifier: GPL-2.0-or-later
"""gwctl: one file a group of commands, each imported only when it is used."""

import contextlib
import os
import sys
from collections.abc import Sequence

import click

from .. import __version__
from ..errors import GwError
from .base import LazyGroup, Output, output

COMMANDS = {
    "status": ("status", "Say whether the gateway forwards."),
    "check": ("config", "Check the configuration; change nothing."),
    "plan": ("config", "Show what apply would do."),
    "apply": ("config", "Make the gateway what the configuration says."),
    "detach": ("config", "Take the gateway off every port and undo what it changed."),
    "show": (
        "show",
        "Show ports, NAT, VXLAN, stations, sessions, counters, the graph or the log.",
    ),
    "clear": ("clear", "Forget sessions, all or some."),
    "nat": ("nat", "Tell what NAT would do with a packet."),
    "lab": ("lab", "A site of network namespaces to play with."),
    "completion": ("completion", "Print a shell's completion script."),
}


@click.group(
    cls=LazyGroup,
    commands_in=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "obj": None},
)
@click.version_option(__version__, "-V", "--version", message="gwctl %(version)s")
def root() -> None:
    """Run and look at the hybrid gateway.

    Exits 0 when done, 1 when it failed, 2 on bad usage or configuration.
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit; the only place that turns errors into exit codes."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    out = Output(as_json="--json" in given[: given.index("--") if "--" in given else None])
    try:
        code = root.main(given, prog_name="gwctl", standalone_mode=False, obj=out)
        sys.stdout.flush()
    except click.UsageError as error:
        code = _usage(out, error)
    except click.ClickException as error:
        code = out.fail(GwError(error.format_message()))
    except GwError as error:
        code = out.fail(error)
    except (KeyboardInterrupt, click.Abort):
        code = 130
    except BrokenPipeError:
        # The reader had enough; Python would complain again when it flushes at exit.
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except Exception as error:
        if os.environ.get("GW_DEBUG"):
            raise
        message = f"{type(error).__name__}: {error} (a fault of gwctl; GW_DEBUG=1 shows more)"
        code = out.fail(GwError(message, code="internal"))
    sys.exit(code if isinstance(code, int) else 0)


def _usage(out: Output, error: click.UsageError) -> int:
    if out.as_json:
        return out.fail(GwError(error.format_message(), code="usage"), exit_code=2)
    error.show()
    return 2


__all__ = ["main", "output", "root"]
