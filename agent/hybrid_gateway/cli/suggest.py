# SPDX-License-Identifier: GPL-2.0-or-later
"""What the shell offers for an argument when the agent knows the names: the Tab key asks it."""

from collections.abc import Callable

import click

from ..client import Client
from ..errors import GwError
from ..instance import from_environment
from .base import INSTANCE

SECONDS = 0.5
"""Somebody waits with a finger on the key."""
LISTS = {"show.vxlan": "segments", "show.vteps": "vteps", "show.ports": "ports"}
PAGED = frozenset({"show.vxlan", "show.vteps"})
PAGE = 1000
"""Of more than so many nobody picks one by the Tab key."""

Suggest = Callable[[click.Context, click.Parameter, str], list[str]]


def _names(*places: tuple[str, str]) -> Suggest:
    """What stands under a key of a method's entries, for each pair of these."""

    def suggest(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
        found: dict[str, None] = {}
        try:
            with Client(from_environment(ctx.meta.get(INSTANCE)), SECONDS) as client:
                for method, key in places:
                    answer = client.call(method, limit=PAGE if method in PAGED else None)
                    for entry in answer[LISTS[method]]:
                        if entry[key] is not None:
                            found[str(entry[key])] = None
        except GwError:
            return []  # no agent, or one that is busy: nothing is offered
        return [name for name in found if name.startswith(incomplete)]

    return suggest


segment_names = _names(("show.vxlan", "device"), ("show.vxlan", "vni"))
bridge_names = _names(("show.vxlan", "bridge"))
port_devices = _names(("show.ports", "device"), ("show.vxlan", "device"))
vtep_addresses = _names(("show.vteps", "address"))
