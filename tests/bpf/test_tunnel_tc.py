# SPDX-License-Identifier: GPL-2.0-or-later
"""gw_tunnel at a VXLAN device: what the kernel sends into a tunnel and would not fit it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from _gw_native import lib
from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment
from scapy.layers.l2 import Dot1Q, Ether
from scapy.packet import Packet, Raw

from hybrid_gateway import abi
from hybrid_gateway.lab import namespaces

from . import skb
from .site import mac_bytes
from .underlay import (
    ACCESS_ROW,
    FAR,
    MTU,
    NEAR,
    SECOND,
    UNDERLAY_ROW,
    VNIS,
    Underlay,
    arriving,
    built,
    inner_frame,
)

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
        self._cut = {row: self._counter(row) for row in (ACCESS_ROW, UNDERLAY_ROW)}

    def _counter(self, row: int) -> int:
        return self.underlay.counters(row).get("VXLAN_CUT", 0)

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


@pytest.fixture(scope="module")
def underlay() -> Iterator[Underlay]:
    with built() as found:
        for family in VNIS:
            found.attach_tc(f"vxlan{family}", "gw_tunnel", egress=True)
        yield found


@pytest.fixture(params=[4, 6])
def tunnelling(underlay: Underlay, request: pytest.FixtureRequest) -> Iterator[Tunnelling]:
    """One flood set of one VTEP, one station behind it."""
    _devices(underlay)
    with underlay.for_one_test():
        found = Tunnelling(underlay, request.param)
        found.tunnel()
        found.flood(1)
        found.station(found.device, 1)
        namespaces.ip_batch(underlay.gateway, [f"link set {found.device} master br0"])
        yield found
        namespaces.ip_batch(underlay.gateway, [f"link set {found.device} nomaster"])


@pytest.mark.parametrize("to", [BROADCAST, "01:00:5e:00:00:fb", "33:33:00:00:00:01", STATION])
def test_from_a_port(tunnelling: Tunnelling, to: str) -> None:
    frame = inner_frame(LONG, dst=to)
    tunnelling.lan.send(frame)

    assert arriving(tunnelling.inner) == [frame]
    assert (tunnelling.whole, tunnelling.cut()) == (1, 1)


def test_the_host_s_own(tunnelling: Tunnelling) -> None:
    frame = inner_frame(LONG, dst=BROADCAST)
    tunnelling.host.send(frame)

    assert arriving(tunnelling.inner) == [frame]
    assert (tunnelling.whole, tunnelling.cut(UNDERLAY_ROW)) == (1, 1)


def test_every_size(tunnelling: Tunnelling) -> None:
    fits = FITS[tunnelling.family]
    for size in (60, fits - 1, fits, fits + 1, fits + 2, LONG - 1, LONG):
        frame = inner_frame(size)
        before = tunnelling.cut()
        tunnelling.lan.send(frame)
        assert arriving(tunnelling.inner) == [frame]
        assert tunnelling.cut() - before == (size > fits)
    assert tunnelling.whole == tunnelling.cut()


MACS = {"dst": STATION, "src": "02:00:00:00:00:aa"}
HOSTS = {"src": "10.0.0.1", "dst": "10.0.0.2"}
INNER = {
    "IPv6": Ether(**MACS) / IPv6(src="::1", dst="2001:db8::1") / Raw(bytes(range(146)) * 10),
    "no IP": Ether(**MACS, type=0x88B5) / Raw(b"\xff" * 1480),
    "options": Ether(**MACS) / IP(**HOSTS, options=[b"\x01"] * 40) / Raw(bytes(1420)),
    "tagged": Ether(**MACS) / Dot1Q(vlan=5, prio=3) / IP(**HOSTS) / Raw(bytes(1480)),
    "garbage": Ether(**MACS, type=0x0800) / Raw(b"\x4f" * 1490),
}


@pytest.mark.parametrize("what", INNER)
def test_whatever_is_inside(tunnelling: Tunnelling, what: str) -> None:
    """Looked at on the wire: a packet socket at the VXLAN device would not see the tag."""
    frame = bytes(INNER[what])
    tunnelling.lan.send(frame)

    start = 34 if tunnelling.family == 4 else 62
    pieces = arriving(tunnelling.wire, 2)
    assert b"".join(piece[start:] for piece in pieces)[16:] == frame
    arriving(tunnelling.inner)
    assert tunnelling.whole == 1


def test_the_pieces_are_addressed(tunnelling: Tunnelling) -> None:
    first, second = (Ether(frame) for frame in _two(tunnelling))
    for piece in (first, second):
        assert (piece.src, piece.dst) == (NEAR.mac, FAR.mac)
        assert len(piece) <= MTU + 14
    header = first[IP] if tunnelling.family == 4 else first[IPv6]
    assert (header.src, header.dst) == tuple(e.address(tunnelling.family) for e in (NEAR, FAR))
    other = Ether(_two(tunnelling)[0])
    assert _identification(first) == _identification(second) != _identification(other)


def _two(tunnelling: Tunnelling) -> list[bytes]:
    tunnelling.lan.send(inner_frame(LONG))
    return arriving(tunnelling.wire, 2)


def _identification(piece: Packet) -> int:
    found: int = piece[IPv6ExtHdrFragment].id if IPv6 in piece else piece[IP].id
    return found


def test_a_flood_set_of_many(tunnelling: Tunnelling) -> None:
    """Each gets all of it; one without a next hop goes without, and so does one that is gone."""
    nowhere = "203.0.113.77" if tunnelling.family == 4 else "2001:db8:77::1"
    tunnelling.tunnel(2)
    tunnelling.tunnel(3, **tunnelling.underlay.remote(nowhere))
    tunnelling.flood(1, 3, 2)
    frame = inner_frame(LONG, dst=BROADCAST)
    tunnelling.lan.send(frame)

    assert arriving(tunnelling.inner, 2) == [frame, frame]
    assert (tunnelling.whole, tunnelling.cut()) == (2, 2)


def test_a_full_flood_set(tunnelling: Tunnelling) -> None:
    tunnelling.flood(*[1] * lib.GW_FLOOD_TUNNELS)
    tunnelling.lan.send(inner_frame(LONG, dst=BROADCAST))

    arriving(tunnelling.inner)
    assert tunnelling.cut() == lib.GW_FLOOD_TUNNELS


def test_a_route_s_own_mtu(tunnelling: Tunnelling) -> None:
    """As the kernel sees the path, not the link alone; and what still fits goes whole."""
    far = FAR.address(tunnelling.family)
    route = f"{far} dev und0 mtu lock 1300"
    tunnelling.flood(1, 2)
    tunnelling.tunnel(2, **tunnelling.underlay.remote(SECOND[tunnelling.family]))
    namespaces.ip_batch(tunnelling.underlay.gateway, [f"route add {route}"])
    try:
        frame = inner_frame(1400, dst=BROADCAST)
        tunnelling.lan.send(frame)
        pieces = [Ether(frame) for frame in arriving(tunnelling.wire, 3)]
    finally:
        namespaces.ip_batch(tunnelling.underlay.gateway, [f"route del {route}"])
    assert [len(piece) <= 1314 for piece in pieces] == [True, True, False]
    assert tunnelling.cut() == 1


# ---- what is left to the kernel's device ------------------------------------------------


FRAME = inner_frame(LONG)
FLOODED = inner_frame(LONG, dst=BROADCAST)


def test_it_is_not_left_alone(tunnelling: Tunnelling) -> None:
    """Or the tests below would say nothing."""
    assert not tunnelling.alone(FRAME)
    assert not tunnelling.alone(FLOODED)
    assert not tunnelling.alone(FRAME, received_on="")


def test_what_fits(tunnelling: Tunnelling) -> None:
    for size in (60, 500, 600, FITS[tunnelling.family]):
        assert tunnelling.alone(FRAME[:size])
    assert not tunnelling.alone(FRAME[: FITS[tunnelling.family] + 1])


def test_what_may_not_be_cut(tunnelling: Tunnelling) -> None:
    kept = lib.GW_TUNNEL_IPV6 if tunnelling.family == 6 else 0
    tunnelling.tunnel(flags=kept)
    assert tunnelling.alone(FRAME)
    assert tunnelling.alone(FLOODED)
    tunnelling.tunnel(flags=kept | lib.GW_TUNNEL_FRAGMENT | lib.GW_TUNNEL_DF)
    assert tunnelling.alone(FRAME) == (tunnelling.family == 4)


def test_df_that_is_inherited(tunnelling: Tunnelling) -> None:
    kept = lib.GW_TUNNEL_IPV6 if tunnelling.family == 6 else 0
    tunnelling.tunnel(flags=kept | lib.GW_TUNNEL_FRAGMENT | lib.GW_TUNNEL_DF_INHERIT)
    unwilling = Ether(FRAME)
    unwilling[IP].flags = "DF"
    assert tunnelling.alone(bytes(unwilling)) == (tunnelling.family == 4)
    assert not tunnelling.alone(FRAME)


def test_unfinished_frames(tunnelling: Tunnelling) -> None:
    """GSO, and what another bridge port sent: its checksum may be the device's to do."""
    assert tunnelling.alone(FRAME, gso=1400)
    assert tunnelling.alone(FRAME, received_on="br0")


