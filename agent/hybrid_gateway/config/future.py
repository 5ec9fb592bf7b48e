# SPDX-License-Identifier: GPL-2.0-or-later
"""Keys that are planned but do nothing yet.

A key that is accepted must work, so these are refused by name: a person who
read about them elsewhere learns that it is not a spelling mistake.
"""

from .document import Document, Path

MESSAGE = "not available in this version"
SECTIONS = ("ipsec",)


def refuse(document: Document) -> set[Path]:
    """Add a problem for each such key; returns the paths that need no further checks."""
    given = document.value if isinstance(document.value, dict) else {}
    found: set[Path] = {(name,) for name in SECTIONS if name in given}
    for path in found:
        document.add(path, MESSAGE, "config.unavailable")
    return found
