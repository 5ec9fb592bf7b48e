# SPDX-License-Identifier: GPL-2.0-or-later
"""gwctl clear"""

import click

from . import text
from .base import output


@click.group()
def clear() -> None:
    """Forget things that the gateway has learned."""


@clear.command()
def sessions() -> None:
    """Forget every NAT session; connections through the gateway break."""
    out = output()
    answer = out.ask("clear.sessions")
    out.show(answer, f"{text.count(answer['cleared'], 'session')} cleared")
