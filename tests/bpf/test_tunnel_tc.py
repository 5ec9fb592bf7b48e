# SPDX-License-Identifier: GPL-2.0-or-later
"""gw_tunnel at a VXLAN device: what the kernel sends into a tunnel and would not fit it."""

import pytest
from _gw_native import lib
from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment
from scapy.layers.l2 import Dot1Q, Ether
from scapy.packet import Packet, Raw

from hybrid_gateway.lab import namespaces

from .tunnelling import BROADCAST, FITS, LONG, STATION, Tunnelling
from .underlay import FAR, MTU, NEAR, SECOND, UNDERLAY_ROW, arriving, inner_frame


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
    assert tunnelling.lost() == 1


def test_what_is_lost_is_counted(tunnelling: Tunnelling) -> None:
    """By a link that is too narrow to serve, the VTEP behind it gets nothing."""
    far = FAR.address(tunnelling.family)
    route = f"{far} dev und0 mtu lock 500"
    namespaces.ip_batch(tunnelling.underlay.gateway, [f"route add {route}"])
    try:
        assert not tunnelling.alone(inner_frame(LONG, dst=BROADCAST))
    finally:
        namespaces.ip_batch(tunnelling.underlay.gateway, [f"route del {route}"])
    assert (tunnelling.lost(), tunnelling.cut()) == (1, 0)


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
