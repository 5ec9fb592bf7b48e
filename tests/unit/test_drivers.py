# SPDX-License-Identifier: GPL-2.0-or-later
"""PCI functions, who would take them and how; what `gwctl show drivers` says of them."""

import math
import time
from dataclasses import replace
from pathlib import Path

import pytest

from hybrid_gateway.devices import drivers
from hybrid_gateway.devices.binding import Binding, Host, Way
from hybrid_gateway.devices.drivers import Driver
from hybrid_gateway.devices.pci import Neighbour, Pci, PciDevice, normal
from hybrid_gateway.errors import DeviceError
from tests.lib.sysfs import Sysfs

ADDRESS = "0000:04:00.0"
INTEL, AMD = "vendor_id\t: GenuineIntel\n", "vendor_id\t: AuthenticAMD\n"


@pytest.fixture
def sysfs(tmp_path: Path) -> Sysfs:
    return Sysfs(tmp_path / "sys")


@pytest.fixture
def host(sysfs: Sysfs, tmp_path: Path) -> Host:
    """An Intel machine with both modules, the IOMMU off."""
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "cpuinfo").write_text(INTEL)
    (tmp_path / "modules").mkdir()
    listed = "kernel/drivers/vfio/pci/vfio-pci.ko:\nkernel/drivers/uio/uio_pci_generic.ko:\n"
    (tmp_path / "modules" / "modules.dep").write_text(listed)
    return Host(sysfs.root, tmp_path / "modules", tmp_path / "proc")


# ---- the bus ----------------------------------------------------------------------------


def test_network_functions(sysfs: Sysfs) -> None:
    sysfs.function("0000:00:1f.0", kind=0x060100)
    sysfs.function("0000:05:00.0", "8086:15f3", driver="igc", netdev="enp5s0")
    sysfs.function(ADDRESS, driver="igb", netdev="enp4s0", group="7")
    sysfs.function("0000:04:00.1", kind=0x010802, driver="nvme", group="7")
    sysfs.function("0000:03:00.0", kind=0x060400, driver="pcieport", group="7")

    first, second = Pci(sysfs.root).network()
    assert first == PciDevice(
        ADDRESS,
        0x8086,
        0x1533,
        0xFFFF,
        0,
        0x020000,
        "igb",
        "",
        ("enp4s0",),
        "7",
        (Neighbour("0000:04:00.1", "nvme"),),
        -1,
        False,
    )
    assert (second.address, second.group, second.beside) == ("0000:05:00.0", "", ())


@pytest.mark.parametrize(("feature", "physical"), [("1", False), ("0", True)])
def test_virtio_says_which_addresses_it_takes(sysfs: Sysfs, feature: str, physical: bool) -> None:
    bits = "0" * 33 + feature + "0" * 30
    sysfs.function(ADDRESS, "1af4:1041", driver="virtio-pci", features=bits)
    assert Pci(sysfs.root).device(ADDRESS).physical is physical


def test_of_virtio_that_nobody_drives_nobody_knows(sysfs: Sysfs) -> None:
    sysfs.function(ADDRESS, "1af4:1041")
    assert Pci(sysfs.root).device(ADDRESS).physical


@pytest.mark.parametrize(
    ("text", "address"),
    [(ADDRESS, ADDRESS), (" 04:00.0", ADDRESS), ("0001:AF:1F.7", "0001:af:1f.7")],
)
def test_addresses(text: str, address: str) -> None:
    assert normal(text) == address


@pytest.mark.parametrize("text", ["", "4:0.0", "0000:04:00", "0000:04:00.8", "../04:00.0", "x"])
def test_no_addresses(text: str) -> None:
    with pytest.raises(DeviceError, match="no PCI address"):
        normal(text)


@pytest.mark.parametrize(
    ("driver", "override"), [("igb", ""), ("igb", "igb"), ("", ""), ("vfio-pci", "vfio-pci")]
)
def test_there_and_back(
    sysfs: Sysfs, monkeypatch: pytest.MonkeyPatch, driver: str, override: str
) -> None:
    path = sysfs.function(ADDRESS, driver=driver, override=override or "(null)")
    sysfs.driver("vfio-pci")
    sysfs.behave(monkeypatch)
    bus = Pci(sysfs.root)
    before = bus.device(ADDRESS)

    bus.bind(ADDRESS, "vfio-pci")
    assert bus.device(ADDRESS).driver == "vfio-pci"
    assert bus.device(ADDRESS).override == "vfio-pci"
    bus.give(ADDRESS, before.driver, before.override)
    assert bus.device(ADDRESS) == before
    bus.give(ADDRESS, before.driver, before.override)
    assert bus.device(ADDRESS) == before
    assert (path / "driver_override").read_text().strip() in (override, "(null)")


