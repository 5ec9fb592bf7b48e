# SPDX-License-Identifier: GPL-2.0-or-later
"""Into a tunnel: the whole frame that leaves, compared with what scapy builds."""

from itertools import pairwise

import pytest
from _gw_native import lib
from scapy.layers.inet import IP, TCP, UDP, IPOption, IPOption_NOP, fragment
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from tests.lib.packets import udp

from .segment import FAMILIES, FAR, HERE, VNIS, Station
from .stretched import Stretched, same_frame
from .vxlan_frames import between, identification, leaving, outer_of, source_port

BASE = lib.GW_TUNNEL_CHECKSUM | lib.GW_TUNNEL_FRAGMENT
SENT = {"BRIDGE": 1, "VXLAN_ENCAP": 1}
DF_BIT = 2
families = pytest.mark.parametrize("family", FAMILIES)


def sent(stretched: Stretched, frame: Packet | bytes) -> bytes:
    """The outer frame that this one leaves in."""
    outcome = stretched.run(frame, "seg0", to="core0")
    assert outcome.counted == SENT
    return outcome.frame


def as_it_is(frame: bytes) -> dict[str, int | dict[str, int]]:
    """What a test cannot know beforehand, as fields of leaving()."""
    ip = {"id": identification(frame)} if frame[12:14] == b"\x08\0" else {}
    return {"sport": source_port(frame), "ip": ip}


@families
def test_the_whole_frame(stretched: Stretched, family: int) -> None:
    inner = between(HERE, FAR[family])
    outcome = stretched.run(inner, "seg0", to="core0")

    assert outcome.counted == SENT
    same_frame(outcome, bytes(leaving(inner, family, **as_it_is(outcome.frame))))
    assert 49152 <= source_port(outcome.frame) <= 65535


@families
def test_without_a_checksum(stretched: Stretched, family: int) -> None:
    stretched.tunnel(family, flags=lib.GW_TUNNEL_FRAGMENT)
    inner = between(HERE, FAR[family])
    outcome = stretched.run(inner, "seg0", to="core0")

    same_frame(outcome, bytes(leaving(inner, family, checksum=0, **as_it_is(outcome.frame))))


@families
@pytest.mark.parametrize("vni", [0, 1, 0x123456, 0xFFFFFF])
def test_every_part_of_the_vni(stretched: Stretched, family: int, vni: int) -> None:
    stretched.tunnel(family, vni=vni)
    inner = between(HERE, FAR[family])

    frame = sent(stretched, inner)
    assert frame == bytes(leaving(inner, family, vni=vni, **as_it_is(frame)))


@families
def test_another_udp_port(stretched: Stretched, family: int) -> None:
    stretched.tunnel(family, port=8472, ttl=7)
    inner = between(HERE, FAR[family])

    frame = sent(stretched, inner)
    assert frame == bytes(leaving(inner, family, dport=8472, ttl=7, **as_it_is(frame)))


def test_the_flow_label(stretched: Stretched) -> None:
    stretched.tunnel(6, label=int.from_bytes(bytes.fromhex("000abcde"), "little"))
    inner = between(HERE, FAR[6])

    frame = sent(stretched, inner)
    expected = leaving(inner, 6, sport=source_port(frame), ip={"fl": 0xABCDE})
    assert frame == bytes(expected)


# ---- DSCP, ECN, TTL, DF ----------------------------------------------------------------


def _inner(family: int, version: int, tos: int = 0, ttl: int = 64, df: bool = True) -> Packet:
    """An IPv4 or IPv6 packet to the station behind a tunnel."""
    if version == 4:
        frame = between(HERE, FAR[family], df=df, ttl=ttl)
        frame[IP].tos = tos
        return frame
    packet = IPv6(src="2001:db8::1", dst="2001:db8::2", tc=tos, hlim=ttl) / UDP() / Raw(b"x" * 30)
    return Ether(src=HERE.mac, dst=FAR[family].mac) / packet


@families
@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("inherit", [False, True])
def test_dscp_and_ecn(stretched: Stretched, family: int, version: int, inherit: bool) -> None:
    """ECN is always the inner one (RFC 6040 section 4.1), DSCP if the tunnel says so."""
    flags = BASE | (lib.GW_TUNNEL_TOS_INHERIT if inherit else 0)
    stretched.tunnel(family, flags=flags, tos=0xB8)
    for dscp in (0, 1, 10, 46, 63):
        for ecn in range(4):
            inner = _inner(family, version, dscp << 2 | ecn)
            frame = sent(stretched, inner)
            tos = (dscp << 2 if inherit else 0xB8) | ecn
            assert frame == bytes(leaving(inner, family, tos=tos, **as_it_is(frame)))


