# SPDX-License-Identifier: GPL-2.0-or-later
"""The BPF ring in which the data path leaves its events."""

import errno

from _gw_native import ffi, lib

from ..errors import KernelError
from .event import EVENT

SLICE = 4096
"""Events that one read takes at most: some milliseconds of work."""
CAPACITY: int = lib.GW_LOG_BYTES // (8 + EVENT.size)
"""Events that the ring has room for, each behind the kernel's header of eight bytes."""


class Ring:
    """Reads a ring map. Has the map's memory to itself, so it outlives the descriptor."""

    def __init__(self, descriptor: int) -> None:
        if ffi.sizeof("struct gw_log_event") != EVENT.size:
            raise KernelError("gw_log: events have another layout", code="bpf.ring")
        self.map_id = map_id(descriptor)
        self.strange = 0
        """Records that were no events of ours: of programs of another version."""
        error = ffi.new("int *")
        self._ring = lib.gw_ring_open(descriptor, error)
        if self._ring == ffi.NULL:
            raise KernelError("gw_log: opening the ring", error[0], code="bpf.ring")
        self._events = ffi.new("struct gw_log_event[]", SLICE)
        self._memory = memoryview(ffi.buffer(self._events))
        self._strange = ffi.new("__u32 *")
        self.fileno: int = lib.gw_ring_fd(self._ring)
        """Readable while there are events."""

    def read(self) -> memoryview:
        """The next events, at most SLICE, as they lie in memory; valid until the next call."""
        count = lib.gw_ring_read(self._ring, self._events, SLICE, self._strange)
        if count < 0 and count not in (-errno.EAGAIN, -errno.EINTR):
            raise KernelError("gw_log: reading", count, code="bpf.ring")
        self.strange += self._strange[0]
        return self._memory[: max(0, count) * EVENT.size]

    def close(self) -> None:
        if self._ring != ffi.NULL:
            lib.gw_ring_close(self._ring)
            self._ring = ffi.NULL


def map_id(descriptor: int) -> int:
    """The kernel's number of a map: the same map has the same under another descriptor."""
    info = ffi.new("struct gw_map_info *")
    result = lib.gw_fd_map_info(descriptor, info)
    if result:
        raise KernelError("gw_log: looking at the map", result, code="bpf.ring")
    return int(info.id)
