# SPDX-License-Identifier: GPL-2.0-or-later
"""What was taken from the kernel, in a file that is written before anything is changed.

It is in /run, and so gone after a reboot, as is everything that it speaks of. It belongs to one
network namespace: in another one it says nothing.
"""

import contextlib
import fcntl
import json
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import IO, Any

from ..errors import DeviceError, GwError
from ..restore import where_we_are, write_atomically
from . import state
from .state import DeviceState

VERSION = 1
DAMAGE = (ValueError, KeyError, TypeError, AttributeError, RecursionError)
"""What reading something else than a record raises."""
SIZE_MAX = 256 << 20
log = logging.getLogger(__name__)


class Kind(Enum):
    """What a port was before."""

    PCI = "pci"
    """A PCI function, which left the kernel's driver."""
    WIRE = "wire"
    """A device of the kernel's, which stays under another name."""
    VIRTUAL = "virtual"
    """Nothing: it is made by DPDK."""


class Stage(Enum):
    """How far it went; what is not TAKEN is given back before it is taken again."""

    TAKING = "taking"
    TAKEN = "taken"
    RETURNING = "returning"


@dataclass(frozen=True, slots=True)
class Entry:
    """All that giving back one port takes; strings are empty where there is nothing."""

    port: str
    source: str
    """The device in the configuration's words."""
    kind: Kind
    stage: Stage
    tap: str
    """Also the name of the device before."""
    eal: str
    mac: str
    iova_pa: bool = False
    address: str = ""
    """Of the PCI function."""
    driver: str = ""
    """That the function had."""
    override: str = ""
    binding: str = ""
    """That it has for us."""
    wire: str = ""
    state: DeviceState | None = None
    """Of the device; None: it had none in the kernel."""


@dataclass(frozen=True, slots=True)
class Pages:
    """Hugepages that we added to one pool."""

    added: int = 0
    asked: int = 0
    """So many more were being asked for, of a pool that had `before`."""
    before: int = 0

    def now(self, count: int) -> int:
        """How many of the pool's `count` pages are ours."""
        return self.added + max(0, min(self.asked, count - self.before))


@dataclass(slots=True)
class Contents:
    """The whole record; `save` it after each change."""

    entries: dict[str, Entry] = field(default_factory=dict)
    hugepages: dict[str, Pages] = field(default_factory=dict)
    """By the path of the pool's count below /sys."""

    def __bool__(self) -> bool:
        return bool(self.entries or self.hugepages)


class Record:
    """One file; whoever changes it holds its lock, in whatever process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read: tuple[tuple[int, int, int], Contents] | None = None
        """What was read last, and of which file: with a full table of routes it is large."""

    @contextlib.contextmanager
    def locked(self) -> Iterator[Contents]:
        """The contents, which nobody else changes meanwhile."""
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        lock = self.path.with_name(f".{self.path.name}.lock")
        with _alone(lock):
            try:
                yield self.load()
            finally:
                lock.unlink(missing_ok=True)

    def load(self) -> Contents:
        """Empty when there is none; DeviceError for a file that is not one of ours."""
        try:
            with self.path.open("rb") as stream:
                version = _version(os.fstat(stream.fileno()))
                if self._read is None or self._read[0] != version:
                    self._read = (version, self._parse(stream.read(SIZE_MAX)))
        except FileNotFoundError:
            return Contents()
        known = self._read[1]
        return Contents(dict(known.entries), dict(known.hugepages))

    def _parse(self, data: bytes) -> Contents:
        try:
            stored = json.loads(data)
            if stored["version"] != VERSION:
                raise ValueError(f"version {stored['version']!r}")
            if stored["place"] != where_we_are():
                log.warning("%s: of another network namespace or boot, left out", self.path)
                return Contents()
            return _contents(stored)
        except (*DAMAGE, DeviceError) as error:
            raise DeviceError(
                f"{self.path}: not a record of what was taken ({error})", code="device.record"
            ) from error

    def save(self, contents: Contents) -> None:
        """On the disk when this returns; no file when there is nothing to remember. GwError when
        the disk is full, for example: then the record is what it was."""
        if not contents:
            self.path.unlink(missing_ok=True)
            return
        stored = {
            "version": VERSION,
            "place": where_we_are(),
            "ports": [_stored(entry) for _, entry in sorted(contents.entries.items())],
            "hugepages": {
                path: [pages.added, pages.asked, pages.before]
                for path, pages in sorted(contents.hugepages.items())
            },
        }
        # Without indentation, for which Python has no fast encoder: there may be 100,000 routes.
        write_atomically(self.path, json.dumps(stored).encode() + b"\n")
        known = Contents(dict(contents.entries), dict(contents.hugepages))
        self._read = (_version(self.path.stat()), known)


def _alone(lock: Path) -> IO[bytes]:
    """The lock's file, which nobody else has until it is closed. Not the folder: any user may open
    that, and so lock it, and the gateway would wait for him."""
    while True:
        try:
            file = os.fdopen(os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "rb")
        except OSError as error:
            raise GwError(f"{lock} cannot be made: {error.strerror}", code="disk") from error
        fcntl.flock(file, fcntl.LOCK_EX)
        # Who had it took the file away: what we hold may have no name any more.
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(lock.stat(), os.fstat(file.fileno())):
                return file
        file.close()


def _version(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_ino, status.st_mtime_ns, status.st_size


def _stored(entry: Entry) -> dict[str, Any]:
    stored: dict[str, Any] = {}
    for name in Entry.__slots__:
        value = getattr(entry, name)
        if isinstance(value, Enum):
            value = value.value
        elif isinstance(value, DeviceState):
            value = state.to_json(value)
        stored[name] = value
    return stored


def _contents(stored: dict[str, Any]) -> Contents:
    entries = {}
    for one in stored["ports"]:
        entry = _entry(one)
        entries[entry.port] = entry
    pages = {
        str(path): Pages(int(added), int(asked), int(before))
        for path, (added, asked, before) in stored["hugepages"].items()
    }
    if any(".." in path or not path.endswith("nr_hugepages") for path in pages):
        raise ValueError("hugepages somewhere else")
    return Contents(entries, pages)


def _entry(stored: dict[str, Any]) -> Entry:
    if set(stored) != set(Entry.__slots__):
        raise ValueError("a port with other fields")
    fields = dict(stored)
    for name in ("port", "source", "tap", "eal", "mac", "address", "driver", "override"):
        if not isinstance(stored[name], str):
            raise ValueError(f"{name} is no text")
    for name in ("tap", "wire", "binding", "driver"):
        # These become parts of paths.
        if "/" in str(stored[name]) or str(stored[name]) in (".", ".."):
            raise ValueError(f"{name}: {stored[name]!r}")
    fields["kind"], fields["stage"] = Kind(stored["kind"]), Stage(stored["stage"])
    fields["iova_pa"] = bool(stored["iova_pa"])
    fields["wire"], fields["binding"] = str(stored["wire"]), str(stored["binding"])
    if stored["state"] is not None:
        fields["state"] = state.from_json(stored["state"])
    return Entry(**fields)
