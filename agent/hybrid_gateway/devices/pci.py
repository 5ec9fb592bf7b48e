# SPDX-License-Identifier: GPL-2.0-or-later
"""PCI functions as sysfs shows them, and which kernel driver has them."""

import re
import time
from dataclasses import dataclass
from pathlib import Path

from ..errors import DeviceError

SYSFS = Path("/sys")
ADDRESS = re.compile(r"[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")
SHORT = re.compile(r"[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")
NETWORK, BRIDGE = 0x02, 0x06
"""Base classes (the PCI Code and ID Assignment Specification)."""
BIND_SECONDS = 5.0
"""A driver binds within the write to sysfs; a udev that looks at the device may delay it."""
USERS = ("vfio-pci", "uio_pci_generic", "igb_uio")
"""Drivers that leave a function to a process."""
VIRTIO = 0x1AF4
VIRTIO_F_ACCESS_PLATFORM = 33
"""Set: the device's addresses go through the IOMMU. Without, they are physical ones."""
NO_OVERRIDE = ("", "(null)")
"""What driver_override reads as when nobody has set it."""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """Another function of the same IOMMU group: it changes hands with this one, or not at all."""

    address: str
    driver: str


@dataclass(frozen=True, slots=True)
class PciDevice:
    """One function; the ids are numbers, the strings empty where there is nothing."""

    address: str
    vendor: int
    device: int
    subvendor: int
    subdevice: int
    kind: int
    """Class, subclass and programming interface, three bytes."""
    driver: str
    override: str
    netdevs: tuple[str, ...]
    group: str
    """Of the IOMMU; empty: the device is behind none, or the IOMMU is off."""
    beside: tuple[Neighbour, ...]
    """What else is in the group, but for bridges, which take no part."""
    numa: int
    """-1: there is one node, or the firmware does not say."""
    physical: bool
    """Its driver has to be given physical addresses, IOMMU or not."""

    @property
    def is_network(self) -> bool:
        return self.kind >> 16 == NETWORK


def normal(address: str) -> str:
    """As sysfs has it: the domain in front, lower case. DeviceError when it cannot be one."""
    text = address.strip().lower()
    if SHORT.fullmatch(text):
        text = f"0000:{text}"
    if not ADDRESS.fullmatch(text):
        raise DeviceError(
            f"{address!r} is no PCI address: want DOMAIN:BUS:SLOT.FUNCTION as in 0000:04:00.0",
            code="device.address",
        )
    return text


class Pci:
    """The PCI bus below one sysfs."""

    def __init__(self, sysfs: Path = SYSFS) -> None:
        self._sysfs = sysfs
        self._bus = sysfs / "bus" / "pci"

    def network(self) -> tuple[PciDevice, ...]:
        """Every network function, by address."""
        folder = self._bus / "devices"
        names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
        found = (self._read(name) for name in names if ADDRESS.fullmatch(name))
        return tuple(device for device in found if device and device.is_network)

    def device(self, address: str) -> PciDevice:
        """One function; DeviceError when there is none at the address."""
        found = self._read(normal(address))
        if found is None:
            raise DeviceError(
                f"there is no PCI device {address}: `gwctl show drivers` lists them",
                code="device.absent",
            )
        return found

    def has(self, address: str) -> bool:
        """Whether there is a function at the address."""
        return (self._bus / "devices" / address).exists()

    def has_driver(self, name: str) -> bool:
        """Whether the kernel has that PCI driver loaded."""
        return (self._bus / "drivers" / name).is_dir()

    def _read(self, address: str) -> PciDevice | None:
        path = self._bus / "devices" / address
        kind = _number(path / "class")
        if kind < 0:
            return None
        group = path / "iommu_group"
        vendor = _number(path / "vendor")
        return PciDevice(
            address,
            vendor,
            _number(path / "device"),
            _number(path / "subsystem_vendor"),
            _number(path / "subsystem_device"),
            kind,
            _link(path / "driver"),
            "" if (override := _text(path / "driver_override")) in NO_OVERRIDE else override,
            tuple(sorted({p.name for p in (*path.glob("net/*"), *path.glob("virtio*/net/*"))})),
            _link(group),
            tuple(self._beside(group / "devices", address)) if group.exists() else (),
            _number(path / "numa_node"),
            vendor == VIRTIO and not _translated(path),
        )

    def _beside(self, members: Path, address: str) -> list[Neighbour]:
        return [
            Neighbour(member.name, _link(member / "driver"))
            for member in sorted(members.iterdir())
            if member.name != address and _number(member / "class") >> 16 != BRIDGE
        ]

    # ---- changes ------------------------------------------------------------------------

    def bind(self, address: str, driver: str) -> None:
        """Has this driver and no other take the function; DeviceError when it does not."""
        self._change(address, driver, driver)
        self._expect(address, driver)

    def give(self, address: str, driver: str, override: str) -> None:
        """Has it as it was: that driver, and that word on which ones may take it.

        No driver: nothing takes it. One that is not loaded any more is an error, after which
        the function has none.
        """
        self._change(address, override, driver)
        if driver:
            self._expect(address, driver)

    def _change(self, address: str, override: str, driver: str) -> None:
        path = self._bus / "devices" / address
        if not self.has(address):
            raise DeviceError(f"PCI device {address} is gone", code="device.absent")
        # Who is to bind it is said first: unbound, it belongs to whoever comes.
        self._write(path / "driver_override", driver or override)
        if _link(path / "driver") != driver:
            if (path / "driver").exists():
                self._write(path / "driver" / "unbind", address)
            if driver:
                self._write(self._bus / "drivers_probe", address)
        if override != driver:
            self._write(path / "driver_override", override)

    def by_hand(self, address: str) -> str:
        """Has it taken by the driver that the kernel chooses, in the shell's words."""
        path = self._bus / "devices" / address
        return (
            f"echo > {path}/driver_override; echo {address} > {path}/driver/unbind; "
            f"echo {address} > {self._bus}/drivers_probe"
        )

    def _write(self, path: Path, value: str) -> None:
        # The kernel clears driver_override at an empty line, and not at nothing.
        try:
            path.write_text(f"{value}\n")
        except OSError as error:
            raise DeviceError(
                f"writing {value!r} to {path}: {error.strerror}", code="device.bind"
            ) from error

    def _expect(self, address: str, driver: str) -> None:
        link = self._bus / "devices" / address / "driver"
        end = time.monotonic() + BIND_SECONDS
        while (now := _link(link)) != driver:
            # One that is not there will not take it however long one waits.
            if time.monotonic() > end or not self.has_driver(driver):
                raise DeviceError(
                    f"{driver} did not take {address}: {self._why(driver, now)}", code="device.bind"
                )
            time.sleep(0.01)

    def _why(self, driver: str, now: str) -> str:
        if now:
            return f"another driver has it ({now})"
        if not self.has_driver(driver):
            return f"the kernel has not loaded that driver (modprobe {driver})"
        return "no driver has it; the kernel's log may say why"


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _number(path: Path) -> int:
    """-1 where there is none."""
    try:
        return int(_text(path), 0)
    except ValueError:
        return -1


def _link(path: Path) -> str:
    """The last part of where a link leads; empty when there is no link."""
    try:
        return path.readlink().name
    except OSError:
        return ""


def _translated(path: Path) -> bool:
    """Of a virtio function that virtio-pci has; nobody can tell of another."""
    bits = next((_text(file) for file in path.glob("virtio*/features")), "")
    return bits[VIRTIO_F_ACCESS_PLATFORM : VIRTIO_F_ACCESS_PLATFORM + 1] == "1"
