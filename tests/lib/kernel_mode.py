# SPDX-License-Identifier: GPL-2.0-or-later
"""The gateway without XDP and without an agent: only the nftables table that one would write."""

from dataclasses import dataclass
from typing import Protocol

from hybrid_gateway import config
from hybrid_gateway.lab import Lab
from hybrid_gateway.lab.namespaces import entered, write_sysctl
from hybrid_gateway.model import Observed, PortRange
from hybrid_gateway.netlink import Netlink
from hybrid_gateway.nft import Nft
from hybrid_gateway.resolve import resolve

from .gateway import Gateway
from .traffic import Wires


def bridges_are_filtered(lab: Lab, on: bool) -> None:
    """Whether its gateway passes bridged frames through nftables' hooks.

    Like most boxes it does not, unless something like Docker loads br_netfilter.
    """
    write_sysctl(lab.namespace("gw"), "net/bridge/bridge-nf-call-iptables", str(int(on)))


class Counts(Protocol):
    def expect(self, **wanted: int) -> None: ...


class NoCounts:
    """The kernel has no counters of ours."""

    def expect(self, **wanted: int) -> None:
        """Whatever is wanted."""


class KernelGateway:
    def __init__(self, lab: Lab) -> None:
        self._lab = lab

    def apply(self, text: str) -> None:
        """The table for this configuration."""
        with entered(self._lab.namespace("gw")):
            netlink = Netlink()
            observed = Observed(links=netlink.links(), addresses=netlink.addresses())
            netlink.close()
            table = resolve(config.parse(text, "test.yaml"), observed).table
            assert table
            Nft().write(table)


@dataclass(frozen=True, slots=True)
class Plane:
    """One of the two ways to forward, in a lab of its own."""

    name: str
    lab: Lab
    wires: Wires
    gateway: Gateway | KernelGateway
    ports: PortRange
    """Where the outside ports come from that it gives out."""

    def apply(self, text: str) -> None:
        """What the kernel has translated until now is forgotten, too."""
        self.gateway.apply(text)
        self.lab.run("gw", ["conntrack", "-F"])

    def counting(self) -> Counts:
        if isinstance(self.gateway, Gateway):
            return self.gateway.counting()
        return NoCounts()
