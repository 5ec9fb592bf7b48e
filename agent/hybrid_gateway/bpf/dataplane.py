# SPDX-License-Identifier: GPL-2.0-or-later
"""The XDP plane of one instance: its objects, pins, attachments and tables."""

import secrets
import shutil
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from _gw_native import ffi, lib

from .. import abi
from ..errors import GwError, KernelError
from ..instance import Instance
from . import sessions as reading
from . import tables
from .attach import Attachments
from .maps import Map
from .objects import LoadedObject, ObjectFile
from .pins import Pins
from .records import (
    DeviceRecord,
    LoadReport,
    MapSizes,
    NatSettings,
    SessionInfo,
    StaticRecord,
)

XDP_PROGRAMS = ("gw_xdp", "gw_sweep_start", "gw_sweep_slice", "gw_import", "gw_remove")
TC_PROGRAMS = ("gw_guard", "gw_handover")
SLICE = 32768
"""Records that one run of a sweep looks at: it keeps its core for less than a millisecond."""
FRAME = 64
"""Bytes of the frame that the programs are run on which look at none."""

# Map name: C types of key and value, as the agent uses them.
TYPES = {
    "gw_settings": ("__u32", "struct gw_settings"),
    "gw_devices": ("__u32", "struct gw_device"),
    "gw_tx": ("__u32", "__u32"),
    "gw_fdb": ("struct gw_fdb_key", "struct gw_fdb_entry"),
    "gw_addresses": ("__u32", "__u32"),
    "gw_static_in": ("struct gw_static_key", "struct gw_static"),
    "gw_static_out": ("struct gw_static_key", "struct gw_static"),
    "gw_inside": ("struct gw_prefix", "__u32"),
    "gw_records": ("__u32", "struct gw_record"),
    "gw_counters": ("__u32", "struct gw_port_counters"),
    "gw_status": ("__u32", "struct gw_status"),
    "gw_sweeps": ("__u32", "struct gw_sweep"),
    "gw_saved_batch": ("__u32", "struct gw_saved"),
    "gw_picks": ("__u32", "struct gw_pick"),
    "gw_batch": ("__u32", "struct gw_batch"),
}


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


