# SPDX-License-Identifier: GPL-2.0-or-later
"""Hugepages: as many more as the worker lacks, and exactly those given back."""

import logging
from dataclasses import dataclass
from pathlib import Path

from ..errors import DeviceError
from .pci import SYSFS
from .record import Contents, Pages, Record

PAGE = 2 << 20
"""The worker asks for pages of 2 MB: those of 1 GB can only be had at boot."""
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PageSize:
    """The pages of one size."""

    size: int
    """Bytes of one."""
    total: int
    free: int
    """Neither in use nor promised."""


@dataclass(frozen=True, slots=True)
class HugepageStatus:
    """In bytes, but for `sizes`; of the pages that the worker uses."""

    total: int
    free: int
    reserved: int
    """That we added, by the record."""
    sizes: tuple[PageSize, ...]


class Hugepages:
    """The kernel's pools, and in `record` what we changed of them."""

    def __init__(self, record: Path, sysfs: Path = SYSFS) -> None:
        self._record = Record(record)
        self._sysfs = sysfs

    def reserve(self, wanted: int, minimum: int | None = None) -> int:
        """Has at least `wanted` bytes free, and returns how many are.

        Fewer, because memory is in pieces by now: DeviceError below `minimum` (None: `wanted`),
        which leaves everything as it was; a warning in the log above it.
        """
        needed = -(-wanted // PAGE)
        least = needed if minimum is None else -(-minimum // PAGE)
        with self._record.locked() as contents:
            pools = self._pools()
            free = sum(_free(pool) for pool in pools)
            for pool, more in zip(pools, _shares(pools, needed - free), strict=True):
                if more > 0:
                    self._raise(contents, pool / "nr_hugepages", more)
            have = sum(_free(pool) for pool in pools)
        if have < least:
            self.release()
            raise DeviceError(_too_few(have, least), code="device.hugepages")
        if have < needed:
            log.warning(
                "%d MB of hugepages instead of %d: free memory is in small pieces",
                have * PAGE >> 20,
                needed * PAGE >> 20,
            )
        return have * PAGE

    def _raise(self, contents: Contents, file: Path, more: int) -> None:
        path = str(file.relative_to(self._sysfs))
        before, ours = _number(file), contents.hugepages.get(path, Pages()).added
        # How many the kernel gives is known afterwards; the record can tell in between, too.
        contents.hugepages[path] = Pages(ours, more, before)
        self._record.save(contents)
        _write(file, before + more)
        contents.hugepages[path] = Pages(contents.hugepages[path].now(_number(file)))
        self._record.save(contents)

    def release(self) -> None:
        """Gives back those that we added, now or as soon as nobody uses them; idempotent."""
        with self._record.locked() as contents:
            for path, pages in list(contents.hugepages.items()):
                file = self._sysfs / path
                count = _number(file)
                if ours := min(pages.now(count), count):
                    # Whoever is killed in between must not take as many of the host's own.
                    contents.hugepages[path] = Pages(asked=ours, before=count - ours)
                    self._record.save(contents)
                    _write(file, count - ours)
                del contents.hugepages[path]
                self._record.save(contents)

    def status(self) -> HugepageStatus:
        folder = self._sysfs / "kernel" / "mm" / "hugepages"
        sizes = tuple(
            PageSize(_size(path), _number(path / "nr_hugepages"), _free(path))
            for path in sorted(folder.glob("hugepages-*kB"), key=_size)
        )
        own = next((one for one in sizes if one.size == PAGE), PageSize(PAGE, 0, 0))
        added = sum(
            pages.now(_number(self._sysfs / path))
            for path, pages in self._record.load().hugepages.items()
        )
        return HugepageStatus(own.total * PAGE, own.free * PAGE, added * PAGE, sizes)

    def _pools(self) -> list[Path]:
        """One for each NUMA node, or the one there is; DeviceError without any."""
        name = f"hugepages-{PAGE >> 10}kB"
        nodes = sorted(
            (self._sysfs / "devices" / "system" / "node").glob(f"node*/hugepages/{name}")
        )
        pools = nodes or [self._sysfs / "kernel" / "mm" / "hugepages" / name]
        if not pools[0].is_dir():
            raise DeviceError(
                "this kernel has no hugepages of 2 MB (CONFIG_HUGETLBFS)", code="device.hugepages"
            )
        return pools


def _shares(pools: list[Path], missing: int) -> list[int]:
    """How many more each node is to have: EAL takes memory on the nodes of its cores and
    devices, which may be any of them."""
    each, rest = divmod(max(0, missing), len(pools))
    return [each + (1 if place < rest else 0) for place in range(len(pools))]


def _too_few(have: int, least: int) -> str:
    return (
        f"{have * PAGE >> 20} MB of hugepages are free or could be had, and "
        f"{least * PAGE >> 20} MB are needed at least: reserve them at boot, before memory is in "
        f"pieces (hugepages={least} on the kernel's command line), or lower worker.hugepages"
    )


def _free(pool: Path) -> int:
    return max(0, _number(pool / "free_hugepages") - _number(pool / "resv_hugepages"))


def _size(path: Path) -> int:
    return int(path.name.removeprefix("hugepages-").removesuffix("kB")) << 10


def _number(path: Path) -> int:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return 0


def _write(path: Path, count: int) -> None:
    try:
        path.write_text(f"{count}\n")
    except OSError as error:
        raise DeviceError(
            f"writing {count} to {path}: {error.strerror}", code="device.hugepages"
        ) from error
