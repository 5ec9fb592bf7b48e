# SPDX-License-Identifier: GPL-2.0-or-later
"""Which members of flood lists are ours.

The kernel keeps flags for a flood list as a whole and none for a member, so the owner's static
VTEPs and ours look the same there. The record is in /run: it lives as long as the kernel's lists.
"""

import contextlib
import json
import logging
from ipaddress import ip_address
from pathlib import Path

from .entries import FloodEntry

log = logging.getLogger(__name__)


class FloodRecord:
    """Written before the kernel is: what it has too much is not there, and no harm."""

    def __init__(self, path: Path | None) -> None:
        """None: only in memory. What cannot be read counts as empty."""
        self._path = path
        self._entries: set[FloodEntry] = set()
        self._saved: frozenset[FloodEntry] = frozenset()
        if path:
            with contextlib.suppress(OSError, ValueError, TypeError):
                rows = json.loads(path.read_text(encoding="ascii"))
                self._entries = {FloodEntry(int(vni), ip_address(vtep)) for vni, vtep in rows}
        self._saved = frozenset(self._entries)

    def __contains__(self, entry: FloodEntry) -> bool:
        return entry in self._entries

    def add(self, entry: FloodEntry) -> None:
        self._entries.add(entry)

    def discard(self, entry: FloodEntry) -> None:
        self._entries.discard(entry)

    def save(self) -> None:
        """If it cannot be written, members that are left over after a restart will be taken for
        the owner's, and stay: worth a warning, and no reason not to go on."""
        if self._path is None or self._saved == self._entries:
            return
        rows = sorted([entry.vni, str(entry.vtep)] for entry in self._entries)
        fresh = self._path.with_suffix(".new")
        try:
            fresh.write_text(json.dumps(rows), encoding="ascii")
            fresh.replace(self._path)
        except OSError as error:
            log.warning("writing %s: %s", self._path, error.strerror)
        self._saved = frozenset(self._entries)
