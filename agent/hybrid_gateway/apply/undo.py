# SPDX-License-Identifier: GPL-2.0-or-later
"""How a step is taken back."""

from collections.abc import Callable

Undo = Callable[[], None]


def nothing() -> None:
    """The undoing of what needs none."""


def void(_: object) -> None:
    """Drops what a step returns: an undoing is not itself undone."""
