# SPDX-License-Identifier: GPL-2.0-or-later
"""gw_tunnel at a VXLAN device: what the kernel sends into a tunnel and would not fit it."""

import socket
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from _gw_native import lib

from hybrid_gateway import abi
from hybrid_gateway.lab import namespaces

from .site import mac_bytes
from .underlay import ACCESS_ROW, VNIS, Underlay, arriving, built, inner_frame

BROADCAST = "ff:ff:ff:ff:ff:ff"
STATION = "02:00:00:00:00:bb"
LONG = 1514


@dataclass
class Tunnelling:
    """A bridge with the access port and the VXLAN device of one family."""

    underlay: Underlay
    family: int
    lan: socket.socket
    host: socket.socket
    wire: socket.socket
    inner: socket.socket
    before: dict[str, int]

    def heard(self, name: str) -> int:
        return self.underlay.protocol_counters(self.underlay.peer)[name] - self.before[name]

    @property
    def whole(self) -> int:
        """Packets that the receiver's kernel put together."""
        assert self.heard("UdpInCsumErrors") == self.heard("Udp6InCsumErrors") == 0
        return self.heard("IpReasmOKs" if self.family == 4 else "Ip6ReasmOKs")


@pytest.fixture(scope="module")
def underlay() -> Iterator[Underlay]:
    with built() as found:
        found.set_device("lan0", lib.GW_DEV_PORT | lib.GW_DEV_BRIDGED, ACCESS_ROW, "br0")
        for family in VNIS:
            found.set_device(f"vxlan{family}", lib.GW_DEV_TUNNEL, l3="br0")
            found.attach_tc(f"vxlan{family}", "gw_tunnel", egress=True)
        yield found


@pytest.fixture(params=[4, 6])
def tunnelling(underlay: Underlay, request: pytest.FixtureRequest) -> Iterator[Tunnelling]:
    family: int = request.param
    device = f"vxlan{family}"
    namespaces.ip_batch(underlay.gateway, [f"link set {device} master br0"])
    underlay.set_tunnel(1, family)
    flood = abi.new("gw_flood", count=1, tunnels=[1])
    underlay.table("gw_floods").set(_flood_key(underlay, device), flood)
    taps = [
        underlay.tap(*place)
        for place in (
            (underlay.gateway, "lan0-far"),
            (underlay.gateway, "br0"),
            (underlay.peer, "und1"),
            (underlay.peer, device),
        )
    ]
    yield Tunnelling(underlay, family, *taps, underlay.protocol_counters(underlay.peer))
    namespaces.ip_batch(underlay.gateway, [f"link set {device} nomaster"])


def _flood_key(underlay: Underlay, device: str) -> object:
    return abi.new("gw_flood_key", ifindex=underlay.ifindex[device])


def _station(underlay: Underlay, port: str, tunnel: int) -> None:
    key = abi.new("gw_fdb_key", bridge=underlay.ifindex["br0"], mac=list(mac_bytes(STATION)))
    entry = abi.new("gw_fdb_entry", port=underlay.ifindex[port], tunnel=tunnel)
    underlay.table("gw_fdb").set(key, entry)


def test_flooded(tunnelling: Tunnelling) -> None:
    frame = inner_frame(LONG, dst=BROADCAST)
    tunnelling.lan.send(frame)
    assert arriving(tunnelling.inner) == [frame]
    assert tunnelling.whole == 1


def test_the_host_s_own(tunnelling: Tunnelling) -> None:
    frame = inner_frame(LONG, dst=BROADCAST)
    tunnelling.host.send(frame)
    assert arriving(tunnelling.inner) == [frame]
    assert tunnelling.whole == 1
