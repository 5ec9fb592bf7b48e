# SPDX-License-Identifier: GPL-2.0-or-later
"""Which entries in the kernel are ours, and where they may be.

The kernel keeps flags for a flood list as a whole and none for a member, so the owner's static
VTEPs and ours look the same there. The record is in /run: it lives as long as the kernel's lists.
"""

import contextlib
import json
import logging
from collections.abc import Iterable
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from ..model import Segment
from .entries import Binding, FloodEntry, KernelEntry, RemoteMac
from .kernel_socket import Fact, FactFlag, FactKind

log = logging.getLogger(__name__)


class FloodRecord:
    """Written before the kernel is: what it has too much is not there, and no harm."""

    def __init__(self, path: Path | None) -> None:
        """None: only in memory. What cannot be read counts as empty."""
        self._path = path
        self._entries: set[FloodEntry] = set()
        self.segments: tuple[Segment, ...] = ()
        """To which entries were written, as far as is needed to find and delete them."""
        if path:
            with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
                self._load(json.loads(path.read_text(encoding="ascii")))
        self._saved = self._state()

    def _load(self, found: dict[str, Any]) -> None:
        self._entries = {FloodEntry(int(vni), ip_address(vtep)) for vni, vtep in found["floods"]}
        self.segments = tuple(Segment(**row, port=0, family=0) for row in found["segments"])

    def _state(self) -> tuple[frozenset[FloodEntry], tuple[Segment, ...]]:
        return frozenset(self._entries), self.segments

    def _rows(self) -> dict[str, Any]:
        return {
            "floods": sorted([entry.vni, str(entry.vtep)] for entry in self._entries),
            "segments": [
                {
                    "ifindex": segment.ifindex,
                    "name": segment.name,
                    "vni": segment.vni,
                    "bridge": segment.bridge,
                    "bridge_name": segment.bridge_name,
                    "vlan": segment.vlan,
                    "external": segment.external,
                }
                for segment in self.segments
            ],
        }

    def __contains__(self, entry: FloodEntry) -> bool:
        return entry in self._entries

    def follow(self, segments: Iterable[Segment]) -> None:
        """From now on entries are written to these."""
        self.segments = tuple(segments)

    def add(self, entry: FloodEntry) -> None:
        self._entries.add(entry)

    def discard(self, entry: FloodEntry) -> None:
        self._entries.discard(entry)

    def save(self) -> None:
        """If it cannot be written, members that are left over after a restart will be taken for
        the owner's, and stay: worth a warning, and no reason not to go on."""
        if self._path is None or self._saved == self._state():
            return
        fresh = self._path.with_suffix(".new")
        try:
            if any(self._state()):
                fresh.write_text(json.dumps(self._rows()), encoding="ascii")
                fresh.replace(self._path)
            else:
                self._path.unlink(missing_ok=True)
        except OSError as error:
            log.warning("writing %s: %s", self._path, error.strerror)
        self._saved = self._state()


def ours(fact: Fact, vni: int, record: FloodRecord) -> KernelEntry | None:
    """The entry that it is, as far as is needed to delete it; None: it is somebody else's."""
    if fact.address is None:
        return None
    if fact.kind == FactKind.FLOOD:
        entry = FloodEntry(vni, fact.address)
        return entry if entry in record else None
    if fact.kind == FactKind.ENTRY and fact.flags & FactFlag.EXTERN:
        return RemoteMac(vni, fact.mac, fact.address)
    if fact.kind == FactKind.NEIGHBOUR and fact.flags & FactFlag.OURS:
        return Binding(vni, fact.address, fact.mac, bool(fact.flags & FactFlag.ROUTER))
    return None
