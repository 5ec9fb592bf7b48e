# SPDX-License-Identifier: GPL-2.0-or-later
"""gwctl show drivers: what the agent answers, and what is printed of it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hybrid_gateway.agent import drivers as agent_drivers
from hybrid_gateway.cli.drivers import describe
from hybrid_gateway.devices import drivers
from hybrid_gateway.devices.binding import Host
from hybrid_gateway.devices.drivers import ANY, Driver
from hybrid_gateway.devices.handover import Handover, Taken
from hybrid_gateway.instance import Instance
from tests.lib.sysfs import Sysfs

ADDRESS = "0000:04:00.0"


@pytest.fixture
def sysfs(tmp_path: Path) -> Sysfs:
    return Sysfs(tmp_path / "sys")


ANSWER: list[dict[str, Any]] = [
    {
        "address": "0000:04:00.0",
        "id": "8086:1533",
        "name": "Intel Corporation I210 Gigabit Network Connection",
        "netdev": "enp4s0",
        "kernel_driver": "vfio-pci",
        "driver": "net_e1000_igb",
        "package": "librte-net-e1000-23",
        "installed": True,
        "binding": "vfio-pci",
        "why": "IOMMU group 7",
        "iommu_group": "7",
        "numa_node": None,
        "port": "sfp0",
    },
    {
        "address": "0000:05:00.0",
        "id": "8086:15f3",
        "name": None,
        "netdev": "enp5s0",
        "kernel_driver": "igc",
        "driver": None,
        "package": "librte-net-igc23",
        "installed": False,
        "binding": None,
        "why": "its DPDK driver is not installed: going by Debian's names, librte-net-igc23 has it",
        "iommu_group": None,
        "numa_node": None,
        "port": None,
    },
]


def test_the_listing() -> None:
    head, *lines = describe(ANSWER).splitlines()
    assert head.split() == [
        *("\x1b[1mADDRESS", "DEVICE", "KERNEL", "DRIVER", "DPDK", "DRIVER", "PACKAGE"),
        *("BINDING", "PORT\x1b[0m"),
    ]
    assert lines == [
        "0000:04:00.0  enp4s0  vfio-pci       net_e1000_igb  librte-net-e1000-23  vfio-pci  sfp0",
        "0000:05:00.0  enp5s0  igc            -              (librte-net-igc23)   -         -",
        "",
        "0000:04:00.0: Intel Corporation I210 Gigabit Network Connection (8086:1533): vfio-pci, "
        "IOMMU group 7",
        "0000:05:00.0: 8086:15f3: cannot be taken: its DPDK driver is not installed: going by "
        "Debian's names, librte-net-igc23 has it",
    ]


def test_no_device_at_all() -> None:
    assert describe([]) == "there is no PCI network device here"


def test_what_the_agent_answers(
    sysfs: Sysfs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the name that udev has of a device, and the port that it is."""
    sysfs.function(ADDRESS, driver="vfio-pci", group="7")
    sysfs.function("0000:05:00.0", "8086:15f3", driver="igc", netdev="enp5s0")
    (tmp_path / "udev").mkdir()
    (tmp_path / "udev" / f"+pci:{ADDRESS}").write_text(
        "E:ID_MODEL_FROM_DATABASE=I210\nE:ID_VENDOR_FROM_DATABASE=Intel Corporation\nI:1\n"
    )
    (tmp_path / "lib" / "x" / "dpdk" / "pmds-23.0").mkdir(parents=True)
    igb = Driver("net_e1000_igb", Path("/e1000.so"), "* vfio-pci", ((0x8086, 0x1533, ANY, ANY),))
    first, second = drivers.takers(sysfs.root, tmp_path / "lib")
    takers = (replace(first, driver=igb, package="librte-net-e1000-23"), second)
    taken = Taken("sfp0", "enp4s0", ADDRESS, "02:00:00:00:00:01", "pci", False)
    monkeypatch.setattr(agent_drivers, "UDEV", tmp_path / "udev")
    monkeypatch.setattr(agent_drivers, "Host", lambda: Host(sysfs.root, tmp_path, tmp_path))
    monkeypatch.setattr(drivers, "takers", lambda: takers)
    monkeypatch.setattr(Handover, "taken", lambda _: {"sfp0": taken})

    named = {**ANSWER[0], "name": "Intel Corporation I210"}
    assert agent_drivers.devices(Instance("shown")) == {"devices": [named, ANSWER[1]]}