@families
def test_dscp_of_what_is_not_ip(stretched: Stretched, family: int) -> None:
    inner = Ether(src=HERE.mac, dst=FAR[family].mac, type=0x8035) / Raw(b"\xff" * 50)
    for flags, tos in ((BASE, 0xB8), (BASE | lib.GW_TUNNEL_TOS_INHERIT, 0)):
        stretched.tunnel(family, flags=flags, tos=0xBB)
        frame = sent(stretched, inner)
        assert frame == bytes(leaving(inner, family, tos=tos, **as_it_is(frame)))


@families
@pytest.mark.parametrize("version", [4, 6])
def test_ttl(stretched: Stretched, family: int, version: int) -> None:
    for flags, wanted in ((0, 9), (lib.GW_TUNNEL_TTL_INHERIT, 33)):
        stretched.tunnel(family, flags=BASE | flags, ttl=9)
        assert _life(sent(stretched, _inner(family, version, ttl=33))) == wanted
    # Nothing to inherit, or a packet that could not even leave.
    assert _life(sent(stretched, _inner(family, version, ttl=0))) == 9
    other = Ether(src=HERE.mac, dst=FAR[family].mac, type=0x8035) / Raw(b"\xff" * 50)
    assert _life(sent(stretched, other)) == 9


def _life(frame: bytes) -> int:
    outer = outer_of(frame)
    return int(outer.ttl if IP in outer.layers()[:1] else outer.hlim)


@pytest.mark.parametrize(
    ("flags", "inner_df", "expected"),
    [
        (0, True, False),
        (0, False, False),
        (lib.GW_TUNNEL_DF, True, True),
        (lib.GW_TUNNEL_DF, False, True),
        (lib.GW_TUNNEL_DF_INHERIT, True, True),
        (lib.GW_TUNNEL_DF_INHERIT, False, False),
    ],
)
def test_df(stretched: Stretched, flags: int, inner_df: bool, expected: bool) -> None:
    stretched.tunnel(4, flags=BASE | flags)
    inner = _inner(4, 4, df=inner_df)
    frame = sent(stretched, inner)

    fields = {"flags": DF_BIT if expected else 0, "id": identification(frame)}
    assert frame == bytes(leaving(inner, 4, sport=source_port(frame), ip=fields))
    # A packet that is never cut needs no identification (RFC 6864 section 4.1).
    assert not (expected and fields["id"])


def test_df_of_what_has_none(stretched: Stretched) -> None:
    stretched.tunnel(4, flags=BASE | lib.GW_TUNNEL_DF_INHERIT)

    frame = Ether(src=HERE.mac, dst=FAR[4].mac, type=0x88B5) / Raw(bytes(100))
    assert outer_of(sent(stretched, frame)).flags == 0


def test_identifications_follow_each_other(stretched: Stretched) -> None:
    """Two packets of one pair of addresses have the same one as late as there can be."""
    found = [identification(sent(stretched, between(HERE, FAR[4]))) for _ in range(300)]

    assert len(set(found)) == 300
    assert all((b - a) % 65536 == 1 for a, b in pairwise(found))


# ---- the source port -------------------------------------------------------------------


def _ports(stretched: Stretched, frames: list[Packet]) -> list[int]:
    return [source_port(sent(stretched, frame)) for frame in frames]


def _flow(family: int, number: int, kind: str) -> Packet:
    target = FAR[family]
    if kind == "udp ports":
        return Ether(src=HERE.mac, dst=target.mac) / udp(HERE.ip, target.ip, 1000 + number, 53)
    if kind == "tcp ports":
        header = IP(src=HERE.ip, dst=target.ip) / TCP(sport=4000, dport=number)
        return Ether(src=HERE.mac, dst=target.mac) / header
    if kind == "addresses":
        header = IP(src=HERE.ip, dst=f"10.9.{number % 7}.{number}", proto=47)
        return Ether(src=HERE.mac, dst=target.mac) / header / Raw(b"x" * 20)
    if kind == "ip6 ports":
        header = IPv6(src="2001:db8::1", dst="2001:db8::2") / UDP(sport=number, dport=53)
        return Ether(src=HERE.mac, dst=target.mac) / header
    if kind == "ip6 addresses":
        header = IPv6(src=f"2001:db8::{number:x}", dst="2001:db8::2", nh=59)
        return Ether(src=HERE.mac, dst=target.mac) / header
    return Ether(src=HERE.mac, dst=target.mac, type=0x9000 + number) / Raw(b"x" * 40)


