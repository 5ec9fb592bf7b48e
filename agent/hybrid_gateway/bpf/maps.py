# SPDX-License-Identifier: GPL-2.0-or-later
"""One BPF map: lookups and updates with C values, errors as exceptions."""

import errno
from collections.abc import Iterator
from typing import Any

from _gw_native import ffi, lib

from ..errors import KernelError

BATCH = 4096


class Map:
    """A map by its file descriptor, which the caller owns; `key` and `value` are C types."""

    def __init__(self, fd: int, name: str, key: str, value: str) -> None:
        self.fd = fd
        self.name = name
        self._key = key
        self._value = value

    def _key_pointer(self, key: Any) -> Any:
        return ffi.new(f"{self._key} *", key) if isinstance(key, int) else key

    def _fail(self, what: str, result: int) -> KernelError:
        return KernelError(f"map {self.name}: {what}", -result, code="bpf.map")

    def id(self) -> int:
        """The kernel's: the same map has the same one, by whatever descriptor."""
        info = ffi.new("struct gw_map_info *")
        result = lib.gw_fd_map_info(self.fd, info)
        if result:
            raise self._fail("info", result)
        return int(info.id)

    def get(self, key: Any) -> Any | None:
        """A copy of the value, or None."""
        value = ffi.new(f"{self._value} *")
        result = lib.gw_lookup(self.fd, self._key_pointer(key), value)
        if result == -errno.ENOENT:
            return None
        if result:
            raise self._fail("lookup", result)
        return value

    def set(self, key: Any, value: Any) -> None:
        if isinstance(value, int):
            value = ffi.new(f"{self._value} *", value)
        result = lib.gw_update(self.fd, self._key_pointer(key), value)
        if result:
            raise self._fail("update", result)

    def delete(self, key: Any) -> None:
        """Absent already is fine."""
        result = lib.gw_delete(self.fd, self._key_pointer(key))
        if result and result != -errno.ENOENT:
            raise self._fail("delete", result)

    def every_key(self) -> list[Any]:
        """Every key; for small maps that only the agent writes."""
        found: list[Any] = []
        previous = ffi.NULL
        while True:
            key = ffi.new(f"{self._key} *")
            result = lib.gw_next_key(self.fd, previous, key)
            if result == -errno.ENOENT:
                return found
            if result:
                raise self._fail("next key", result)
            found.append(key)
            previous = key

    def replace(self, wanted: dict[bytes, Any]) -> None:
        """Makes the map hold exactly these: key bytes to C value pointer.

        What is wanted is written before what is not is deleted, so that an entry that stays is
        never missing.
        """
        for key_bytes, value in wanted.items():
            self.set(ffi.from_buffer(f"{self._key} *", key_bytes), value)
        for key in self.every_key():
            if bytes(ffi.buffer(key)) not in wanted:
                self.delete(key)

    def slice(self, start: int, count: int) -> Iterator[tuple[int, Any]]:
        """Elements start, start+1, … of an array map; the values are valid until the next one."""
        count = min(count, BATCH)
        keys = ffi.new("__u32[]", count)
        values = ffi.new(f"{self._value}[]", count)
        read = ffi.new("__u32 *", count)
        following = ffi.new("__u32 *")
        previous = ffi.new("__u32 *", start - 1) if start else ffi.NULL
        result = lib.gw_lookup_batch(self.fd, previous, following, keys, values, read)
        if result and result != -errno.ENOENT:
            raise self._fail("batch lookup", result)
        for i in range(read[0]):
            yield keys[i], values[i]
