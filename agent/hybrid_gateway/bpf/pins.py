# SPDX-License-Identifier: GPL-2.0-or-later
"""Pinned maps: what keeps sessions alive while no agent runs."""

import os
import struct
from collections.abc import Mapping
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


class Pins:
    """The pin directory of one instance."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._maps = folder / "maps"

    def prepare(self) -> None:
        """Makes the directories; mounts bpffs on a host that has not."""
        if not os.path.ismount(BPFFS):
            mount_bpffs()
        self._maps.mkdir(parents=True, exist_ok=True)

    def adopt(self, wanted: Mapping[str, Any]) -> LoadReport:
        """Lets the object use the pinned maps if all of them fit it, or none."""
        pinned = {name: lib.gw_pinned(os.fsencode(self._maps / name)) for name in wanted}
        try:
            if all(fd < 0 for fd in pinned.values()):
                return LoadReport(False, "nothing was loaded before")
            reason = self._difference(wanted, pinned)
            if reason:
                return LoadReport(False, reason)
            for name, fd in pinned.items():
                result = lib.gw_map_reuse(wanted[name], fd)
                if result:
                    raise KernelError(f"map {name}: reuse", result, code="bpf.pin")
            return LoadReport(True, "")
        finally:
            for fd in pinned.values():
                if fd >= 0:
                    lib.gw_close(fd)

    def _difference(self, wanted: Mapping[str, Any], pinned: Mapping[str, int]) -> str:
        """Why the pinned maps do not fit, or ""."""
        version = self._version(pinned.get(VERSION_MAP, -1))
        if version != abi.VERSION:
            return f"the pinned maps have ABI version {version}, this is {abi.VERSION}"
        here, there = ffi.new("struct gw_map_info *"), ffi.new("struct gw_map_info *")
        # The records come first: their number is the one that people configure.
        for name in sorted(wanted, key=lambda name: name != RECORDS):
            described = wanted[name]
            if pinned[name] < 0 or lib.gw_fd_map_info(pinned[name], there):
                return f"map {name} is not pinned"
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

    @staticmethod
    def _version(fd: int) -> int:
        info = ffi.new("struct gw_map_info *")
        if fd < 0 or lib.gw_fd_map_info(fd, info) or info.value_size < 4:
            return 0
        value = ffi.new("char[]", info.value_size)
        if lib.gw_lookup(fd, ffi.new("__u32 *"), value):
            return 0
        (version,) = struct.unpack_from("=I", ffi.buffer(value))
        return int(version)

    def pin(self, descriptors: Mapping[str, int]) -> None:
        """Pins every map, in place of an older one of that name."""
        for name, fd in descriptors.items():
            path, fresh = self._maps / name, self._maps / f"{name}-new"
            fresh.unlink(missing_ok=True)
            result = lib.gw_pin(fd, os.fsencode(fresh))
            if result:
                raise KernelError(f"{path}: pinning", result, code="bpf.pin")
            fresh.rename(path)
        for path in self._maps.iterdir():
            if path.name not in descriptors:
                path.unlink()


def mount_bpffs() -> None:
    """Mounts bpffs where systemd would have."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"bpf", os.fsencode(BPFFS), b"bpf", 0, None):
        raise KernelError(f"{BPFFS}: mounting bpffs", ctypes.get_errno(), code="bpf.mount")
