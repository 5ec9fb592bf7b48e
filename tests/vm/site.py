# SPDX-License-Identifier: GPL-2.0-or-later
"""The lab's LAN host and Internet, with cables to a gateway that is a virtual machine."""

from __future__ import annotations

from pathlib import Path

from hybrid_gateway.lab import LAN, ROUTER, WAN, Interface, Lab, namespaces
from hybrid_gateway.lab.topology import LAN_PORT, address_script
from tests.vm.machine import Nic

CABLES: dict[Interface, Nic] = {
    LAN: Nic(tap="", slot=0x12, mac=LAN_PORT.mac),
    ROUTER: Nic(tap="", slot=0x13, mac=WAN.mac),
}
"""Host's end of each cable, and the guest's NIC: enp0s18 is the LAN's, enp0s19 the Internet's."""


class Site(Lab):
    """A lab of two hosts. `nics` go to QEMU, which makes the taps; then `plug` moves them in."""

    def __init__(self, name: str, directory: Path) -> None:
        super().__init__(name, directory)
        self.nics = tuple(
            Nic(f"{name}-{end.host}", nic.slot, nic.mac) for end, nic in CABLES.items()
        )

    def up(self) -> None:
        for end in CABLES:
            namespaces.add(self.namespace(end.host))

    def plug(self) -> None:
        """Hand the taps of a guest that has started to the hosts, as their eth0."""
        for end, nic in zip(CABLES, self.nics, strict=True):
            target = self.namespace(end.host)
            namespaces.run(["ip", "link", "set", nic.tap, "netns", target, "name", end.device])
            namespaces.ip_batch(target, address_script(end.host))
