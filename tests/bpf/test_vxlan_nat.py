# SPDX-License-Identifier: GPL-2.0-or-later
"""NAT for stations behind a tunnel: out of it and into it, and back as it came to the kernel."""

from collections.abc import Callable

import pytest
from _gw_native import lib
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from tests.lib.packets import SERVER, WAN, echo, from_wan, ip, tcp, to_wan, udp, wire

from .plane import Handover, Outcome
from .segment import (
    FAMILIES,
    FAR,
    HERE,
    NARROW,
    NARROW_MTU,
    SILENT,
    Station,
)
from .stretched import Stretched, same_frame
from .test_vxlan_encapsulate import as_it_is
from .vxlan_frames import SIZES, arriving, between, from_gateway, leaving, to_gateway

families = pytest.mark.parametrize("family", FAMILIES)
OPENED = {"FORWARD": 1, "NAT_NEW_SESSION": 1, "NAT_NEW_MAPPING": 1, "VXLAN_DECAP": 1}


def from_far(stretched: Stretched, packet: Packet, family: int, to: str | None = None) -> Outcome:
    """From the station behind the tunnel to the gateway."""
    return stretched.from_core(arriving(to_gateway(FAR[family], packet), family), to)


def session(stretched: Stretched, family: int, station: Station | None = None) -> int:
    """Opens one of that station; returns its outside port."""
    packet = udp((station or FAR[family]).ip, SERVER, 4000, 53)
    outcome = from_far(stretched, packet, family)
    assert outcome.verdict == "FORWARD"
    return int(outcome.packet[UDP].sport)


def back(stretched: Stretched, packet: Packet, to: str | None = "core0") -> Outcome:
    return stretched.run(from_wan(packet), "wan0", to)


@families
@pytest.mark.parametrize("kind", [udp, tcp])
def test_out_and_back(stretched: Stretched, family: int, kind: Callable[..., Packet]) -> None:
    station = FAR[family]
    outcome = from_far(stretched, kind(station.ip, SERVER, 4000, 80), family, to="wan0")
    layer = TCP if kind is tcp else UDP
    port = outcome.packet[layer].sport

    assert outcome.counted == OPENED
    same_frame(outcome, bytes(to_wan(kind(WAN.ip, SERVER, port, 80, ttl=63))))
    flags = ("SA",) if kind is tcp else ()
    outcome = back(stretched, kind(SERVER, WAN.ip, 80, port, *flags))
    assert outcome.counted == {"FORWARD": 1, "VXLAN_ENCAP": 1}
    inner = from_gateway(station, kind(SERVER, station.ip, 80, 4000, *flags, ttl=63))
    same_frame(outcome, bytes(leaving(inner, family, **as_it_is(outcome.frame))))
    again = from_far(stretched, kind(station.ip, SERVER, 4000, 80), family, to="wan0")
    assert again.counted == {"FORWARD": 1, "VXLAN_DECAP": 1}


@families
def test_an_echo(stretched: Stretched, family: int) -> None:
    station = FAR[family]
    outcome = from_far(stretched, echo(station.ip, SERVER, 7), family, to="wan0")
    identifier = outcome.packet[ICMP].id

    outcome = back(stretched, echo(SERVER, WAN.ip, identifier, reply=True))
    inner = from_gateway(station, echo(SERVER, station.ip, 7, reply=True, ttl=63))
    same_frame(outcome, bytes(leaving(inner, family, **as_it_is(outcome.frame))))


@families
def test_an_icmp_error_from_outside(stretched: Stretched, family: int) -> None:
    port = session(stretched, family)
    quoted = bytes(wire(udp(WAN.ip, SERVER, port, 53, ttl=60)))
    error = ip(SERVER, WAN.ip) / ICMP(type=3, code=3) / Raw(quoted)
    outcome = back(stretched, error)

    assert outcome.counted == {"FORWARD": 1, "NAT_ICMP_ERROR": 1, "VXLAN_ENCAP": 1}
    station = FAR[family]
    inside = bytes(wire(udp(station.ip, SERVER, 4000, 53, ttl=60)))
    packet = ip(SERVER, station.ip, 63) / ICMP(type=3, code=3) / Raw(inside)
    expected = leaving(from_gateway(station, packet), family, **as_it_is(outcome.frame))
    same_frame(outcome, bytes(expected))


@families
def test_both_are_marked(stretched: Stretched, family: int) -> None:
    """It was heard in the bridge, and NAT sent to it."""
    port = session(stretched, family)
    marks = stretched.marks(FAR[family])
    assert marks.seen
    assert not marks.used
    back(stretched, udp(SERVER, WAN.ip, 53, port))
    assert stretched.marks(FAR[family]).used


