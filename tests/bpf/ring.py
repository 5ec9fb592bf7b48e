# SPDX-License-Identifier: GPL-2.0-or-later
"""The ring of log events, read as <linux/bpf.h> describes BPF_MAP_TYPE_RINGBUF to user space."""

import mmap
import os
import struct
from typing import Any

from _gw_native import ffi, lib

from hybrid_gateway.instance import Instance

HEADER, ALIGN = 8, 8
BUSY, DISCARDED = 1 << 31, 1 << 30


class Ring:
    """Events from now on, until close(); nobody else may read them meanwhile."""

    def __init__(self, instance: Instance) -> None:
        info = ffi.new("struct gw_map_info *")
        fd = lib.gw_pinned(os.fsencode(instance.pinned_maps / "gw_log"))
        assert fd >= 0, "gw_log is not pinned"
        assert lib.gw_fd_map_info(fd, info) == 0
        self._size = int(info.max_entries)
        page = mmap.PAGESIZE
        self._consumer = mmap.mmap(fd, page)
        # The data is there twice in a row, so that no event is cut in two.
        self._producer = mmap.mmap(fd, page + 2 * self._size, prot=mmap.PROT_READ, offset=page)
        lib.gw_close(fd)
        self.events()

    def close(self) -> None:
        self._consumer.close()
        self._producer.close()

    def events(self) -> list[Any]:
        """Those since the last call, as struct gw_log_event *."""
        (at,) = struct.unpack_from("=Q", self._consumer)
        (end,) = struct.unpack_from("=Q", self._producer)
        found = []
        while at < end:
            start = mmap.PAGESIZE + at % self._size
            (length,) = struct.unpack_from("=I", self._producer, start)
            assert not length & (BUSY | DISCARDED)
            start += HEADER
            found.append(self._event(self._producer[start : start + length]))
            at += HEADER + (length + ALIGN - 1) // ALIGN * ALIGN
        struct.pack_into("=Q", self._consumer, 0, at)
        return found

    @staticmethod
    def _event(data: bytes) -> Any:
        assert len(data) == ffi.sizeof("struct gw_log_event")
        return ffi.new("struct gw_log_event *", ffi.from_buffer("struct gw_log_event *", data)[0])
