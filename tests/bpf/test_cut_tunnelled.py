# SPDX-License-Identifier: GPL-2.0-or-later
"""Outer packets that XDP could not send for their length: cut at TC, put together by a kernel."""

import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from _gw_native import lib
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment
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

LAST = 128
"""Bytes that the last piece has at least."""
OVERHEAD = {4: 36, 6: 56}
"""Bytes of an outer packet around an inner frame."""
families = pytest.mark.parametrize("family", [4, 6])


class Cutting:
    """Frames with the hand-over's mark in at one end, pieces and what they amount to out."""

    def __init__(self, underlay: Underlay) -> None:
        self.underlay = underlay
        self._into = underlay.tap(underlay.gateway, "lan0-far")
        self.wire = underlay.tap(underlay.peer, "und1")
        self.inner = {f: underlay.tap(underlay.peer, f"vxlan{f}") for f in VNIS}
        self._before = underlay.protocol_counters(underlay.peer)
        self._counted = underlay.counters(ACCESS_ROW)

    def send(self, frame: bytes, mtu: int = MTU, device: int = 0, serial: int = 1) -> None:
        ifindex = device or self.underlay.ifindex["und0"]
        mark = handover(ifindex, mtu, lib.GW_HANDOVER_TUNNELLED, serial)
        self._into.send(mark + frame)

    def counted(self) -> dict[str, int]:
        after = self.underlay.counters(ACCESS_ROW)
        grown = {name: n - self._counted.get(name, 0) for name, n in after.items()}
        return {name: n for name, n in grown.items() if n}

    def whole(self, family: int) -> int:
        """Packets that the receiver's kernel put together; their checksums were right."""
        after = self.underlay.protocol_counters(self.underlay.peer)
        heard = {name: n - self._before[name] for name, n in after.items()}
        assert heard["UdpInCsumErrors"] == heard["Udp6InCsumErrors"] == 0
        return heard["IpReasmOKs" if family == 4 else "Ip6ReasmOKs"]


@pytest.fixture(scope="module")
def underlay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Underlay]:
    with built() as found:
        found.set_device("lan0", lib.GW_DEV_PORT, ACCESS_ROW, "br0")
        found.attach_tc("lan0", "gw_handover", egress=False)
        found.attach_marked(Path(tmp_path_factory.mktemp("marked")))
        yield found


@pytest.fixture
def cutting(underlay: Underlay) -> Iterator[Cutting]:
    with underlay.for_one_test():
        yield Cutting(underlay)


def outer(family: int, inner: bytes, **fields: Any) -> bytes:
    fields |= {"src": NEAR.address(family), "dst": FAR.address(family)}
    ip: Packet = IPv6(**{"fl": 5} | fields) if family == 6 else IP(**{"id": 7} | fields)
    vxlan = VXLAN(vni=VNIS[family], flags="Instance") / Raw(inner)
    return bytes(Ether(src=NEAR.mac, dst=FAR.mac) / ip / UDP(sport=50000, dport=PORT) / vxlan)


def pieces(frame: bytes, family: int, mtu: int, serial: int) -> list[bytes]:
    """What has to become of the frame, as the RFCs have it."""
    start = 34 if family == 4 else 54
    payload, room = frame[start:], mtu - (20 if family == 4 else 48)
    chunk = room // 8 * 8
    if 0 < len(payload) % chunk < LAST:
        chunk -= LAST
    found = []
    for at in range(0, len(payload), chunk):
        header, more = Ether(frame[:start]), at + chunk < len(payload)
        if family == 4:
            header[IP].frag, header[IP].flags = at // 8, "MF" if more else 0
            del header[IP].len, header[IP].chksum
        else:
            fragment = IPv6ExtHdrFragment(nh=17, offset=at // 8, m=more, id=socket.htonl(serial))
            del header[IPv6].plen
            header[IPv6].nh = 44
            header = header / fragment
        found.append(bytes(header / Raw(payload[at : at + chunk])))
    return found


@families
@pytest.mark.parametrize("size", [1465, 1466, 1500, 1514, 1600, 2837, 2838, 2900, 3100, 3200])
def test_the_receiver_gets_the_frame_whole(cutting: Cutting, family: int, size: int) -> None:
    inner = inner_frame(size)
    cutting.send(outer(family, inner))

    assert arriving(cutting.inner[family]) == [inner]
    assert cutting.whole(family) == 1
    assert cutting.counted() == {"HANDED_OVER": 1, "VXLAN_CUT": 1}


@families
@pytest.mark.parametrize("mtu", [576, 1280, 1400, 1492, 1499, 1500])
def test_every_piece_byte_for_byte(cutting: Cutting, family: int, mtu: int) -> None:
    serial = 0xDEADBEEF
    for size in (mtu - OVERHEAD[family] + 1, 1514, 2400):
        frame = outer(family, inner_frame(size))
        wanted = pieces(frame, family, mtu, serial)
        cutting.send(frame, mtu, serial=serial)

        found = arriving(cutting.wire, len(wanted))
        assert found == wanted
        assert max(map(len, found)) <= mtu + 14
        assert arriving(cutting.inner[family]) == [inner_frame(size)]
    assert cutting.whole(family) == 3


@families
def test_what_the_outer_header_says_stays(cutting: Cutting, family: int) -> None:
    fields = {"tos": 0xBA, "ttl": 3} if family == 4 else {"tc": 0xBA, "hlim": 3, "fl": 0xABCDE}
    frame = outer(family, inner_frame(1514), **fields)
    cutting.send(frame)

    assert arriving(cutting.wire, 2) == pieces(frame, family, MTU, 1)


@families
def test_packets_follow_each_other(cutting: Cutting, family: int) -> None:
    frames = [inner_frame(1465 + i) for i in range(15)]  # no more than a tap has room for
    for i, frame in enumerate(frames):
        cutting.send(outer(family, frame, **({"id": i + 1} if family == 4 else {})), serial=i + 1)

    assert arriving(cutting.inner[family], len(frames)) == frames
    assert cutting.counted() == {"HANDED_OVER": 15, "VXLAN_CUT": 15}


def _refused(cutting: Cutting) -> None:
    """It is dropped and counted, and what comes after it is none the worse."""
    frame = inner_frame(1514)
    cutting.send(outer(6, frame))
    assert arriving(cutting.inner[6]) == [frame]
    assert cutting.counted() == {"DROP_HANDOVER": 1, "HANDED_OVER": 1, "VXLAN_CUT": 1}
    assert len(arriving(cutting.wire, 2)) == 2


@families
@pytest.mark.parametrize("mtu", [0, 1, 68, 575])
def test_an_underlay_that_is_too_narrow(cutting: Cutting, family: int, mtu: int) -> None:
    cutting.send(outer(family, inner_frame(1514)), mtu)
    _refused(cutting)


@families
@pytest.mark.parametrize("length", [0, 19, 100, 1400, 2000, 65535])
def test_a_length_that_is_none(cutting: Cutting, family: int, length: int) -> None:
    frame = bytearray(outer(family, inner_frame(1514)))
    struct.pack_into("!H", frame, 16 if family == 4 else 18, length)
    cutting.send(bytes(frame))
    _refused(cutting)


@pytest.mark.parametrize("size", [1600, 60, 14])
def test_no_ip_at_all(cutting: Cutting, size: int) -> None:
    cutting.send(b"\xff" * size)
    _refused(cutting)


@families
def test_a_device_that_is_gone(cutting: Cutting, family: int) -> None:
    cutting.send(outer(family, inner_frame(1514)), device=9999)
    _refused(cutting)
