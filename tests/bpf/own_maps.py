# SPDX-License-Identifier: GPL-2.0-or-later
"""The maps that only the data path writes, read through their pins as bpftool would."""

import os
from collections.abc import Iterator
from typing import Any

from _gw_native import ffi, lib

from hybrid_gateway.bpf import DataPlane
from hybrid_gateway.bpf.maps import Map
from hybrid_gateway.instance import Instance

PINNED = {
    "gw_sessions": ("__u32", "struct gw_bucket"),
    "gw_endpoints": ("__u32", "struct gw_bucket"),
    "gw_permits": ("__u32", "struct gw_bucket"),
    "gw_hosts": ("__u32", "struct gw_host"),
    "gw_mappings": ("__u32", "struct gw_mapping"),
    "gw_error_budget": ("__u32", "__u64"),
    "gw_fragments": ("__u32", "__u64"),
    "gw_memo": ("__u32", "__u64"),
    "gw_kept": ("__u32", "__u64"),
    "gw_ways": ("__u32", "__u64"),
}
MEMO = 64
"""Bytes that struct memo of bpf/src/memo.h has at most, for each CPU."""
BUDGET = 2 * 8
"""Bytes of struct error_budget in bpf/src/icmp_error.h, one for each CPU."""


class OwnMaps:
    """Open until close()."""

    def __init__(self, dataplane: DataPlane, instance: Instance) -> None:
        self._dataplane = dataplane
        self.maps = {name: self._open(instance, name, *types) for name, types in PINNED.items()}
        self._no_way = ffi.new("char[]", MEMO * lib.gw_possible_cpus())

    @staticmethod
    def _open(instance: Instance, name: str, key: str, value: str) -> Map:
        fd = lib.gw_pinned(os.fsencode(instance.pinned_maps / name))
        assert fd >= 0, f"map {name} is not pinned"
        return Map(fd, name, key, value)

    def close(self) -> None:
        for table in self.maps.values():
            lib.gw_close(table.fd)

    def refill_error_budget(self) -> None:
        """ICMP errors may be sent again at once."""
        zeros = ffi.new("char[]", BUDGET * lib.gw_possible_cpus())
        table = self.maps["gw_error_budget"]
        for kind in range(2):
            assert lib.gw_update(table.fd, ffi.new("__u32 *", kind), zeros) == 0

    def forget_way(self) -> None:
        """As if the coarse clock had ticked."""
        table = self.maps["gw_memo"]
        assert lib.gw_update(table.fd, ffi.new("__u32 *"), self._no_way) == 0

    def forget_fragments(self) -> None:
        """As if the times were over for which fragments are remembered and kept."""
        for name in ("gw_fragments", "gw_kept"):
            table, info = self.maps[name], ffi.new("struct gw_map_info *")
            assert lib.gw_fd_map_info(table.fd, info) == 0
            zeros = ffi.new("char[]", info.value_size)
            for index in range(info.max_entries):
                assert lib.gw_update(table.fd, ffi.new("__u32 *", index), zeros) == 0

    def leaks(self) -> list[str]:
        """What is left although every session was ended; mappings are looked at apart."""
        hosts = self.maps["gw_hosts"].every_key()
        found = [f"gw_hosts: {bytes(ffi.buffer(key)).hex(' ')}" for key in hosts]
        for name in ("gw_sessions", "gw_endpoints", "gw_permits"):
            for number, bucket in self._elements(self.maps[name]):
                if bucket.lock or any(bucket.tags):
                    found.append(f"{name} {number}: lock {bucket.lock}, tags {list(bucket.tags)}")
        for index, record in self._elements(self._dataplane.table("gw_records")):
            if record.session.claim & lib.GW_CLAIM_MASK != lib.GW_CLAIM_FREE:
                found.append(f"record {index}: claim {record.session.claim}")
        if self._dataplane.session_count():
            found.append(f"session_count() is {self._dataplane.session_count()}")
        return found

    @staticmethod
    def _elements(table: Map) -> Iterator[tuple[int, Any]]:
        info = ffi.new("struct gw_map_info *")
        assert lib.gw_fd_map_info(table.fd, info) == 0
        return table.slice(0, info.max_entries)

    def mapping_leaks(self) -> list[str]:
        """Mappings with users although every session was ended. Reads some megabytes."""
        table, info = self.maps["gw_mappings"], ffi.new("struct gw_map_info *")
        assert lib.gw_fd_map_info(table.fd, info) == 0
        size, slots = info.value_size, info.max_entries
        keys, values = ffi.new("__u32[]", slots), ffi.new("char[]", slots * size)
        count, following = ffi.new("__u32 *", slots), ffi.new("__u32 *")
        lib.gw_lookup_batch(table.fd, ffi.NULL, following, keys, values, count)
        assert count[0] == slots
        at = ffi.offsetof("struct gw_mapping", "users") // 4
        users = memoryview(ffi.buffer(values)).cast("I")[at :: size // 4]
        return [f"slot {slot}: {n} users" for slot, n in enumerate(users) if n]
