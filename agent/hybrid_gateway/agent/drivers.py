# SPDX-License-Identifier: GPL-2.0-or-later
"""What the agent answers about drivers: for each PCI network device, how DPDK would have it."""

from pathlib import Path
from typing import Any

from ..devices import drivers
from ..devices.binding import Host
from ..devices.drivers import Taker
from ..devices.handover import Handover, Taken
from ..instance import Instance

UDEV = Path("/run/udev/data")
"""udev knows devices by name, out of a database that is on every Debian."""


def devices(instance: Instance) -> dict[str, Any]:
    """Reads all of DPDK's libraries: takes a while on a slow machine, the first time."""
    taken = {one.eal: one for one in Handover(instance.taken_file).taken().values()}
    host = Host()
    return {
        "devices": [
            _device(taker, host, taken.get(taker.device.address)) for taker in drivers.takers()
        ]
    }


def _device(taker: Taker, host: Host, taken: Taken | None) -> dict[str, Any]:
    device = taker.device
    binding, why = None, _absent(taker)
    if taker.driver is not None:
        way = host.way(device, taker.driver.kmods)
        binding, why = way.binding.value if way.binding else None, way.why
    return {
        "address": device.address,
        "id": f"{device.vendor:04x}:{device.device:04x}",
        "name": _name(device.address),
        "netdev": taken.tap if taken else ", ".join(device.netdevs) or None,
        "kernel_driver": device.driver or None,
        "driver": taker.driver.name if taker.driver else None,
        "package": taker.package or None,
        "installed": taker.installed,
        "binding": binding,
        "why": why,
        "iommu_group": device.group or None,
        "numa_node": device.numa if device.numa >= 0 else None,
        "port": taken.port if taken else None,
    }


def _absent(taker: Taker) -> str:
    if taker.package:
        return f"its DPDK driver is not installed: going by Debian's names, {taker.package} has it"
    return "no DPDK driver that is installed takes it, and none is known that would"


def _name(address: str) -> str | None:
    """What it is, in words; None where udev does not run."""
    try:
        lines = (UDEV / f"+pci:{address}").read_text(errors="replace").splitlines()
    except OSError:
        return None
    said = dict(line[2:].split("=", 1) for line in lines if line.startswith("E:") and "=" in line)
    words = [said.get(f"ID_{part}_FROM_DATABASE", "") for part in ("VENDOR", "MODEL")]
    return " ".join(word for word in words if word) or None
