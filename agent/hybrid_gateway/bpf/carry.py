# SPDX-License-Identifier: GPL-2.0-or-later
"""Sessions from maps of any version, or from a file, into the maps that are loaded.

Like the migration of a running machine: everything is copied while the old programs forward, then
what was opened since, until that is little; then the ports change over, and what the old programs
did in the last moment is merged. What C does for each record, Python does for thousands.
"""

import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from _gw_native import ffi, lib

from ..errors import GwError, KernelError
from .maps import Map
from .pins import PinnedMaps
from .records import DEV_PORT

BLOCK = 4096
"""Sessions read at a time."""
PASSES = 5
"""At most so many before the ports change over: under a flood it never is little."""
LITTLE = 64
"""New sessions of one pass that are few enough for the last one."""
NS = 1_000_000_000
REASONS = {
    lib.GW_SAVED_FULL: "no room for them",
    lib.GW_SAVED_CONFLICT: "their ports are in use by others",
    lib.GW_SAVED_GONE: "their outside address is not ours any more",
}

Block = tuple[Any, int]
"""struct gw_saved[] and how many of them count."""


def seconds_now() -> int:
    """CLOCK_MONOTONIC, as gw_session.created counts."""
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC) // NS


class Reader:
    """The live sessions of a map gw_records; may be used in another thread than it was made in."""

    def __init__(self, records: int, fresh: int) -> None:
        why = ffi.new("char[]", 128)
        self._reader = lib.gw_reader_open(records, fresh, why, 128)
        if self._reader == ffi.NULL:
            reason = ffi.string(why).decode(errors="replace") or "no memory"
            raise GwError(f"sessions cannot be carried over: {reason}", code="bpf.carry")

    def close(self) -> None:
        if self._reader != ffi.NULL:
            lib.gw_reader_close(self._reader)
            self._reader = ffi.NULL

    def blocks(self, since: int = 0) -> Iterator[Block]:
        """All, or those opened at or after a second of CLOCK_MONOTONIC; a block is valid until the
        next one."""
        lib.gw_reader_rewind(self._reader)
        block = ffi.new("struct gw_saved[]", BLOCK)
        while True:
            count = lib.gw_reader_read(self._reader, since, block, BLOCK)
            if count < 0:
                raise KernelError("reading sessions", count, code="bpf.carry")
            if not count:
                return
            yield block, count

    def count(self) -> int:
        """How many there are, expired ones that the sweep has not come to included."""
        count = int(lib.gw_reader_count(self._reader))
        if count < 0:
            raise KernelError("counting sessions", count, code="bpf.carry")
        return count


class Source:
    """Maps that were pinned before, by an agent of this version or another."""

    def __init__(self, folder: Path) -> None:
        self.maps = PinnedMaps(folder)

    def field(self, name: str, path: str) -> tuple[int, int] | None:
        """Offset and size of a field in the values of a map, or None."""
        offset, size = ffi.new("__u32 *"), ffi.new("__u32 *")
        fd = self.maps.fd(name)
        if fd < 0 or lib.gw_field(fd, path.encode(), offset, size) or not size[0]:
            return None
        return offset[0], size[0]

    def number(self, name: str, path: str, key: int = 0, index: int = 0) -> int | None:
        """A field of an array's element; of a field that is an array, its element `index`."""
        field, value = self.field(name, path), self.maps.value(name, key)
        if field is None or value is None:
            return None
        offset, size = field
        part = value[offset + index * size : offset + (index + 1) * size]
        return int.from_bytes(part, sys.byteorder)

    def pool(self) -> list[int]:
        """The outside addresses, in network byte order, by their place in the pool."""
        size = self.number("gw_settings", "pool_size") or 0
        found = [self.number("gw_settings", "pool", index=i) for i in range(size)]
        return [address for address in found if address is not None]

    def rows(self) -> dict[int, int]:
        """Port to its row in gw_counters."""
        fields = [self.field("gw_devices", name) for name in ("ifindex", "flags", "row")]
        info = self.maps.info("gw_devices")
        if info is None or None in fields:
            return {}
        rows: dict[int, int] = {}
        for key in range(info.max_entries):
            value = self.maps.value("gw_devices", key)
            if value is None:
                break
            ifindex, flags, row = (
                int.from_bytes(value[f[0] : f[0] + f[1]], sys.byteorder) for f in fields if f
            )
            if ifindex and flags & DEV_PORT:
                rows[ifindex] = row
        return rows

    def reader(self) -> Reader:
        """GwError when its sessions cannot be read."""
        info = self.maps.info("gw_records")
        if info is None:
            raise GwError("sessions cannot be carried over: there are no records", code="bpf.carry")
        # All of them, for those that are unused now may be used in a moment.
        return Reader(self.maps.fd("gw_records"), int(info.max_entries))


