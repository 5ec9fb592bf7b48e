# SPDX-License-Identifier: GPL-2.0-or-later
"""grout's bridge and VXLAN interface, with the same stations and VTEPs."""

from collections.abc import Iterator
from pathlib import Path

from tests.bench.dpdk.frames import SENDER_MAC
from tests.bench.dpdk.grout import IN, OUT, Grout
from tests.bench.dpdk.replay import Replay
from tests.bench.evpn.cases import MTU, Case
from tests.bench.evpn.frames import VTEPS
from tests.bench.vxlan.path import LOCAL, REMOTE, STATIONS, UNDERLAYS, VNI, mac

BRIDGE, DEVICE = "br0", "vx0"


class GroutTunnels(Grout):
    def __init__(self, label: str, replay: Replay, case: Case, tree: Path) -> None:
        super().__init__(label, replay, tree)
        self._case = case
        self._access, self._underlay = (OUT, IN) if case.inwards else (IN, OUT)

    def furnish(self) -> None:
        self.client("interface", "add", "bridge", BRIDGE)
        if self._case.inwards:
            self.client("interface", "set", "port", OUT, "domain", BRIDGE)
            # Its VXLAN interface wants its address to be there, and that the port.
            self.replay_by()
            self.told(self._underlay_commands())
        else:
            self.told(self._underlay_commands())
        self.told(self._stations())
        if not self._case.inwards:
            self.replay_by("domain", BRIDGE)
            self.told(self._local_stations())

    def _underlay_commands(self) -> Iterator[str]:
        underlay, device = UNDERLAYS[self._case.family], self._underlay
        if self._case.underlay_mtu != MTU:
            yield f"interface set port {device} mtu {self._case.underlay_mtu}"
        yield f"address add {underlay.local}/{underlay.length} iface {device}"
        yield f"nexthop add l3 iface {device} id 1 address {underlay.next_hop} mac {SENDER_MAC}"
        yield f"route add {underlay.vteps} via id 1"
        yield (
            f"interface add vxlan {DEVICE} vni {VNI} local {underlay.local}"
            f" domain {BRIDGE} learn off"
        )

    def _stations(self) -> Iterator[str]:
        underlay = UNDERLAYS[self._case.family]
        for number in range(VTEPS):
            yield f"flood vtep add {underlay.vtep(number)} vni {VNI}"
        for number in range(STATIONS):
            vtep = underlay.vtep(number % VTEPS)
            yield f"fdb add {mac(REMOTE + number)} iface {DEVICE} vtep {vtep}"
        if self._case.inwards:
            yield from self._local_stations()

    def _local_stations(self) -> Iterator[str]:
        for number in range(STATIONS):
            yield f"fdb add {mac(LOCAL + number)} iface {self._access}"
