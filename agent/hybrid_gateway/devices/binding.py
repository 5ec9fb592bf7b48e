# SPDX-License-Identifier: GPL-2.0-or-later
"""By which kernel driver DPDK can have a PCI function, and what is in the way of it."""

import os
import subprocess
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from ..errors import DeviceError
from .pci import SYSFS, Pci, PciDevice

MODPROBE_SECONDS = 20.0


class Binding(Enum):
    """The kernel's drivers that leave a function to a process."""

    VFIO = "vfio-pci"
    """Through the IOMMU: the device reaches no memory but that of the worker."""
    UIO = "uio_pci_generic"
    """Without one: the device reaches all memory, and has physical addresses."""


@dataclass(frozen=True, slots=True)
class Way:
    """How a function would be had; binding None: not at all. `why` is a sentence's part."""

    binding: Binding | None
    why: str


class Host:
    """What the machine has for it: an IOMMU, modules, a kernel that allows it."""

    def __init__(
        self, sysfs: Path = SYSFS, modules: Path | None = None, proc: Path = Path("/proc")
    ):
        self._sysfs = sysfs
        self._proc = proc
        self._modules = modules or Path("/lib/modules", os.uname().release)
        self._pci = Pci(sysfs)

    def way(self, device: PciDevice, kmods: str = "") -> Way:
        """For a function that a DPDK driver takes which works with the modules in `kmods` (as
        it says them itself: "* igb_uio | vfio-pci"; empty: it does not say)."""
        if "&" in kmods:
            shared = kmods.strip("* ").replace(" & ", ", ")
            return Way(None, f"DPDK would share it with the kernel ({shared}), which we do not do")
        if driven := [member for member in device.beside if not _leaves(member.driver)]:
            names = ", ".join(f"{member.address} ({member.driver})" for member in driven)
            return Way(
                None,
                f"it shares IOMMU group {device.group} with {names}, and such a group can only "
                "go as a whole: another slot may have a group of its own",
            )
        return self._with_iommu(device) if device.group else self._without_iommu(kmods)

    def _with_iommu(self, device: PciDevice) -> Way:
        if not self._has(Binding.VFIO):
            return Way(None, "this kernel has no module vfio-pci")
        return Way(Binding.VFIO, f"IOMMU group {device.group}")

    def _without_iommu(self, kmods: str) -> Way:
        remedy = self._remedy()
        if kmods and Binding.UIO.value not in kmods:
            return Way(None, f"its DPDK driver works with vfio-pci alone; {remedy}")
        if self._locked_down():
            return Way(None, f"Secure Boot locks this kernel down to vfio-pci; {remedy}")
        if not self._has(Binding.UIO):
            return Way(None, f"this kernel has no module uio_pci_generic; {remedy}")
        return Way(Binding.UIO, remedy)

    def _remedy(self) -> str:
        """What is missing for an IOMMU, and where its switch is."""
        intel = "GenuineIntel" in _text(self._proc / "cpuinfo")
        menu = "VT-d" if intel else "IOMMU or AMD-Vi"
        option = "intel_iommu=on" if intel else "amd_iommu=on"
        tables = self._sysfs / "firmware" / "acpi" / "tables"
        if any((tables / name).exists() for name in ("DMAR", "IVRS")):
            return f"the IOMMU is off: the firmware offers it, boot the kernel with {option}"
        return (
            f"the IOMMU is off: turn on {menu} in the firmware's menu, and boot the kernel "
            f"with {option}"
        )

    def _locked_down(self) -> bool:
        state = _text(self._sysfs / "kernel" / "security" / "lockdown")
        return "[integrity]" in state or "[confidentiality]" in state

    def _has(self, binding: Binding) -> bool:
        """Loaded, built in, or there to be loaded."""
        if self._pci.has_driver(binding.value):
            return True
        file = f"/{binding.value}.ko"
        names = ("modules.dep", "modules.builtin")
        return any(file in _text(self._modules / name) for name in names)

    def load(self, binding: Binding) -> None:
        """Loads the module unless it is there; DeviceError with what modprobe said."""
        if self._pci.has_driver(binding.value):
            return
        try:
            done = subprocess.run(
                ["modprobe", binding.value],
                capture_output=True,
                text=True,
                timeout=MODPROBE_SECONDS,
                check=False,
            )
            complaint = done.stderr.strip()
        except (OSError, subprocess.TimeoutExpired) as error:
            complaint = str(error)
        if not self._pci.has_driver(binding.value):
            raise DeviceError(
                f"the module {binding.value} cannot be loaded: {complaint or 'modprobe is silent'}",
                code="device.module",
            )


def _leaves(driver: str) -> bool:
    """Whether VFIO takes a group in which another function has that driver, or none."""
    return driver in ("", Binding.VFIO.value, "pci-stub")


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
