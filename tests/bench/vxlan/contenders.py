# SPDX-License-Identifier: GPL-2.0-or-later
"""What stands in the middle of a bridged path, each with the evidence of what it did."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from typing import Protocol

from tests.bench.contenders import Contender, Evidence
from tests.bench.gateway import Gateway
from tests.bench.generator import Result, Traffic
from tests.bench.vxlan.bare import BareTunnels
from tests.bench.vxlan.generator import BothWays, BridgedRedirect
from tests.bench.vxlan.path import DEVICE, VNI, BridgedPath, TunnelSetup

VXLAN_OVER_IPV4, VXLAN_OVER_IPV6 = 36, 56
"""What VXLAN adds to an inner frame before the outer Ethernet header, bytes."""
CONFIG = f"""\
version: 1
ports:
  lan0: {{device: lan0, plane: xdp}}
  wan0: {{device: wan0, plane: xdp}}
vxlan:
  - {{device: {DEVICE}, vni: {VNI}}}
"""


class GatewayPlane(Protocol):
    """What bridges in the middle of a path, by whatever means it was set up."""

    def counters(self) -> dict[str, int]: ...


def plane_for(path: BridgedPath, *, bare: bool) -> AbstractContextManager[GatewayPlane]:
    """The real agent, or with `bare` its XDP plane alone."""
    return BareTunnels(path) if bare else Gateway(path.names.middle, CONFIG)


class TunnelContender(Contender):
    """Has both ways through its path measured."""

    def __init__(self, label: str, setup: TunnelSetup, *, verify: bool = False) -> None:
        super().__init__(label, verify=verify)
        self.setup = setup

    def prepare(self, stack: ExitStack) -> None:
        self.bridged = stack.enter_context(BridgedPath(self.label, self.setup))
        self.path = self.bridged
        self.install(stack)
        self.generator = stack.enter_context(self.both_ways())
        self.path.resolve_next_hop()

    def both_ways(self) -> BothWays:
        return BothWays(self.bridged, verify=self._verify)

    def forget(self) -> None:
        """Its stations are static."""


class BridgedBaseline(TunnelContender):
    """The bare redirect of the same frames."""

    translates = False

    def both_ways(self) -> BothWays:
        return BothWays(self.bridged, unchanged=True, verify=self._verify)

    def install(self, stack: ExitStack) -> None:
        for backwards in (False, True):
            stack.enter_context(BridgedRedirect(self.bridged, backwards=backwards))


class KernelVxlan(TunnelContender):
    """The kernel's bridge and its VXLAN device, as they come.

    UDP checksums over IPv6 it leaves to the port, as it does where a NIC makes them; a veth does
    not, so that what is measured is the cheapest that it can be.
    """

    def install(self, stack: ExitStack) -> None:
        """It is there."""

    def evidence(self) -> Evidence:
        received, sent = self.bridged.device_packets()
        return Evidence(others={"received": received, "sent": sent})

    def complaints(self, sent: Traffic, result: Result, found: Evidence) -> Iterator[str]:
        del result
        name = "received" if sent.backwards else "sent"
        if (count := found.others.get(name, 0)) != sent.total:
            yield f"the device has {name} {count} of {sent.total} packets"


class GatewayVxlan(TunnelContender):
    """Ours: the real agent, or with `bare` its XDP plane alone."""

    def __init__(
        self, label: str, setup: TunnelSetup, *, verify: bool = False, bare: bool = False
    ) -> None:
        super().__init__(label, setup, verify=verify)
        self._bare = bare

    @property
    def cuts(self) -> bool:
        """Whether an outer packet is too big for the underlay."""
        setup = self.setup
        outer = VXLAN_OVER_IPV6 if setup.family == 6 else VXLAN_OVER_IPV4
        return setup.size + outer > setup.mtu

    def both_ways(self) -> BothWays:
        return BothWays(self.bridged, cut=self.cuts, verify=self._verify)

    def install(self, stack: ExitStack) -> None:
        self.plane = stack.enter_context(plane_for(self.bridged, bare=self._bare))

    def evidence(self) -> Evidence:
        received, sent = self.bridged.device_packets()
        return Evidence(others=self.plane.counters() | {"kernel": received + sent})

    def complaints(self, sent: Traffic, result: Result, found: Evidence) -> Iterator[str]:
        """Every frame through XDP, and nothing through the kernel's device."""
        ways = ["VXLAN_DECAP" if sent.backwards else "VXLAN_ENCAP"]
        ways += ["PUNT_TUNNEL_CUT", "VXLAN_CUT"] if self.cuts else ["BRIDGE"]
        for name in ways:
            if (count := found.others.get(name, 0)) != sent.total:
                yield f"{name} is {count}, not {sent.total}"
        if self.cuts and result.first_pieces != sent.total:
            yield f"{result.first_pieces} first pieces came, not {sent.total}"
        if count := found.others.get("kernel", 0):
            yield f"the kernel's device had {count} packets"
