# SPDX-License-Identifier: GPL-2.0-or-later
"""Sessions on disk, for the next boot: a header, then struct gw_saved after struct gw_saved.

The records are compressed, for most of a million of them says the same; the header has a checksum
of what follows it and one of itself. It is all checked before the first session is taken over.
"""

import contextlib
import os
import struct
import threading
import time
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from _gw_native import ffi, lib

from ..errors import GwError
from .carry import BLOCK, Block

MAGIC = b"gw-sess\n"
VERSION = 1
RECORD: int = ffi.sizeof("struct gw_saved")
HEADER = struct.Struct("<8sHHIQQ16sI")
"""Magic, format version, size of a record, records, then when: wall clock and CLOCK_BOOTTIME in
ns and the boot's id; checksum of the body. The header's own follows as CHECKSUM."""
CHECKSUM = struct.Struct("<I")
BODY = HEADER.size + CHECKSUM.size
LEVEL = 1
"""Of compression: the disk is to have it within a second."""
CHUNK = 65536
MODE = 0o600
"""Who talks to whom is nobody else's business."""


class SavedError(GwError):
    """A file that is not, or not any more, what was saved."""

    default_code = "state.damaged"


@dataclass(frozen=True, slots=True)
class Moment:
    """When something was saved: in ns, with the id of the boot that `uptime` belongs to."""

    wall: int
    uptime: int
    boot: bytes

    @classmethod
    def now(cls) -> "Moment":
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip().replace("-", "")
        uptime = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        return cls(time.time_ns(), uptime, bytes.fromhex(boot))

    def passed(self, now: "Moment") -> int:
        """ns since. Of another boot only the wall clock tells, which somebody may have set back:
        then no time has passed, and no session becomes younger."""
        if self.boot == now.boot:
            return max(0, now.uptime - self.uptime)
        return max(0, now.wall - self.wall)


class SavedSessions:
    """The file of one instance. Written in another thread than it is removed in."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._removals = 0

    @property
    def damaged(self) -> Path:
        """Where a file is put that cannot be read."""
        return self.path.with_name(f"{self.path.name}.bad")

    @property
    def _fresh(self) -> Path:
        """What is being written, or was when the machine went down."""
        return self.path.with_name(f".{self.path.name}.new")

    def exists(self) -> bool:
        return self.path.exists()

    # ---- writing ----------------------------------------------------------------------

    def writing(self) -> int:
        """Ask this before sessions are read for write(): what is removed meanwhile stays so."""
        return self._removals

    def write(self, blocks: Iterable[Block], since: int) -> int:
        """In place of an older one, at once; returns how many sessions. OSError when the disk says
        no. `since` is what writing() said."""
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        fresh = self._fresh
        try:
            # Not readable for a moment either, whatever the umask is.
            fresh.unlink(missing_ok=True)
            with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, MODE), "wb") as stream:
                count = _write(stream, blocks)
                stream.flush()
                os.fsync(stream.fileno())
            with self._lock:
                if self._removals == since:
                    fresh.rename(self.path)
        finally:
            fresh.unlink(missing_ok=True)
        self._sync_folder()
        return count

    def _sync_folder(self) -> None:
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def remove(self) -> None:
        """Also what is being written now does not come."""
        with self._lock:
            self._removals += 1
            for path in (self.path, self._fresh, self.damaged):
                path.unlink(missing_ok=True)

    def forget(self) -> None:
        """Leaves nothing, and no empty folder."""
        self.remove()
        with contextlib.suppress(OSError):
            self.path.parent.rmdir()

    def set_aside(self) -> None:
        self.path.replace(self.damaged)

    # ---- reading ----------------------------------------------------------------------

    def blocks(self) -> Iterator[Block]:
        """Those that have not expired since; SavedError, before the first, that names the file and
        what is wrong with it."""
        with self._opened() as stream:
            moment, count = self._header(stream)
            passed = moment.passed(Moment.now())
            for data in self._records(stream, count):
                # The data path judges each record; here they only have to be whole.
                some = len(data) // RECORD
                block = ffi.new("struct gw_saved[]", some)
                ffi.memmove(block, data, len(data))
                yield block, lib.gw_saved_elapse(block, some, passed)

    def _opened(self) -> IO[bytes]:
        try:
            return self.path.open("rb")
        except OSError as error:
            raise SavedError(f"{self.path}: {error.strerror}") from None

    def _fault(self, what: str) -> SavedError:
        return SavedError(f"{self.path}: {what}")

    def _header(self, stream: IO[bytes]) -> tuple[Moment, int]:
        """Checks all of the file, and leaves `stream` at the first record."""
        raw = stream.read(BODY)
        if raw[: len(MAGIC)] != MAGIC:
            raise self._fault("not a file of saved sessions")
        if len(raw) < BODY:
            raise self._fault("truncated: its header is not whole")
        fields = HEADER.unpack_from(raw)
        _, version, record, count, wall, uptime, boot, checksum = fields
        if CHECKSUM.unpack_from(raw, HEADER.size)[0] != zlib.crc32(raw[: HEADER.size]):
            raise self._fault("damaged: its header has another checksum")
        if version != VERSION:
            raise self._fault(f"format version {version}, this agent has {VERSION}")
        if record != RECORD:
            raise self._fault(f"records of {record} bytes, this agent has {RECORD}")
        found = 0
        while chunk := stream.read(CHUNK):
            found = zlib.crc32(chunk, found)
        if found != checksum:
            raise self._fault("truncated or damaged: its content has another checksum")
        stream.seek(BODY)
        return Moment(wall, uptime, boot), count

    def _records(self, stream: IO[bytes], count: int) -> Iterator[bytes]:
        """Whole records, BLOCK at most at a time; never more than the header says."""
        inflate, left, kept = zlib.decompressobj(), count * RECORD, b""
        while left:
            raw = inflate.unconsumed_tail or stream.read(CHUNK)
            try:
                kept += inflate.decompress(raw, BLOCK * RECORD - len(kept))
            except zlib.error:
                raise self._fault("damaged: it cannot be decompressed") from None
            if not raw and len(kept) < min(left, RECORD):
                raise self._fault(f"fewer than the {count} sessions that its header tells of")
            whole = min(left, len(kept) - len(kept) % RECORD)
            if whole == left or whole == BLOCK * RECORD or not raw:
                yield kept[:whole]
                left, kept = left - whole, kept[whole:]


def _write(stream: Any, blocks: Iterable[Block]) -> int:
    """The header comes last, when the number of records is known."""
    moment, count, checksum = Moment.now(), 0, 0
    deflate = zlib.compressobj(LEVEL)
    stream.write(bytes(BODY))
    for block, some in blocks:
        count += some
        part = deflate.compress(ffi.buffer(block, some * RECORD))
        checksum = zlib.crc32(part, checksum)
        stream.write(part)
    last = deflate.flush()
    checksum = zlib.crc32(last, checksum)
    stream.write(last)
    header = HEADER.pack(
        MAGIC, VERSION, RECORD, count, moment.wall, moment.uptime, moment.boot, checksum
    )
    stream.seek(0)
    stream.write(header + CHECKSUM.pack(zlib.crc32(header)))
    return count
