# SPDX-License-Identifier: GPL-2.0-or-later
"""Outer packets that XDP could not send for their length: cut at TC, put together by a kernel."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from _gw_native import lib
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet, Raw

from .underlay import (
    ACCESS_ROW,
    FAR,
    MTU,
    NEAR,
    PORT,
    VNIS,
    Underlay,
    arriving,
    built,
    handover,
    inner_frame,
)

families = pytest.mark.parametrize("family", [4, 6])


class Cutting:
    """Frames with the hand-over's mark in at one end, pieces and what they amount to out."""

    def __init__(self, underlay: Underlay) -> None:
        self.underlay = underlay
        self._into = underlay.tap(underlay.gateway, "lan0-far")
        self.wire = underlay.tap(underlay.peer, "und1")
        self.inner = {f: underlay.tap(underlay.peer, f"vxlan{f}") for f in VNIS}
        self.before = underlay.protocol_counters(underlay.peer)
        self._counted = underlay.counters(ACCESS_ROW)

    def send(self, frame: bytes, mtu: int = MTU, flags: int = lib.GW_HANDOVER_TUNNELLED) -> None:
        mark = handover(self.underlay.ifindex["und0"], mtu, flags)
        self._into.send(mark + frame)

    def counted(self) -> dict[str, int]:
        after = self.underlay.counters(ACCESS_ROW)
        grown = {name: n - self._counted.get(name, 0) for name, n in after.items()}
        return {name: n for name, n in grown.items() if n}

    def heard(self, name: str) -> int:
        """How much a counter of the receiver's kernel grew."""
        after = self.underlay.protocol_counters(self.underlay.peer)
        return after[name] - self.before[name]


@pytest.fixture(scope="module")
def underlay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Underlay]:
    with built() as found:
        found.set_device("lan0", lib.GW_DEV_PORT, ACCESS_ROW, "br0")
        found.attach_tc("lan0", "gw_handover", egress=False)
        found.attach_marked(Path(tmp_path_factory.mktemp("marked")))
        yield found


@pytest.fixture
def cutting(underlay: Underlay) -> Cutting:
    return Cutting(underlay)


def outer(family: int, inner: bytes) -> bytes:
    addresses = {"src": NEAR.address(family), "dst": FAR.address(family)}
    ip: Packet = IP(flags=0, **addresses) if family == 4 else IPv6(hlim=64, fl=5, **addresses)
    vxlan = VXLAN(vni=VNIS[family], flags="Instance") / Raw(inner)
    return bytes(Ether(src=NEAR.mac, dst=FAR.mac) / ip / UDP(sport=50000, dport=PORT) / vxlan)


@families
@pytest.mark.parametrize("size", [1465, 1514, 2000, 2800])
def test_the_receiver_gets_the_frame_whole(cutting: Cutting, family: int, size: int) -> None:
    inner = inner_frame(size)
    cutting.send(outer(family, inner))

    assert arriving(cutting.inner[family]) == [inner]
    assert cutting.heard("IpReasmOKs" if family == 4 else "Ip6ReasmOKs") == 1
    assert cutting.heard("UdpInCsumErrors") == cutting.heard("Udp6InCsumErrors") == 0
    assert cutting.counted() == {"HANDED_OVER": 1, "VXLAN_CUT": 1}
