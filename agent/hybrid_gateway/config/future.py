# SPDX-License-Identifier: GPL-2.0-or-later
"""Keys that are planned but do nothing yet.

A key that is accepted must work, so these are refused by name: a person who
read about them elsewhere learns that it is not a spelling mistake.
"""

from collections.abc import Callable, Iterator
from typing import Any

from .document import Document, Path

MESSAGE = "not available in this version"


def _any(_: Any) -> bool:
    return True


Rule = tuple[Path, Callable[[Any], bool], str]

RULES: tuple[Rule, ...] = (
    (("worker",), _any, ""),
    (("evpn",), _any, ""),
    (("ipsec",), _any, ""),
    (("ports", "*", "plane"), lambda value: value == "dpdk", "plane dpdk is "),
    (("ports", "*", "pci"), _any, ""),
    (("ports", "*", "vdev"), _any, ""),
)

# What makes no sense without the refused key, and would only be complained about again.
_SWALLOWS = frozenset({"pci", "vdev"})


def refuse(document: Document) -> set[Path]:
    """Add a problem for each such key; returns the paths that need no further checks."""
    swallowed: set[Path] = set()
    for pattern, applies, what in RULES:
        for path, value in _matches(document.value, pattern, ()):
            if not applies(value):
                continue
            document.add(path, f"{what}{MESSAGE}", "config.unavailable")
            swallowed.add(path[:-1] if path[-1] in _SWALLOWS else path)
    return swallowed


def _matches(value: Any, pattern: Path, path: Path) -> Iterator[tuple[Path, Any]]:
    if not pattern:
        yield path, value
        return
    head, rest = pattern[0], pattern[1:]
    if head == "*":
        items: Any = value.items() if isinstance(value, dict) else ()
        items = enumerate(value) if isinstance(value, list) else items
        for key, child in items:
            yield from _matches(child, rest, (*path, key))
    elif isinstance(value, dict) and head in value:
        yield from _matches(value[head], rest, (*path, head))
