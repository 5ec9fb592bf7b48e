# SPDX-License-Identifier: GPL-2.0-or-later
"""gwctl show drivers"""

from typing import Any

import click

from . import text
from .base import output

SECONDS = 60.0
"""All of DPDK's libraries are read: a moment, unless the machine is very slow."""


@click.command()
def drivers() -> None:
    """PCI network devices: which DPDK driver would take each, and how."""
    out = output()
    answer = out.ask("show.drivers", timeout=SECONDS)
    out.show(answer, describe(answer["devices"]))


def describe(devices: list[dict[str, Any]]) -> str:
    if not devices:
        return "there is no PCI network device here"
    head = ("ADDRESS", "DEVICE", "KERNEL DRIVER", "DPDK DRIVER", "PACKAGE", "BINDING", "PORT")
    rows = [
        (
            device["address"],
            device["netdev"],
            device["kernel_driver"],
            device["driver"],
            _package(device),
            device["binding"],
            device["port"],
        )
        for device in devices
    ]
    return text.paragraphs(text.table(head, rows), "\n".join(map(_remark, devices)))


def _package(device: dict[str, Any]) -> str | None:
    package = device["package"]
    return package if package is None or device["installed"] else f"({package})"


def _remark(device: dict[str, Any]) -> str:
    """One line: what it is, and why it would go that way, or would not."""
    what = f"{device['name']} ({device['id']})" if device["name"] else device["id"]
    how = f"{device['binding']}, " if device["binding"] else ""
    prefix = "" if device["binding"] else "cannot be taken: "
    return f"{device['address']}: {what}: {how}{prefix}{device['why']}"
