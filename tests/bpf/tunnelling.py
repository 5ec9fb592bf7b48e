# SPDX-License-Identifier: GPL-2.0-or-later
"""A bridge with an access port and a VXLAN device, and gw_tunnel at the latter's egress."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from _gw_native import lib

from hybrid_gateway import abi
from hybrid_gateway.lab import namespaces

from . import skb
from .site import mac_bytes
from .underlay import ACCESS_ROW, MTU, UNDERLAY_ROW, VNIS, Underlay, built

BROADCAST = "ff:ff:ff:ff:ff:ff"
STATION = "02:00:00:00:00:bb"
LONG = 1514
FITS = {4: MTU - 36, 6: MTU - 56}
"""Bytes of the largest inner frame whose outer packet is not longer than the underlay takes."""
PASS, STOLEN = -1, 4


@dataclass
class Tunnelling:
    """A bridge with the access port and the VXLAN device of one family."""

    underlay: Underlay
    family: int

    def __post_init__(self) -> None:
        gateway, peer = self.underlay.gateway, self.underlay.peer
        self.device = f"vxlan{self.family}"
        self.lan = self.underlay.tap(gateway, "lan0-far")
        self.host = self.underlay.tap(gateway, "br0")
        self.wire = self.underlay.tap(peer, "und1")
        self.inner = self.underlay.tap(peer, self.device)
        self._before = self.underlay.protocol_counters(peer)
        self._lost = self.underlay.counters(ACCESS_ROW).get("DROP_HANDOVER", 0)
        self._cut = {row: self._counter(row) for row in (ACCESS_ROW, UNDERLAY_ROW)}

    def _counter(self, row: int) -> int:
        return self.underlay.counters(row).get("VXLAN_CUT", 0)

    def lost(self) -> int:
        return self.underlay.counters(ACCESS_ROW).get("DROP_HANDOVER", 0) - self._lost

    def cut(self, row: int = ACCESS_ROW) -> int:
        return self._counter(row) - self._cut[row]

    @property
    def whole(self) -> int:
        """Packets that the receiver's kernel put together; their checksums were right."""
        after = self.underlay.protocol_counters(self.underlay.peer)
        heard = {name: n - self._before[name] for name, n in after.items()}
        assert heard["UdpInCsumErrors"] == heard["Udp6InCsumErrors"] == 0
        return heard["IpReasmOKs" if self.family == 4 else "Ip6ReasmOKs"]

    def tunnel(self, reference: int = 1, **fields: Any) -> None:
        self.underlay.set_tunnel(reference, self.family, **fields)

    def flood(self, *references: int, count: int | None = None) -> None:
        key = abi.new("gw_flood_key", ifindex=self.underlay.ifindex[self.device])
        many = len(references) if count is None else count
        value = abi.new("gw_flood", count=many, tunnels=list(references))
        self.underlay.table("gw_floods").set(key, value)

    def station(self, port: str, tunnel: int) -> None:
        key = _station_key(self.underlay)
        entry = abi.new("gw_fdb_entry", port=self.underlay.ifindex[port], tunnel=tunnel)
        self.underlay.table("gw_fdb").set(key, entry)

    def alone(self, frame: bytes, received_on: str = "lan0", gso: int = 0) -> bool:
        """Whether the device gets the frame as it is; otherwise it was sent in another way."""
        program = self.underlay.programs.program("gw_tunnel")
        origin = self.underlay.ifindex[received_on] if received_on else 0
        with namespaces.entered(self.underlay.gateway):
            number = self.underlay.ifindex[self.device]
            verdict, left = skb.run(program, frame, number, origin, gso)
        assert verdict in (PASS, STOLEN)
        assert verdict == STOLEN or left == frame
        return verdict == PASS


def _station_key(underlay: Underlay) -> Any:
    return abi.new("gw_fdb_key", bridge=underlay.ifindex["br0"], mac=list(mac_bytes(STATION)))


def _devices(underlay: Underlay) -> None:
    underlay.set_device("lan0", lib.GW_DEV_PORT | lib.GW_DEV_BRIDGED, ACCESS_ROW, "br0")
    underlay.set_device("und0", lib.GW_DEV_PORT | lib.GW_DEV_UNDERLAY, UNDERLAY_ROW)
    for family in VNIS:
        underlay.set_device(f"vxlan{family}", lib.GW_DEV_TUNNEL, l3="br0")


@contextmanager
def between(underlay: Underlay, family: int) -> Iterator[Tunnelling]:
    """One flood set of one VTEP, one station behind it."""
    _devices(underlay)
    with underlay.for_one_test():
        found = Tunnelling(underlay, family)
        found.tunnel()
        found.flood(1)
        found.station(found.device, 1)
        namespaces.ip_batch(underlay.gateway, [f"link set {found.device} master br0"])
        yield found
        namespaces.ip_batch(underlay.gateway, [f"link set {found.device} nomaster"])


@contextmanager
def attached() -> Iterator[Underlay]:
    """The namespaces, with gw_tunnel on both VXLAN devices."""
    with built() as found:
        for family in VNIS:
            found.attach_tc(f"vxlan{family}", "gw_tunnel", egress=True)
        yield found
