# SPDX-License-Identifier: GPL-2.0-or-later
"""The lab's hosts, with cables to a gateway that is a virtual machine."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Interface
from pathlib import Path

from hybrid_gateway.lab import EAST, LAN, ROUTER, SFP0, SFP1, WAN, WEST, Interface, Lab, namespaces
from hybrid_gateway.lab.sfp import SFP_IPV6
from hybrid_gateway.lab.topology import LAN_PORT, address_script
from tests.vm.machine import Bus, Model, Nic

BARE_PORT = Interface("gw", "sfp2", "02:00:c6:12:02:01", IPv4Interface("198.18.2.1/24"))
BARE = Interface("lan2", "eth0", "02:00:c6:12:02:0a", IPv4Interface("198.18.2.10/24"))
"""Behind the port that the IOMMU does not cover; the lab's second host in the LAN has no cable."""

CABLES: dict[Interface, Nic] = {
    LAN: Nic(tap="", slot=0x12, mac=LAN_PORT.mac),
    ROUTER: Nic(tap="", slot=0x13, mac=WAN.mac),
    EAST: Nic(tap="", slot=0x14, mac=SFP0.mac, model=Model.E1000E),
    WEST: Nic(tap="", slot=0x15, mac=SFP1.mac, model=Model.VIRTIO),
    BARE: Nic(tap="", slot=0, mac=BARE_PORT.mac, model=Model.E1000E, bus=Bus.BARE),
}
"""Host's end of each cable, and the guest's NIC: enp0s18 is the LAN's, enp0s19 the Internet's."""
FIBRES = {EAST: SFP0, WEST: SFP1, BARE: BARE_PORT}
"""Hosts behind the ports of the DPDK worker, and the ports."""


class Site(Lab):
    """A lab of hosts. `nics` go to QEMU, which makes the taps; then `plug` moves them in."""

    def __init__(self, name: str, directory: Path) -> None:
        super().__init__(name, directory)
        self.nics = tuple(replace(nic, tap=f"{name}-{end.host}") for end, nic in CABLES.items())

    def up(self) -> None:
        for end in CABLES:
            namespaces.add(self.namespace(end.host))

    def plug(self) -> None:
        """Hand the taps of a guest that has started to the hosts, as their eth0."""
        for end, nic in zip(CABLES, self.nics, strict=True):
            target = self.namespace(end.host)
            namespaces.run(["ip", "link", "set", nic.tap, "netns", target, "name", end.device])
            script = fibre_script(end) if end in FIBRES else address_script(end.host)
            namespaces.ip_batch(target, script)


def fibre_script(end: Interface) -> list[str]:
    """`ip -batch` lines for a host behind a port of the worker; IPv6 where the lab has it."""
    lines = [
        "link set lo up",
        f"link set {end.device} address {end.mac} up",
        f"addr add {end.network} dev {end.device}",
        f"route add default via {FIBRES[end].ip}",
    ]
    if end in SFP_IPV6:
        lines += [
            f"addr add {SFP_IPV6[end]}/64 dev {end.device} nodad",
            f"route add default via {SFP_IPV6[FIBRES[end]]}",
        ]
    return lines
