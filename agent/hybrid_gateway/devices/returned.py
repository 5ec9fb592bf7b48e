# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel's device of a PCI function that has its driver again."""

import time

from ..errors import DeviceError, KernelError
from ..rtnl import RTM_NEWLINK, Rtnl
from . import capture, messages
from .capture import link_named
from .ethtool import Ethtool
from .pci import Pci

APPEAR_SECONDS = 5.0
RENAME_SECONDS = 1.0
"""udev gives a device its name within some ten milliseconds; where there is none, we do."""


def netdev_of(rtnl: Rtnl, bus: Pci, address: str, name: str) -> int:
    """Its ifindex, once it has the name that it had before; DeviceError when it does not come."""
    began = time.monotonic()
    while True:
        found = link_named(rtnl, name)
        if found is not None and at(address, name):
            return found.ifindex
        passed = time.monotonic() - began
        others = bus.device(address).netdevs
        if passed > RENAME_SECONDS and others and found is None:
            _rename(rtnl, others[0], name)
        if passed > APPEAR_SECONDS:
            taken = f"; {name} is another device now" if found else ""
            raise DeviceError(
                f"{address} has its driver again, but no device {name} appeared{taken}",
                code="device.return",
            )
        time.sleep(0.01)


def at(address: str, name: str) -> bool:
    """Whether the device of that name, in this network namespace, is the function's."""
    with Ethtool() as tool:
        return tool.bus(name) == address


def _rename(rtnl: Rtnl, old: str, name: str) -> None:
    found = link_named(rtnl, old)
    if found is None:
        return
    try:
        body = messages.link(found.ifindex, messages.text(capture.IFLA_IFNAME, name))
        rtnl.request_raw(RTM_NEWLINK, 0, body)
    except KernelError:
        return  # udev came first, after all; the caller looks again