@dataclass(slots=True)
class Tally:
    """What became of sessions, by enum gw_saved_result."""

    counts: list[int]

    @property
    def done(self) -> int:
        return self.counts[int(lib.GW_SAVED_DONE)]

    def notes(self, carried: int, what: str) -> Iterator[str]:
        """One for those that made it, one for each reason why others did not."""
        if carried:
            yield f"{carried} sessions {what}"
        for result, reason in REASONS.items():
            if self.counts[result]:
                yield f"{self.counts[result]} sessions not {what}: {reason}"


class Importer:
    """The loaded maps' side: gw_import, batch by batch."""

    def __init__(self, batch: Map, header: Map, program: int) -> None:
        self._to = ffi.new(
            "struct gw_importer *",
            {"records": batch.fd, "batch": header.fd, "program": program},
        )

    def take(self, blocks: Iterable[Block]) -> Tally:
        """KernelError when the program does not run."""
        tally = ffi.new("__u32[]", lib.GW_SAVED_GONE + 1)
        for block, count in blocks:
            result = lib.gw_import(self._to, block, count, tally)
            if result:
                raise KernelError("importing sessions", result, code="bpf.carry")
        return Tally([int(number) for number in tally])


class Carrying:
    """From one source into the loaded maps: `before` and `after` the ports change over."""

    def __init__(self, source: Source, importer: Importer) -> None:
        self._importer = importer
        self._reader: Reader | None = None
        self._carried = 0
        self._problem = ""
        try:
            self._reader = source.reader()
        except GwError as error:
            self._problem = error.message

    def before(self) -> None:
        since = 0
        for _ in range(PASSES):
            begun = seconds_now()
            new = self._pass(since)
            if new <= LITTLE:
                return
            # Seconds are all that a session's age is known in.
            since = max(1, begun - 1)

    def after(self) -> list[str]:
        """Notes for the owner."""
        if self._reader is None:
            return [self._problem]
        last = self._importer.take(self._reader.blocks())
        self._carried += last.done
        return list(last.notes(self._carried, "carried over"))

    def _pass(self, since: int) -> int:
        if self._reader is None:
            return 0
        done = self._importer.take(self._reader.blocks(since)).done
        self._carried += done
        return done

    def close(self) -> None:
        if self._reader:
            self._reader.close()


def carry_rest(source: Source, ours: Map, pool: Sequence[int], since: int) -> None:
    """Outside ports that were freed at or after `since` (CLOCK_MONOTONIC s) rest here as well.

    `pool` are the outside addresses now. What cannot be told of the source is left out: a port
    is then given out sooner than it might.
    """
    info = source.maps.info("gw_mappings")
    users = source.field("gw_mappings", "users")
    released = source.field("gw_mappings", "released")
    if info is None or not users or not released or users[1] != 4 or released[1] != 4:
        return
    places = [-1] * lib.GW_POOL_MAX
    for index, address in enumerate(source.pool()[: lib.GW_POOL_MAX]):
        if address in pool:
            places[index] = pool.index(address)
    what = {
        "theirs": source.maps.fd("gw_mappings"),
        "ours": ours.fd,
        "value_size": info.value_size,
        "users": users[0],
        "released": released[0],
        "since": max(0, since),
        "places": places,
    }
    result = lib.gw_carry_rest(ffi.new("struct gw_resting *", what))
    if result:
        raise KernelError("carrying over the ports that rest", result, code="bpf.carry")