@families
def test_between_a_port_and_a_tunnel_by_way_of_nat(stretched: Stretched, family: int) -> None:
    """Hairpin: the one here calls the outside endpoint of the one there, and gets its answer."""
    port = session(stretched, family)
    station = FAR[family]
    called = to_gateway(HERE, udp(HERE.ip, WAN.ip, 5000, port))
    outcome = stretched.run(called, "seg0", to="core0")

    assert outcome.counted == {
        "FORWARD": 1,
        "NAT_NEW_SESSION": 1,
        "NAT_NEW_MAPPING": 1,
        "VXLAN_ENCAP": 1,
    }
    inner = Ether(outcome.frame[SIZES[family] :])
    caller = inner[UDP].sport
    expected = from_gateway(station, udp(WAN.ip, station.ip, caller, 4000, ttl=63))
    same_frame(outcome, bytes(leaving(expected, family, **as_it_is(outcome.frame))))
    outcome = from_far(stretched, udp(station.ip, WAN.ip, 4000, caller), family, to="seg0")
    assert outcome.counted == {"FORWARD": 1, "VXLAN_DECAP": 1}
    same_frame(outcome, bytes(from_gateway(HERE, udp(WAN.ip, HERE.ip, port, 5000, ttl=63))))


@families
def test_from_a_tunnel_into_a_tunnel(stretched: Stretched, family: int) -> None:
    """Routed, so it may go back into the same device."""
    other = FAR[10 - family]
    port = session(stretched, 10 - family)
    caller = from_far(stretched, udp(FAR[family].ip, WAN.ip, 5000, port), family, to="core0")

    assert caller.verdict == "FORWARD"
    assert caller.counted["VXLAN_DECAP"] == caller.counted["VXLAN_ENCAP"] == 1
    inner = Ether(caller.frame[SIZES[10 - family] :])
    expected = from_gateway(other, udp(WAN.ip, other.ip, inner[UDP].sport, 4000, ttl=63))
    same_frame(caller, bytes(leaving(expected, 10 - family, **as_it_is(caller.frame))))


# ---- too big, no way -------------------------------------------------------------------


@families
def test_too_big_for_the_underlay(stretched: Stretched, family: int) -> None:
    port = session(stretched, family)
    stretched.tunnel(family, remote=NARROW[family])
    packet = udp(SERVER, WAN.ip, 53, port, payload=bytes(1472))
    outcome = back(stretched, packet)

    assert outcome.counted == {"PUNT_TUNNEL_CUT": 1, "VXLAN_ENCAP": 1}
    core = stretched.core.ifindex
    assert outcome.handover == Handover(core, NARROW_MTU, lib.GW_HANDOVER_TUNNELLED)
    inside = udp(SERVER, FAR[family].ip, 53, 4000, payload=bytes(1472), ttl=63)
    inner = from_gateway(FAR[family], inside)
    fields = as_it_is(outcome.frame) | {"target": NARROW[family]}
    same_frame(outcome, bytes(leaving(inner, family, **fields)))


@families
@pytest.mark.parametrize("why", ["not to be cut", "no neighbour", "no tunnel", "device's MTU"])
def test_what_xdp_cannot_encapsulate(stretched: Stretched, family: int, why: str) -> None:
    """It is translated: the bridge sends it, by whatever way the kernel finds."""
    port = session(stretched, family)
    if why == "not to be cut":
        stretched.tunnel(family, remote=NARROW[family], flags=lib.GW_TUNNEL_CHECKSUM)
    elif why == "no neighbour":
        stretched.tunnel(family, remote=SILENT[family])
    elif why == "no tunnel":
        stretched.no_tunnel(10)
        stretched.no_tunnel(11)
    else:
        stretched.tunnel(family, mtu=1400)
    packet = udp(SERVER, WAN.ip, 53, port, payload=bytes(1472))
    outcome = back(stretched, packet, to=None)

    assert outcome.counted == {"PUNT_NOT_A_PORT": 1}
    assert outcome.handover == Handover(stretched.bridge, 0)
    inside = udp(SERVER, FAR[family].ip, 53, 4000, payload=bytes(1472), ttl=63)
    assert outcome.frame[14:] == bytes(inside)


@families
def test_a_station_that_the_mirror_does_not_know(stretched: Stretched, family: int) -> None:
    port = session(stretched, family)
    stretched.no_station(FAR[family])
    outcome = back(stretched, udp(SERVER, WAN.ip, 53, port), to=None)

    assert outcome.counted == {"PUNT_FDB_MISS": 1}
    assert outcome.handover == Handover(stretched.bridge, 0)


@families
def test_a_station_that_has_just_moved(stretched: Stretched, family: int) -> None:
    """It was heard elsewhere: where it is now is the bridge's to find."""
    port = session(stretched, family)
    stretched.run(between(FAR[family], HERE), "seg1")
    outcome = back(stretched, udp(SERVER, WAN.ip, 53, port), to=None)

    assert outcome.counted == {"PUNT_FDB_MISS": 1}
    assert outcome.handover == Handover(stretched.bridge, 0)


