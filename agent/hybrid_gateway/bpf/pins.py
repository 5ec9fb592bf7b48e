# SPDX-License-Identifier: GPL-2.0-or-later
"""Pinned maps: what keeps sessions alive while no agent runs.

`maps` holds those in force. Maps that are to take their place are pinned as `maps-next` until
they have the sessions and the ports; then the two names are exchanged at once. Whenever an agent
is killed, the programs on the ports tell the next one which maps are in force. Where they use
both, for it ended in the middle of that, sessions are in both: `maps-last` is what is left to be
carried over.
"""

import os
import shutil
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from _gw_native import ffi, lib

from .. import abi
from ..errors import KernelError
from .records import LoadReport

BPFFS = Path("/sys/fs/bpf")
BPF_FS_MAGIC = 0xCAFE4A11
RECORDS = "gw_records"
VERSION_MAP = "gw_settings"
"""Its value begins with the ABI version, in every version."""


class PinnedMaps:
    """The maps in one folder, opened when asked for; the caller closes them all at once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: dict[str, int] = {}

    def fd(self, name: str) -> int:
        """The map's descriptor, or -1: there is none of that name."""
        if name not in self._open:
            fd: int = lib.gw_pinned(os.fsencode(self._folder / name))
            if fd < 0:
                return -1
            self._open[name] = fd
        return self._open[name]

    def info(self, name: str) -> Any | None:
        """struct gw_map_info, or None."""
        info = ffi.new("struct gw_map_info *")
        fd = self.fd(name)
        return None if fd < 0 or lib.gw_fd_map_info(fd, info) else info

    def value(self, name: str, key: int = 0) -> bytes | None:
        """An element of an array, as it is in memory."""
        info = self.info(name)
        if info is None:
            return None
        value = ffi.new("char[]", info.value_size)
        if lib.gw_lookup(self.fd(name), ffi.new("__u32 *", key), value):
            return None
        return bytes(ffi.buffer(value))

    def version(self) -> int:
        """The ABI version of whoever made them; 0: unknown."""
        value = self.value(VERSION_MAP)
        return int(struct.unpack_from("=I", value)[0]) if value and len(value) >= 4 else 0

    def close(self) -> None:
        for fd in self._open.values():
            lib.gw_close(fd)
        self._open.clear()


class Pins:
    """The pin directory of one instance."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._maps = folder / "maps"
        self._next = folder / "maps-next"
        self._last = folder / "maps-last"
        self._restored = folder / "restored"

    def prepare(self, in_use: Callable[[int], bool]) -> None:
        """Makes the directories; mounts bpffs on a host that has not.

        After a replacement of the maps that did not come to its end, `maps` is what the ports use:
        `in_use` tells whether a map, by its id, is of the programs on them.
        """
        if not os.path.ismount(BPFFS):
            mount_bpffs()
        self._maps.mkdir(parents=True, exist_ok=True)
        if self._next.exists():
            if self._is_in_use(self._next, in_use):
                self._exchange()
                _remove(self._last)
                self._next.rename(self._last)
            _remove(self._next)

    @staticmethod
    def _is_in_use(folder: Path, in_use: Callable[[int], bool]) -> bool:
        maps = PinnedMaps(folder)
        try:
            info = maps.info(RECORDS)
            return info is not None and in_use(int(info.id))
        finally:
            maps.close()

    def adopt(self, wanted: Mapping[str, Any]) -> LoadReport:
        """Lets the object use the pinned maps if all of them fit it, or none."""
        pinned = PinnedMaps(self._maps)
        try:
            if all(pinned.fd(name) < 0 for name in wanted):
                return LoadReport(False, "nothing was loaded before")
            reason = self._difference(wanted, pinned)
            if reason:
                return LoadReport(False, reason)
            for name, described in wanted.items():
                result = lib.gw_map_reuse(described, pinned.fd(name))
                if result:
                    raise KernelError(f"map {name}: reuse", result, code="bpf.pin")
            return LoadReport(True, "")
        finally:
            pinned.close()

    @staticmethod
    def _difference(wanted: Mapping[str, Any], pinned: PinnedMaps) -> str:
        """Why the pinned maps do not fit, or ""."""
        version = pinned.version()
        if version != abi.VERSION:
            return f"the pinned maps have ABI version {version}, this is {abi.VERSION}"
        # The records come first: their number is the one that people configure.
        for name in sorted(wanted, key=lambda name: name != RECORDS):
            there = pinned.info(name)
            if there is None:
                return f"map {name} is not pinned"
            reason = difference(name, wanted[name], there)
            if reason:
                return reason
        return ""

    def sources(self, report: LoadReport) -> list[Path]:
        """Where sessions are that the loaded maps do not have, the newest first."""
        found = [self._last] if self._last.exists() else []
        if not report.reused and any(self._maps.iterdir()):
            found.insert(0, self._maps)
        return found

    def pin(self, descriptors: Mapping[str, int], *, beside: bool) -> None:
        """Pins every map, or those of them that are not; `beside` those in force."""
        folder = self._next if beside else self._maps
        folder.mkdir(exist_ok=True)
        for name, fd in descriptors.items():
            path, fresh = folder / name, folder / f"{name}-new"
            fresh.unlink(missing_ok=True)
            result = lib.gw_pin(fd, os.fsencode(fresh))
            if result:
                raise KernelError(f"{path}: pinning", result, code="bpf.pin")
            fresh.rename(path)
        for path in folder.iterdir():
            if path.name not in descriptors:
                path.unlink()

    def commit(self) -> None:
        """What is beside the maps in force takes their place; nothing else stays."""
        if self._next.exists():
            self._exchange()
        self.discard()
        _remove(self._last)

    def discard(self) -> None:
        """Forgets what is beside the maps in force."""
        _remove(self._next)

    def _exchange(self) -> None:
        result = lib.gw_exchange(os.fsencode(self._next), os.fsencode(self._maps))
        if result:
            raise KernelError(f"{self._next}: putting in place", result, code="bpf.pin")

    # ---- a mark that lives as long as the pins ----------------------------------------

    @property
    def restored(self) -> bool:
        """Whether the maps have what was saved on disk; more than that from then on."""
        return self._restored.is_dir()

    def mark_restored(self) -> None:
        self._restored.mkdir(parents=True, exist_ok=True)


def difference(name: str, described: Any, there: Any) -> str:
    """Why a map that is there, by its info, cannot be the one that an object describes, or ""."""
    here = ffi.new("struct gw_map_info *")
    lib.gw_map_wanted(described, here)
    if (here.type, here.key_size, here.value_size) != (
        there.type,
        there.key_size,
        there.value_size,
    ):
        return f"map {name} has another layout"
    if here.max_entries != there.max_entries and name == RECORDS:
        return f"room for sessions: {there.max_entries} before, {here.max_entries} now"
    if here.max_entries != there.max_entries:
        return f"map {name} has {there.max_entries} entries, wanted {here.max_entries}"
    return ""


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


def mount_bpffs() -> None:
    """Mounts bpffs where systemd would have."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"bpf", os.fsencode(BPFFS), b"bpf", 0, None):
        raise KernelError(f"{BPFFS}: mounting bpffs", ctypes.get_errno(), code="bpf.mount")