class DataPlane:
    """Not thread-safe. `load()` comes before whatever uses programs or maps."""

    def __init__(self, instance: str, object_dir: Path) -> None:
        self._pins = Pins(Instance(instance).pin_dir)
        self._attachments = Attachments(self._pins.folder)
        self._xdp_file = ObjectFile(object_dir / "gw_xdp.bpf.o", XDP_PROGRAMS)
        self._tc_file = ObjectFile(object_dir / "gw_guard.bpf.o", TC_PROGRAMS)
        self._xdp: LoadedObject | None = None
        self._tc: LoadedObject | None = None
        self._maps: dict[str, Map] = {}
        self._sizes = MapSizes(0)

    # ---- programs ---------------------------------------------------------------------

    def verify(self) -> None:
        """Raises ObjectError for an object file that this agent must not load."""
        self._xdp_file.verify()
        self._tc_file.verify()

    def load(self, sizes: MapSizes) -> LoadReport:
        """Loads both objects over the pinned maps where these fit, over new ones where not."""
        self._pins.prepare()
        self._attachments.forget_dead()
        xdp, tc = LoadedObject(self._xdp_file), LoadedObject(self._tc_file)
        try:
            wanted = xdp.maps()
            for name, entries in map_sizes(sizes).items():
                lib.gw_map_resize(wanted[name], entries)
            report = self._pins.adopt(wanted)
            xdp.load()
            shared = xdp.maps()
            for name, other in tc.maps().items():
                if name in shared:
                    lib.gw_map_reuse(other, lib.gw_map_fd(shared[name]))
            tc.load()
        except GwError:
            xdp.close()
            tc.close()
            raise
        self.close()
        self._xdp, self._tc, self._sizes = xdp, tc, sizes
        descriptors = {name: lib.gw_map_fd(shared[name]) for name in shared}
        self._pins.pin(descriptors)
        self._maps = {
            name: Map(descriptors[name], name, key, value) for name, (key, value) in TYPES.items()
        }
        if not report.reused:
            # Nothing is enabled yet, but the pins say from now on how they are to be read.
            first = abi.new("gw_settings", abi_version=abi.VERSION, seed=secrets.randbits(64))
            self.table("gw_settings").set(0, first)
        self._run("gw_sweep_start")
        return report

    def close(self) -> None:
        """Lets go of the objects; pins and attachments stay."""
        for loaded in (self._xdp, self._tc):
            if loaded:
                loaded.close()
        self._xdp = self._tc = None
        self._maps = {}

    def _program(self, name: str) -> int:
        loaded = self._xdp if name in XDP_PROGRAMS else self._tc
        if loaded is None:
            raise GwError("the BPF objects are not loaded", code="bpf.not-loaded")
        return loaded.program(name)

    def _run(self, name: str) -> None:
        """Runs a program that looks at no frame, once."""
        frame, size, action = (
            ffi.new("char[]", FRAME),
            ffi.new("__u32 *", FRAME),
            ffi.new("__u32 *"),
        )
        result = lib.gw_test_run(self._program(name), frame, size, FRAME, 0, action)
        if result or action[0] == 0:
            raise KernelError(f"running {name}", result, code="bpf.run")

    def table(self, name: str) -> Map:
        """One loaded map by its name in bpf/src/maps.h."""
        try:
            return self._maps[name]
        except KeyError:
            raise GwError("the BPF objects are not loaded", code="bpf.not-loaded") from None

    # ---- attaching --------------------------------------------------------------------

    def attach(self, ifindex: int, name: str, outside: bool) -> str:
        """Puts the programs on a port; the guard stands before XDP forwards. Returns the mode."""
        self.refuse_foreign(ifindex, name)
        attachments = self._attachments
        if outside:
            attachments.attach_tc(ifindex, name, self._program("gw_guard"), egress=True)
        elif attachments.has_tc(ifindex, egress=True):
            attachments.detach_tc(ifindex, name, egress=True)
        attachments.attach_tc(ifindex, name, self._program("gw_handover"), egress=False)
        return attachments.attach_xdp(ifindex, name, self._program("gw_xdp"))

    def refuse_foreign(self, ifindex: int, name: str) -> None:
        """Raises RefusedError when the device has an XDP program that is not of our doing."""
        self._attachments.refuse_foreign(ifindex, name)

    def detach(self, ifindex: int, name: str) -> None:
        self._attachments.detach(ifindex, name)

    def attached(self) -> dict[int, str]:
        """Device to mode: "native" or "generic"."""
        return self._attachments.attached()

    def with_filter(self, ifindexes: Iterable[int], *, egress: bool) -> frozenset[int]:
        """Those with our TC program at this end, as it is loaded now; before load() none."""
        if self._tc is None:
            return frozenset()
        program = self._program("gw_guard" if egress else "gw_handover")
        has = self._attachments.has_tc
        return frozenset(index for index in ifindexes if has(index, program, egress=egress))

    def remove(self) -> None:
        """Leaves nothing of this instance in the kernel."""
        self._attachments.detach_all()
        self.close()
        if self._pins.folder.exists():
            shutil.rmtree(self._pins.folder)

    # ---- tables -----------------------------------------------------------------------

    def set_settings(self, settings: NatSettings) -> None:
        if tables.write_settings(self.table("gw_settings"), settings, map_sizes(self._sizes)):
            self._sweep(lib.GW_SWEEP_ORPHANS)

    def set_devices(self, records: Sequence[DeviceRecord]) -> None:
        """Replaces the whole table."""
        self._devices().write(records)

    def _devices(self) -> tables.DeviceTable:
        return tables.DeviceTable(
            self.table("gw_devices"), self.table("gw_tx"), self.table("gw_counters")
        )

    def set_addresses(self, addresses: Sequence[IPv4Address]) -> None:
        """The outside addresses, of the pool and 1:1; replaces the whole table.

        Sessions of an address that is not ours any more end here and in set_settings().
        """
        if tables.write_addresses(self.table("gw_addresses"), addresses):
            self._sweep(lib.GW_SWEEP_ORPHANS)

    def set_statics(self, statics: Sequence[StaticRecord]) -> None:
        """Replaces the whole table; sessions of an identity mapping that is gone end here."""
        tables.write_statics(self.table("gw_static_in"), self.table("gw_static_out"), statics)
        self._sweep(lib.GW_SWEEP_ORPHANS)

    def set_inside_prefixes(self, prefixes: Sequence[IPv4Network]) -> None:
        """Replaces the whole table."""
        tables.write_prefixes(self.table("gw_inside"), prefixes)

    def fdb_replace(self, entries: Mapping[tuple[int, bytes], int]) -> None:
        """(bridge, MAC) to port, all of them."""
        tables.replace_fdb(self.table("gw_fdb"), entries)

    def fdb_set(self, bridge: int, mac: bytes, port: int) -> None:
        key, table = tables.fdb_key(bridge, mac), self.table("gw_fdb")
        entry = table.get(key)
        if entry is None or entry.port != port:
            table.set(key, abi.new("gw_fdb_entry", port=port))

    def fdb_delete(self, bridge: int, mac: bytes) -> None:
        self.table("gw_fdb").delete(tables.fdb_key(bridge, mac))

    def fdb_used(self) -> dict[tuple[int, bytes], int]:
        """(bridge, MAC) to the CLOCK_MONOTONIC second when XDP last sent there; 0: never."""
        table, found = self.table("gw_fdb"), {}
        for key in table.every_key():
            entry = table.get(key)
            if entry is not None:
                found[key.bridge, bytes(key.mac)] = int(entry.used)
        return found

    # ---- what happened ----------------------------------------------------------------

    def counters(self) -> dict[int, dict[str, int]]:
        """Port to counter name to packets; key 0 counts what the sweep did."""
        table = self.table("gw_counters")
        found = {0: reading.read_counters(table, 0)}
        for ifindex, row in self._devices().rows().items():
            found[ifindex] = reading.read_counters(table, row)
        return found

    def sessions(self, cursor: int, limit: int) -> tuple[list[SessionInfo], int | None]:
        """At most `limit` sessions from `cursor` (0 first) on, and the next cursor or None."""
        return reading.read_sessions(self.table("gw_records"), self._fresh(), cursor, limit)

    def _fresh(self) -> int:
        status = self.table("gw_status").get(0)
        return min(int(status.fresh), self._sizes.sessions) if status is not None else 0

    def session_count(self) -> int:
        """Sessions that hold a record, expired and not yet swept ones included."""
        return reading.count_sessions(self.table("gw_counters"))

    def clear_sessions(self) -> int:
        """Ends every session; returns how many."""
        return self._sweep(lib.GW_SWEEP_ALL)

    def _sweep(self, what: int) -> int:
        """Goes through the records slice by slice; returns how many sessions ended."""
        sweeps, removed, start, end = self.table("gw_sweeps"), 0, 0, self._fresh()
        while start < end:
            count = min(SLICE, end - start)
            sweep = abi.new("gw_sweep", **{"from": start, "count": count, "what": what})
            sweeps.set(lib.GW_SWEEPER_AGENT, sweep)
            self._run("gw_sweep_slice")
            done = sweeps.get(lib.GW_SWEEPER_AGENT) or sweep
            removed += done.removed
            start += max(1, done.looked)
        return removed
