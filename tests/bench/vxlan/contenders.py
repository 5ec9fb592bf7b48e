# SPDX-License-Identifier: GPL-2.0-or-later
"""What stands in the middle of a bridged path, each with the evidence of what it did."""

from collections.abc import Iterator
from contextlib import ExitStack

from tests.bench.contenders import Contender, Evidence
from tests.bench.generator import Result, Traffic
from tests.bench.vxlan.generator import BothWays, BridgedRedirect
from tests.bench.vxlan.path import BridgedPath, TunnelSetup


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
    """The kernel's bridge and its VXLAN device, as they come."""

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