KINDS = ["udp ports", "tcp ports", "addresses", "ip6 ports", "ip6 addresses", "types"]


@families
@pytest.mark.parametrize("kind", KINDS)
def test_flows_spread(stretched: Stretched, family: int, kind: str) -> None:
    """200 flows, over four links and over the range: none is left out or overcrowded."""
    found = _ports(stretched, [_flow(family, number, kind) for number in range(200)])

    assert all(49152 <= port <= 65535 for port in found)
    assert len(set(found)) > 190
    for way in range(4):
        assert 25 <= sum(port % 4 == way for port in found) <= 80
        assert 25 <= sum((port - 49152) // 4096 == way for port in found) <= 80


@families
def test_a_flow_keeps_its_port(stretched: Stretched, family: int) -> None:
    """Whatever is in its packets."""
    frames = [
        between(HERE, FAR[family], payload=bytes([number]) * (number + 1), ttl=number + 2)
        for number in range(50)
    ]
    assert len(set(_ports(stretched, frames))) == 1


@families
@pytest.mark.parametrize("span", [1, 2, 3, 1000, 65535])
def test_the_range(stretched: Stretched, family: int, span: int) -> None:
    flows = [_flow(family, number, "udp ports") for number in range(40)]
    for low in (1, 1024, 49152, 65535):
        high = min(65535, low + span - 1)
        stretched.tunnel(family, port_low=low, port_high=high)
        found = _ports(stretched, flows)
        assert all(low <= port <= high for port in found)
        assert len(set(found)) >= min(3, high - low + 1)


@families
def test_fragments_of_a_packet_stay_together(stretched: Stretched, family: int) -> None:
    """Only the first has ports, which its hash may not have then."""
    whole = udp(HERE.ip, FAR[family].ip, 4000, 5000, payload=bytes(3000), df=False)
    parts = [Ether(src=HERE.mac, dst=FAR[family].mac) / part for part in fragment(whole, 1000)]
    assert len(parts) > 2
    assert len(set(_ports(stretched, parts))) == 1

    head = IPv6(src="2001:db8::1", dst="2001:db8::2")
    six = [
        head / IPv6ExtHdrFragment(nh=17, m=int(at < 200), offset=at // 8, id=7) / Raw(bytes(100))
        for at in (0, 104, 208)
    ]
    frames = [Ether(src=HERE.mac, dst=FAR[family].mac) / part for part in six]
    assert len(set(_ports(stretched, frames))) == 1


@families
def test_ports_behind_options_are_not_looked_for(stretched: Stretched, family: int) -> None:
    """Nor are options taken for ports: a time stamp differs from packet to packet."""
    frames = []
    for number in range(4):
        frame = _flow(family, number, "udp ports")
        stamp = IPOption(bytes([0x44, 8, 5, 0, *number.to_bytes(4, "big")]))
        frame[IP].options = [stamp] if number else [IPOption_NOP()] * 8
        frames.append(frame)
    assert len(set(_ports(stretched, frames))) == 1


@families
def test_a_packet_without_its_ports(stretched: Stretched, family: int) -> None:
    """The frame ends before them, or before its IP header does."""
    for whole in (bytes(_inner(family, 4)), bytes(_inner(family, 6))):
        for length in range(14, 60):
            inner = whole[:length]
            frame = sent(stretched, inner)
            ttl, tos = _life(frame), 0
            expected = leaving(inner, family, tos=tos, ttl=ttl, **as_it_is(frame))
            assert frame == bytes(expected), length


@families
def test_every_tunnel_has_its_own_vni(stretched: Stretched, family: int) -> None:
    other = Station("192.168.150.90", "02:00:c0:a8:96:5a", family)
    index = stretched.tunnel(family, 21, vni=VNIS[family] + 1, remote=leaving_to(family))
    stretched.station(other, tunnel=1 + index)

    frame = sent(stretched, between(HERE, other))
    fields = as_it_is(frame) | {"vni": VNIS[family] + 1, "target": leaving_to(family)}
    assert frame == bytes(leaving(between(HERE, other), family, **fields))


def leaving_to(family: int) -> str:
    """Another VTEP, which has the same MAC address in this site."""
    return {4: "192.0.2.9", 6: "2001:db8:1::9"}[family]
