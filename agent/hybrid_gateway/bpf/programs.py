# SPDX-License-Identifier: GPL-2.0-or-later
"""Both BPF objects in the kernel, with their maps; what is attached or pinned is not theirs."""

from collections.abc import Callable

from _gw_native import ffi, lib

from ..errors import GwError, KernelError
from .maps import Map
from .objects import LoadedObject, ObjectFile
from .records import LoadReport, MapSizes

XDP_PROGRAMS = ("gw_xdp", "gw_sweep_start", "gw_sweep_slice", "gw_import", "gw_remove")
TC_PROGRAMS = ("gw_guard", "gw_handover", "gw_tunnel")
FRAME = 64
"""Bytes of the frame that the programs are run on which look at none."""

# Map name: C types of key and value, as the agent uses them.
TYPES = {
    "gw_settings": ("__u32", "struct gw_settings"),
    "gw_devices": ("__u32", "struct gw_device"),
    "gw_tx": ("__u32", "__u32"),
    "gw_fdb": ("struct gw_fdb_key", "struct gw_fdb_entry"),
    "gw_vnis": ("struct gw_vni_key", "struct gw_vni"),
    "gw_vteps": ("struct gw_vtep_key", "struct gw_vtep"),
    "gw_tunnels": ("__u32", "struct gw_tunnel"),
    "gw_floods": ("struct gw_flood_key", "struct gw_flood"),
    "gw_addresses": ("__u32", "__u32"),
    "gw_static_in": ("struct gw_static_key", "struct gw_static"),
    "gw_static_out": ("struct gw_static_key", "struct gw_static"),
    "gw_inside": ("struct gw_prefix", "__u32"),
    "gw_records": ("__u32", "struct gw_record"),
    "gw_mappings": ("__u32", "struct gw_mapping"),
    "gw_hosts": ("__u32", "struct gw_host"),
    "gw_counters": ("__u32", "struct gw_port_counters"),
    "gw_status": ("__u32", "struct gw_status"),
    "gw_sweeps": ("__u32", "struct gw_sweep"),
    "gw_saved_batch": ("__u32", "struct gw_saved"),
    "gw_picks": ("__u32", "struct gw_pick"),
    "gw_batch": ("__u32", "struct gw_batch"),
}

Adopt = Callable[[LoadedObject], LoadReport]
"""Lets an object that is not loaded yet use maps that are there."""


def bucket_count(entries: int) -> int:
    """A power of two, so that a bucket with room for seven entries holds no more than four."""
    return 1 << max(0, (entries - 1) // 4).bit_length()


def map_sizes(sizes: MapSizes) -> dict[str, int]:
    """max_entries of the maps whose size the configuration decides (see bpf/src/maps.h)."""
    return {
        "gw_sessions": bucket_count(2 * sizes.sessions),
        "gw_records": sizes.sessions,
        "gw_free": sizes.sessions,
        "gw_endpoints": bucket_count(sizes.sessions),
        "gw_permits": bucket_count(sizes.sessions),
        "gw_mappings": sizes.pool * lib.GW_SLOTS_PER_ADDRESS,
    }


class Programs:
    """Loaded when made; `report` says whether over the maps of an earlier load."""

    def __init__(self, xdp: ObjectFile, tc: ObjectFile, sizes: MapSizes, adopt: Adopt) -> None:
        self.sizes = sizes
        self._xdp, self._tc = LoadedObject(xdp), LoadedObject(tc)
        try:
            wanted = self._xdp.maps()
            for name, entries in map_sizes(sizes).items():
                lib.gw_map_resize(wanted[name], entries)
            self.report = adopt(self._xdp)
            self._xdp.load()
            shared = self._xdp.maps()
            for name, other in self._tc.maps().items():
                if name in shared:
                    lib.gw_map_reuse(other, lib.gw_map_fd(shared[name]))
            self._tc.load()
        except GwError:
            self.close()
            raise
        self.descriptors = {name: lib.gw_map_fd(shared[name]) for name in shared}
        self._maps = {
            name: Map(self.descriptors[name], name, key, value)
            for name, (key, value) in TYPES.items()
        }

    def close(self) -> None:
        """Programs and maps that are neither attached nor pinned go away."""
        self._xdp.close()
        self._tc.close()

    def program(self, name: str) -> int:
        return (self._xdp if name in XDP_PROGRAMS else self._tc).program(name)

    def table(self, name: str) -> Map:
        return self._maps[name]

    def run(self, name: str) -> None:
        """Runs a program that looks at no frame, once."""
        frame, size, action = (
            ffi.new("char[]", FRAME),
            ffi.new("__u32 *", FRAME),
            ffi.new("__u32 *"),
        )
        result = lib.gw_test_run(self.program(name), frame, size, FRAME, 0, action)
        if result or action[0] == 0:
            raise KernelError(f"running {name}", result, code="bpf.run")
