# SPDX-License-Identifier: GPL-2.0-or-later
"""The XDP plane of one instance: its objects, pins, attachments and tables."""

import secrets
import shutil
from collections.abc import Callable, Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from _gw_native import lib

from .. import abi
from ..errors import GwError
from ..instance import Instance
from ..model import VniEntry
from . import sessions as reading
from . import tables, vnis
from .attach import GUARD, HANDOVER, OUR_PROGRAM, TUNNEL, Attachments
from .carry import Block, Reader, Tally
from .maps import Map
from .nat_tables import NatTables
from .objects import LoadedObject, ObjectFile
from .pins import Pins
from .programs import TC_PROGRAMS, XDP_PROGRAMS, Programs, map_sizes
from .records import (
    DeviceRecord,
    LoadReport,
    MapSizes,
    NatSettings,
    SessionInfo,
    StaticRecord,
)
from .replace import Replacement, importer_of

SLICE = 32768
"""Records that one run of a sweep looks at: it keeps its core for less than a millisecond."""


class DataPlane:
    """Not thread-safe. `load()` comes before whatever uses programs or maps."""

    def __init__(self, instance: str, object_dir: Path) -> None:
        self._pins = Pins(Instance(instance).pin_dir)
        self._attachments = Attachments(self._pins.folder)
        self._xdp_file = ObjectFile(object_dir / "gw_xdp.bpf.o", XDP_PROGRAMS)
        self._tc_file = ObjectFile(object_dir / "gw_guard.bpf.o", TC_PROGRAMS)
        self._programs: Programs | None = None
        self._replacement: Replacement | None = None
        self.after_slice: Callable[[], None] = lambda: None
        """Called time and again while sessions are ended: whoever reads the log has to keep up."""
        self.nat = NatTables(self.table, self._fresh, self._run)
        """Sessions and mappings in detail; `load()` comes before, here too."""

    # ---- programs ---------------------------------------------------------------------

    def verify(self) -> None:
        """Raises ObjectError for an object file that this agent must not load."""
        self._xdp_file.verify()
        self._tc_file.verify()

    def load(self, sizes: MapSizes) -> LoadReport:
        """Loads both objects over the pinned maps where these fit, over new ones where not.

        In the second case the programs from before go on forwarding with their own maps; then
        the tables have to be filled, and `carry` and `commit` or `rollback` called.
        """
        self._pins.prepare(self._attachments.in_use)
        self._attachments.forget_dead()
        replacement: Replacement | None = None

        def adopt(loaded: LoadedObject) -> LoadReport:
            nonlocal replacement
            report = self._pins.adopt(loaded.maps())
            sources = self._pins.sources(report)
            if sources:
                replacement = Replacement(self._pins, self._attachments, sources)
                if not report.reused:
                    replacement.keep(loaded)
            return report

        try:
            programs = Programs(self._xdp_file, self._tc_file, sizes, adopt)
        except GwError:
            if replacement:
                replacement.close()
            raise
        report = programs.report
        if replacement:
            replacement.previous = self._programs
        else:
            self.close()
        self._programs, self._replacement = programs, replacement
        try:
            self._begin(programs, beside=replacement is not None and not report.reused)
        except BaseException:
            # What is empty must not be taken for what is in force.
            if not self.rollback():
                self.close()
            raise
        return report

    def _begin(self, programs: Programs, *, beside: bool) -> None:
        self._pins.pin(programs.descriptors, beside=beside)
        if not programs.report.reused:
            # Nothing is enabled yet, but the pins say from now on how they are to be read.
            first = abi.new("gw_settings", abi_version=abi.VERSION, seed=secrets.randbits(64))
            self.table("gw_settings").set(0, first)
        self._run("gw_sweep_start")

    def carry(self) -> None:
        """Sessions of the maps before these come over, and the ports with them; once."""
        if self._replacement:
            self._replacement.carry(self._loaded())

    def commit(self) -> list[str]:
        """The loaded maps are in force from now on; notes about sessions that came over."""
        if self._replacement is None:
            return []
        self.carry()
        self._replacement.commit()
        notes, self._replacement = self._replacement.notes, None
        return notes

    def rollback(self) -> bool:
        """Back to what was in force before load(); False: there was nothing."""
        if self._replacement is None:
            return False
        replacement, self._replacement = self._replacement, None
        previous = replacement.rollback()
        self._loaded().close()
        self._programs = previous
        return True

    def close(self) -> None:
        """Lets go of the objects; pins and attachments stay."""
        if self._replacement:
            self._replacement.close()
            self._replacement = None
        if self._programs:
            self._programs.close()
        self._programs = None

    def _loaded(self) -> Programs:
        if self._programs is None:
            raise GwError("the BPF objects are not loaded", code="bpf.not-loaded")
        return self._programs

    def _program(self, name: str) -> int:
        return self._loaded().program(name)

    def _run(self, name: str) -> None:
        self._loaded().run(name)

    def table(self, name: str) -> Map:
        """One loaded map by its name in bpf/src/maps.h."""
        return self._loaded().table(name)

    # ---- attaching --------------------------------------------------------------------

    def attach(self, ifindex: int, name: str, outside: bool) -> str:
        """Puts the programs on a port; the guard stands before XDP forwards. Returns the mode."""
        self.refuse_foreign(ifindex, name)
        attachments = self._attachments
        if outside:
            attachments.attach_tc(ifindex, name, self._program(GUARD), egress=True)
        elif attachments.has_tc(ifindex, egress=True):
            attachments.detach_tc(ifindex, name, egress=True)
        attachments.attach_tc(ifindex, name, self._program(HANDOVER), egress=False)
        return attachments.attach_xdp(ifindex, name, self._program(OUR_PROGRAM))

    def refuse_foreign(self, ifindex: int, name: str) -> None:
        """Raises RefusedError when the device has an XDP program that is not of our doing."""
        self._attachments.refuse_foreign(ifindex, name)

    def detach(self, ifindex: int, name: str) -> None:
        self._attachments.detach(ifindex, name)

    def attach_tunnel(self, ifindex: int, name: str) -> None:
        """Puts the program on a VXLAN device that cuts what does not fit its underlay."""
        self._attachments.attach_tunnel(ifindex, name, self._program(TUNNEL))

    def tunnels(self, *, current: bool = True) -> frozenset[int]:
        """VXLAN devices with that program, as it is loaded now or as any agent left it."""
        found = self._attachments.tunnels()
        if not current:
            return found
        return self._with(TUNNEL, found, egress=True)

    def attached(self) -> dict[int, str]:
        """Device to mode: "native" or "generic"."""
        return self._attachments.attached()

    def with_filter(self, ifindexes: Iterable[int], *, egress: bool) -> frozenset[int]:
        """Those with our TC program at this end, as it is loaded now; before load() none."""
        return self._with(GUARD if egress else HANDOVER, ifindexes, egress=egress)

    def _with(self, which: str, ifindexes: Iterable[int], *, egress: bool) -> frozenset[int]:
        if self._programs is None:
            return frozenset()
        program, has = self._program(which), self._attachments.has_tc
        return frozenset(index for index in ifindexes if has(index, program, egress=egress))

    def remove(self) -> None:
        """Leaves nothing of this instance in the kernel."""
        self._attachments.detach_all()
        self.close()
        if self._pins.folder.exists():
            shutil.rmtree(self._pins.folder)

    # ---- tables -----------------------------------------------------------------------

    def set_settings(self, settings: NatSettings) -> None:
        sizes = map_sizes(self._loaded().sizes)
        if tables.write_settings(self.table("gw_settings"), settings, sizes):
            self._sweep(lib.GW_SWEEP_ORPHANS)

    def set_devices(self, records: Sequence[DeviceRecord]) -> None:
        """Replaces the whole table."""
        self._devices().write(records)

    def _devices(self) -> tables.DeviceTable:
        return tables.DeviceTable(
            self.table("gw_devices"),
            self.table("gw_tx"),
            self.table("gw_counters"),
            self._replacement.rows if self._replacement else {},
        )

    def set_vnis(self, entries: Iterable[VniEntry]) -> list[vnis.Place]:
        """Replaces the whole table; returns the addresses and ports that it has no room for."""
        return vnis.write(self.table("gw_vnis"), entries)

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
        found, following = self.nat.sessions(cursor=cursor, limit=limit)
        return found, int(following) if following is not None else None

    def _fresh(self) -> int:
        status = self.table("gw_status").get(0)
        return min(int(status.fresh), self._loaded().sizes.sessions) if status is not None else 0

    def log_ring(self) -> int | None:
        """Descriptor of the ring gw_log; None before load()."""
        return self._programs.descriptors["gw_log"] if self._programs else None

    def session_count(self) -> int:
        """Sessions that hold a record, expired and not yet swept ones included."""
        reader = self.reader()
        try:
            return reader.count()
        finally:
            reader.close()

    def reader(self) -> Reader:
        """Of the sessions as they are, for another thread perhaps; the caller closes it."""
        return Reader(self.table("gw_records").fd, self._fresh())

    @property
    def restored(self) -> bool:
        """Whether the sessions that were saved on disk are among those in the maps."""
        return self._pins.restored

    def restore(self, blocks: Iterable[Block]) -> Tally:
        """Imports sessions; those of an address that is not ours (yet) are refused."""
        return importer_of(self._loaded()).take(blocks)

    def mark_restored(self) -> None:
        """From here on the maps know more than the disk does."""
        self._pins.mark_restored()

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
            self.after_slice()
        return removed
