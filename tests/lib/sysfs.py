# SPDX-License-Identifier: GPL-2.0-or-later
"""A made-up /sys with PCI functions, and as much of the kernel as binds drivers in it."""

from pathlib import Path

import pytest

from hybrid_gateway.devices.pci import Pci

DRIVES = {"8086:1533": "igb", "8086:15f3": "igc", "1af4:1041": "virtio-pci"}
"""Which driver of the kernel takes which device."""


class Sysfs:
    """`root` is what the code under test gets; nothing in it is real."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.bus = root / "bus" / "pci"
        self.written: list[tuple[str, str]] = []
        (self.bus / "devices").mkdir(parents=True)
        (self.bus / "drivers_probe").touch()

    def driver(self, name: str) -> None:
        folder = self.bus / "drivers" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "unbind").touch()

    def function(
        self,
        address: str,
        ids: str = "8086:1533",
        *,
        kind: int = 0x020000,
        driver: str = "",
        netdev: str = "",
        group: str = "",
        override: str = "(null)",
        features: str = "",
    ) -> Path:
        """Adds one; with `group` it is behind an IOMMU."""
        path = self.bus / "devices" / address
        path.mkdir()
        vendor, device = ids.split(":")
        for name, value in (
            ("class", f"{kind:#08x}"),
            ("vendor", f"0x{vendor}"),
            ("device", f"0x{device}"),
            ("subsystem_vendor", "0xffff"),
            ("subsystem_device", "0x0000"),
            ("numa_node", "-1"),
            ("driver_override", override),
        ):
            (path / name).write_text(f"{value}\n")
        if netdev:
            (path / "net" / netdev).mkdir(parents=True)
        if features:
            (path / "virtio0").mkdir()
            (path / "virtio0" / "features").write_text(features)
        if driver:
            self.driver(driver)
            (path / "driver").symlink_to(self.bus / "drivers" / driver)
        if group:
            members = self.root / "kernel" / "iommu_groups" / group / "devices"
            members.mkdir(parents=True, exist_ok=True)
            (members / address).symlink_to(path)
            (path / "iommu_group").symlink_to(members.parent)
        return path

    def behave(self, patch: pytest.MonkeyPatch) -> None:
        """What is written has the effects that it has in the kernel."""

        def write(_: Pci, path: Path, value: str) -> None:
            self.written.append((str(path.relative_to(self.bus)), value))
            if path.name == "driver_override":
                path.write_text(value + "\n")
            elif path.name == "unbind":
                (self.bus / "devices" / value / "driver").unlink()
            elif path.name == "drivers_probe":
                self._probe(self.bus / "devices" / value)

        patch.setattr(Pci, "_write", write)
        patch.setattr("hybrid_gateway.devices.pci.BIND_SECONDS", 0.0)

    def _probe(self, path: Path) -> None:
        ids = ":".join((path / name).read_text().strip()[2:] for name in ("vendor", "device"))
        name = (path / "driver_override").read_text().strip() or DRIVES.get(ids, "")
        if name and (self.bus / "drivers" / name).is_dir():
            (path / "driver").symlink_to(self.bus / "drivers" / name)