@families
def test_a_station_of_the_kernels(stretched: Stretched, family: int) -> None:
    """Behind the VXLAN device, but by no tunnel of XDP's."""
    port = session(stretched, family)
    stretched.station(FAR[family], tunnel=0)
    outcome = back(stretched, udp(SERVER, WAN.ip, 53, port), to=None)

    assert outcome.counted == {"PUNT_NOT_A_PORT": 1}


@families
def test_to_a_host_outside_that_nobody_has_resolved(stretched: Stretched, family: int) -> None:
    """Out of the tunnel, translated, and handed over: bare, for the outer headers are done with."""
    packet = udp(FAR[family].ip, "203.0.113.50", 4000, 53)
    outcome = from_far(stretched, packet, family)

    assert outcome.verdict == "PUNT_NO_NEIGHBOUR"
    assert outcome.counted["VXLAN_DECAP"] == 1
    assert outcome.handover == Handover(stretched.site.ifindex("wan0"), 0)
    port = Ether(outcome.frame)[UDP].sport
    assert outcome.frame[14:] == bytes(udp(WAN.ip, "203.0.113.50", port, 53, ttl=63))


class TestFragments:
    @pytest.fixture(autouse=True)
    def _no_fragments(self, stretched: Stretched) -> None:
        stretched.plane.own.forget_fragments()

    def _pieces(self, source: str, target: str, sport: int, dport: int, ttl: int) -> list[Packet]:
        whole = udp(source, target, sport, dport, payload=bytes(range(256)) * 4, df=False, ttl=ttl)
        data = bytes(wire(whole))[20:]
        header = {"src": source, "dst": target, "proto": 17, "ttl": ttl, "id": 0x77}
        return [
            IP(**header, flags=int(at < 800), frag=at // 8) / Raw(data[at : at + 400])
            for at in (0, 400, 800)
        ]

    @families
    def test_out_of_a_tunnel(self, stretched: Stretched, family: int) -> None:
        pieces = self._pieces(FAR[family].ip, SERVER, 4000, 53, 64)
        outcomes = [from_far(stretched, piece, family, to="wan0") for piece in pieces]

        assert [outcome.verdict for outcome in outcomes] == ["FORWARD"] * 3
        first = outcomes[0].packet[IP]
        expected = self._pieces(WAN.ip, SERVER, first.payload.sport, 53, 63)
        for outcome, piece in zip(outcomes, expected, strict=True):
            piece.id = first.id
            assert outcome.frame == bytes(to_wan(piece))
            assert outcome.counted["VXLAN_DECAP"] == 1

    @families
    def test_into_a_tunnel(self, stretched: Stretched, family: int) -> None:
        port = session(stretched, family)
        pieces = self._pieces(SERVER, WAN.ip, 53, port, 64)
        outcomes = [back(stretched, piece) for piece in pieces]

        expected = self._pieces(SERVER, FAR[family].ip, 53, 4000, 63)
        for outcome, piece in zip(outcomes, expected, strict=True):
            inner = from_gateway(FAR[family], piece)
            same_frame(outcome, bytes(leaving(inner, family, **as_it_is(outcome.frame))))
            assert outcome.counted == {"FORWARD": 1, "VXLAN_ENCAP": 1}
        assert len({as_it_is(outcome.frame)["sport"] for outcome in outcomes}) == 1

    @families
    def test_before_its_first(self, stretched: Stretched, family: int) -> None:
        """The kernel has the later one as it came, and XDP a copy of what was inside."""
        pieces = self._pieces(FAR[family].ip, SERVER, 4000, 53, 64)
        later = from_far(stretched, pieces[1], family)
        assert later.counted == {"PUNT_FRAGMENT": 1, "FRAGMENT_KEPT": 1}
        first = from_far(stretched, pieces[0], family)
        assert first.verdict == "PUNT_REPLAY"
        assert first.counted["VXLAN_DECAP"] == 1

    @families
    def test_inner_packets_whose_first_fragment_is_the_kernels(
        self, stretched: Stretched, family: int
    ) -> None:
        pieces = self._pieces(FAR[family].ip, "192.168.150.1", 4000, 53, 64)
        verdicts = [from_far(stretched, piece, family).verdict for piece in pieces]

        assert verdicts == ["PUNT_HOST", "PUNT_FRAGMENT", "PUNT_FRAGMENT"]


@families
def test_a_memory_of_the_way_is_one_of_the_tunnel_too(stretched: Stretched, family: int) -> None:
    """bpf/src/memo.h: the third packet of a session in a tick goes by what the second found."""
    port = session(stretched, family)
    frame = bytes(from_wan(udp(SERVER, WAN.ip, 53, port)))
    station = FAR[family]
    inner = from_gateway(station, udp(SERVER, station.ip, 53, 4000, ttl=63))
    for _ in range(5):
        action, left = stretched.plane.run_uncounted(frame, "wan0")
        assert action == "REDIRECT"
        assert left == bytes(leaving(inner, family, **as_it_is(left)))
