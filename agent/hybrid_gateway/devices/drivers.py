# SPDX-License-Identifier: GPL-2.0-or-later
"""Which DPDK driver would take a PCI function, and which Debian package has it.

DPDK's drivers say so themselves: each has a line of JSON in its read-only data that begins with
PMD_INFO_STRING, from which dpdk-pmdinfo.py reads, too.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from .pci import SYSFS, Pci, PciDevice

LIBRARIES = Path("/usr/lib")
PACKAGES = Path("/var/lib/dpkg/info")
MARK = b"PMD_INFO_STRING= "
ANY = 0xFFFF
SOME_ABI = "N"
"""Stands in a package's name where no DPDK is installed that would say its ABI's number."""

# The kernel's driver to the DPDK library that drives the same devices, for those that are not
# installed.
LIBRARY_OF = {
    "atlantic": "atlantic",
    "bnx2x": "bnx2x",
    "bnxt_en": "bnxt",
    "cxgb4": "cxgbe",
    "e1000": "e1000",
    "e1000e": "e1000",
    "ena": "ena",
    "enic": "enic",
    "gve": "gve",
    "hinic": "hinic",
    "hns3": "hns3",
    "i40e": "i40e",
    "iavf": "iavf",
    "ice": "ice",
    "idpf": "idpf",
    "igb": "e1000",
    "igbvf": "e1000",
    "igc": "igc",
    "ionic": "ionic",
    "ixgbe": "ixgbe",
    "ixgbevf": "ixgbe",
    "mlx4_core": "mlx4",
    "mlx5_core": "mlx5",
    "nfp": "nfp",
    "ngbe": "ngbe",
    "qede": "qede",
    "r8169": "r8169",
    "sfc": "sfc",
    "txgbe": "txgbe",
    "virtio-pci": "virtio",
    "vmxnet3": "vmxnet3",
    "xgbe": "axgbe",
}
"""DPDK 22.11 has no r8169; its package appears with 24.11."""


@dataclass(frozen=True, slots=True)
class Driver:
    """One driver of DPDK, out of a library that is installed."""

    name: str
    library: Path
    kmods: str
    """Modules of the kernel that it works with, as it says them."""
    ids: tuple[tuple[int, int, int, int], ...]
    """Vendor, device, subsystem's vendor and device; ANY stands for all."""

    def takes(self, device: PciDevice) -> bool:
        own = (device.vendor, device.device, device.subvendor, device.subdevice)
        return any(
            all(ANY in (one, other) or one == other for one, other in zip(ids, own, strict=True))
            for ids in self.ids
        )


@dataclass(frozen=True, slots=True)
class Taker:
    """What would take one PCI function; driver None: nothing that is installed."""

    device: PciDevice
    driver: Driver | None
    package: str
    """That has the driver, or would have it; empty: DPDK has none that we know of."""

    @property
    def installed(self) -> bool:
        return self.driver is not None


def takers(
    sysfs: Path = SYSFS, libraries: Path = LIBRARIES, packages: Path = PACKAGES
) -> tuple[Taker, ...]:
    """For every PCI network function, by address."""
    return tuple(taker(device, libraries, packages) for device in Pci(sysfs).network())


def taker(device: PciDevice, libraries: Path = LIBRARIES, packages: Path = PACKAGES) -> Taker:
    """For one function."""
    for driver in drivers(libraries):
        if driver.takes(device):
            return Taker(device, driver, package_of(driver.library, packages))
    # Nothing at run time knows what is in packages that are not installed: neither dpkg nor apt
    # without apt-file. So it is a table, by the driver that the kernel has for the device.
    library = LIBRARY_OF.get(device.driver)
    return Taker(device, None, package_named(library, abi(libraries)) if library else "")


def drivers(libraries: Path = LIBRARIES) -> tuple[Driver, ...]:
    """All network drivers that EAL would load from its own folder."""
    # Some of the links next to a library are in development packages only.
    found = {path.resolve(): path for path in _folder(libraries).glob("librte_net_*.so*")}
    return tuple(
        driver
        for path in sorted(found)
        if path.is_file()
        for driver in _cached(path, _version(path))
    )


def virtual(libraries: Path = LIBRARIES) -> frozenset[str]:
    """Names of those that make devices; a `vdev` begins with one."""
    return frozenset(driver.name for driver in drivers(libraries) if not driver.ids)


def _version(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_mtime_ns, status.st_ino


@lru_cache(maxsize=256)
def _cached(path: Path, _: tuple[int, int]) -> tuple[Driver, ...]:
    return tuple(read(path))


def read(path: Path) -> Iterator[Driver]:
    """The drivers in one library; none of what cannot be read."""
    try:
        with path.open("rb") as stream:
            section = ELFFile(stream).get_section_by_name(".rodata")
            data = section.data() if section else b""
    except (OSError, ELFError):
        return
    for line in re.findall(re.escape(MARK) + rb"([^\0]+)\0", data):
        try:
            said = json.loads(line)
            listed = said.get("pci_ids") or ()
            ids = tuple((int(v), int(d), int(s), int(t)) for v, d, s, t in listed)
            name, kmods = str(said["name"]), str(said.get("kmod") or "")
        except (ValueError, KeyError, TypeError):
            continue
        yield Driver(name, path, kmods, ids)


def package_of(library: Path, packages: Path = PACKAGES) -> str:
    """The Debian package that the file came with; empty: with none."""
    line = f"{library}\n"
    stem = library.name.split(".")[0].replace("_", "-")
    # The lists that dpkg -S searches, of which there are a thousand: likely names first.
    for pattern in (f"{stem}*.list", "*rte*.list", "*dpdk*.list"):
        for path in sorted(packages.glob(pattern)):
            try:
                if line in f"{path.read_text(errors='replace')}\n":
                    return path.stem.split(":")[0]
            except OSError:
                continue
    return ""


def package_named(library: str, abi: str) -> str:
    """As Debian names packages of libraries: a dash between two digits (e1000-23, igc23)."""
    return f"librte-net-{library}{'-' if library[-1].isdigit() else ''}{abi}"


def _folder(libraries: Path) -> Path:
    """Where EAL looks for drivers (RTE_EAL_PMD_PATH); of several DPDKs, the newest."""
    folders = sorted(libraries.glob("*/dpdk/pmds-*"), key=lambda path: _numbers(path.name))
    return folders[-1] if folders else libraries / "dpdk"


def _numbers(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", text)]


def abi(libraries: Path = LIBRARIES) -> str:
    """The number in the names of DPDK's libraries: pmds-23.0 has those with 23."""
    numbers = _numbers(_folder(libraries).name)
    return str(numbers[0]) if numbers else SOME_ABI