def test_what_the_tables_do_not_say(tunnelling: Tunnelling) -> None:
    tunnelling.station(tunnelling.device, 0)
    assert tunnelling.alone(FRAME)
    tunnelling.station("lan0", 1)
    assert tunnelling.alone(FRAME)
    tunnelling.station(tunnelling.device, lib.GW_TUNNELS_MAX + 1)
    assert tunnelling.alone(FRAME)
    tunnelling.flood(1, count=lib.GW_FLOOD_TUNNELS + 1)
    assert tunnelling.alone(FLOODED)
    tunnelling.flood(count=0)
    assert tunnelling.alone(FLOODED)
    tunnelling.flood(1, 0)
    assert tunnelling.alone(FLOODED)


def test_a_tunnel_of_another_device(tunnelling: Tunnelling) -> None:
    tunnelling.tunnel(ifindex=tunnelling.underlay.ifindex["lan0"])
    assert tunnelling.alone(FRAME)
    tunnelling.tunnel(ifindex=0)
    assert tunnelling.alone(FRAME)


def test_no_next_hop(tunnelling: Tunnelling) -> None:
    for remote in ("203.0.113.77", "192.0.2.77"):
        if tunnelling.family == 6:
            remote = "2001:db8:1::77" if remote.startswith("192") else "2001:db8:77::1"
        tunnelling.tunnel(**tunnelling.underlay.remote(remote))
        assert tunnelling.alone(FRAME)
        assert tunnelling.alone(FLOODED)


def test_a_device_that_is_not_ours(tunnelling: Tunnelling) -> None:
    tunnelling.underlay.set_device(tunnelling.device, 0, l3="br0")
    assert tunnelling.alone(FRAME)


def test_it_is_too_long(tunnelling: Tunnelling) -> None:
    assert tunnelling.alone(inner_frame(3700))
    assert not tunnelling.alone(inner_frame(3400))
