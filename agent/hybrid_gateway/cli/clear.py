# SPDX-License-Identifier: GPL-2.0-or-later
"""gwctl clear"""

from typing import Any

import click

from . import text
from .base import output
from .evpn import clear_evpn
from .filters import asked, session_options


@click.group()
def clear() -> None:
    """Forget things that the gateway has learned."""


clear.add_command(clear_evpn)


@clear.command()
@session_options
def sessions(**options: Any) -> None:
    """Forget NAT sessions, all or those that match; their connections break.

    What would be forgotten, `gwctl show sessions` tells with the same options.
    """
    out = output()
    # A million sessions take longer than an ordinary answer.
    answer = out.ask("clear.sessions", timeout=300.0, **asked(options))
    out.show(answer, f"{text.count(answer['cleared'], 'session')} cleared")