def test_a_driver_that_does_not_take_it(sysfs: Sysfs, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is not loaded is not waited for."""
    sysfs.function(ADDRESS, driver="igb")
    sysfs.behave(monkeypatch)
    with monkeypatch.context() as patch:
        patch.setattr("hybrid_gateway.devices.pci.BIND_SECONDS", math.inf)
        patch.setattr(time, "sleep", lambda _: pytest.fail("it waits"))
        with pytest.raises(DeviceError, match=r"vfio-pci did not take .*\(modprobe vfio-pci\)"):
            Pci(sysfs.root).bind(ADDRESS, "vfio-pci")
    sysfs.driver("vfio-pci")
    monkeypatch.setattr(Sysfs, "_probe", lambda *_: None)
    with pytest.raises(DeviceError, match=r"vfio-pci did not take .*: no driver has it"):
        Pci(sysfs.root).bind(ADDRESS, "vfio-pci")


def test_a_device_that_was_pulled(sysfs: Sysfs) -> None:
    with pytest.raises(DeviceError, match=f"{ADDRESS} is gone"):
        Pci(sysfs.root).give(ADDRESS, "igb", "")


# ---- how it would be had ------------------------------------------------------------------


def device(sysfs: Sysfs) -> PciDevice:
    return Pci(sysfs.root).device(ADDRESS)


def test_with_an_iommu(sysfs: Sysfs, host: Host) -> None:
    sysfs.function(ADDRESS, group="7")
    assert host.way(device(sysfs), "* igb_uio | vfio-pci") == Way(Binding.VFIO, "IOMMU group 7")


def test_a_group_that_another_driver_is_in(sysfs: Sysfs, host: Host) -> None:
    sysfs.function(ADDRESS, group="7")
    sysfs.function("0000:04:00.1", kind=0x010802, driver="nvme", group="7")
    way = host.way(device(sysfs))
    assert way.binding is None
    assert "shares IOMMU group 7 with 0000:04:00.1 (nvme)" in way.why


@pytest.mark.parametrize("driver", ["", "vfio-pci", "pci-stub"])
def test_a_group_that_goes_as_a_whole(sysfs: Sysfs, host: Host, driver: str) -> None:
    sysfs.function(ADDRESS, group="7")
    sysfs.function("0000:04:00.1", driver=driver, group="7")
    sysfs.function("0000:03:00.0", kind=0x060400, driver="pcieport", group="7")
    assert host.way(device(sysfs)).binding is Binding.VFIO


@pytest.mark.parametrize(
    ("cpu", "table", "remedy"),
    [
        (INTEL, None, "turn on VT-d in the firmware's menu, and boot the kernel with intel_iommu"),
        (AMD, None, "turn on IOMMU or AMD-Vi in the firmware's menu"),
        (INTEL, "DMAR", "the firmware offers it, boot the kernel with intel_iommu=on"),
        (AMD, "IVRS", "the firmware offers it, boot the kernel with amd_iommu=on"),
    ],
)
def test_without_an_iommu(
    sysfs: Sysfs, host: Host, tmp_path: Path, cpu: str, table: str | None, remedy: str
) -> None:
    (tmp_path / "proc" / "cpuinfo").write_text(cpu)
    if table:
        (sysfs.root / "firmware" / "acpi" / "tables").mkdir(parents=True)
        (sysfs.root / "firmware" / "acpi" / "tables" / table).touch()
    sysfs.function(ADDRESS)

    way = host.way(device(sysfs), "* igb_uio | uio_pci_generic | vfio-pci")
    assert way.binding is Binding.UIO
    assert way.why.startswith("the IOMMU is off: ")
    assert remedy in way.why


@pytest.mark.parametrize(
    ("kmods", "why"),
    [
        ("* igb_uio | vfio-pci", "works with vfio-pci alone; the IOMMU is off"),
        ("* ib_uverbs & mlx5_core & mlx5_ib", "share it with the kernel (ib_uverbs, mlx5_core, "),
    ],
)
def test_drivers_that_need_more(sysfs: Sysfs, host: Host, kmods: str, why: str) -> None:
    sysfs.function(ADDRESS)
    way = host.way(device(sysfs), kmods)
    assert way.binding is None
    assert why in way.why


def test_secure_boot_without_an_iommu(sysfs: Sysfs, host: Host) -> None:
    sysfs.function(ADDRESS)
    (sysfs.root / "kernel" / "security").mkdir(parents=True)
    (sysfs.root / "kernel" / "security" / "lockdown").write_text("none [integrity] confidentiality")
    way = host.way(device(sysfs))
    assert way.binding is None
    assert "Secure Boot" in way.why


@pytest.mark.parametrize("group", ["7", ""])
def test_a_kernel_without_modules(sysfs: Sysfs, host: Host, tmp_path: Path, group: str) -> None:
    (tmp_path / "modules" / "modules.dep").write_text("")
    sysfs.function(ADDRESS, group=group)
    module = "vfio-pci" if group else "uio_pci_generic"
    way = host.way(device(sysfs))
    assert way.binding is None
    assert f"no module {module}" in way.why
    with pytest.raises(DeviceError, match=f"the module {module} cannot be loaded"):
        host.load(Binding(module))


# ---- DPDK's drivers -----------------------------------------------------------------------

installed = pytest.mark.skipif(
    not drivers.drivers(), reason="DPDK's drivers are not installed; debian/control names them"
)


@installed
@pytest.mark.parametrize(
    ("ids", "driver", "library"),
    [
        ("8086:1533", "net_e1000_igb", "e1000"),
        ("8086:10d3", "net_e1000_em", "e1000"),
        ("1af4:1041", "net_virtio", "virtio"),
    ],
)
def test_takers(sysfs: Sysfs, ids: str, driver: str, library: str) -> None:
    sysfs.function(ADDRESS, ids)
    (taker,) = drivers.takers(sysfs.root)
    assert taker.driver is not None
    assert taker.driver.name == driver
    assert taker.installed
    assert taker.package == drivers.package_named(library, drivers.abi())


@installed
def test_every_driver_comes_with_a_package() -> None:
    for driver in drivers.drivers():
        assert drivers.package_of(driver.library).startswith("librte"), driver


@installed
def test_drivers_that_make_devices() -> None:
    assert {"net_af_packet", "net_af_xdp", "net_memif", "net_null"} <= drivers.virtual()


@pytest.mark.parametrize(
    ("driver", "package"),
    [
        ("igb", "librte-net-e1000-23"),
        ("igc", "librte-net-igc23"),
        ("mlx5_core", "librte-net-mlx5-23"),
        ("e100", ""),
    ],
)
def test_what_is_not_installed(sysfs: Sysfs, tmp_path: Path, driver: str, package: str) -> None:
    sysfs.function(ADDRESS, driver=driver)
    (tmp_path / "lib" / "x86_64-linux-gnu" / "dpdk" / "pmds-9.0").mkdir(parents=True)
    (tmp_path / "lib" / "x86_64-linux-gnu" / "dpdk" / "pmds-23.0").mkdir()
    (taker,) = drivers.takers(sysfs.root, tmp_path / "lib")
    assert not taker.installed
    assert taker.package == package


def test_libraries_that_are_none(tmp_path: Path) -> None:
    folder = tmp_path / "x" / "dpdk" / "pmds-23.0"
    folder.mkdir(parents=True)
    (folder / "librte_net_broken.so.23").write_bytes(b"\x7fELF" + bytes(100))
    (folder / "librte_net_empty.so.23").touch()
    (folder / "librte_net_gone.so.23").symlink_to("nowhere")
    assert drivers.drivers(tmp_path) == ()


def test_ids_that_stand_for_all(sysfs: Sysfs) -> None:
    sysfs.function(ADDRESS)
    one = device(sysfs)
    any_subsystem = Driver("d", Path("d"), "", ((0x8086, 0x1533, 0xFFFF, 0xFFFF),))
    exact = Driver("d", Path("d"), "", ((0x8086, 0x1533, 0x8086, 0x0001),))
    own = replace(one, subvendor=0x8086, subdevice=0x0001)
    other = replace(one, subvendor=0x8086, subdevice=0x0002)
    assert any_subsystem.takes(own)
    assert exact.takes(own)
    assert not exact.takes(other)
    assert not any_subsystem.takes(replace(one, device=0x1534))
