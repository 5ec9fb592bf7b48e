# SPDX-License-Identifier: GPL-2.0-or-later
"""DSCP and ECN out of a tunnel: RFC 6040 figure 4, every combination. DSCP stays the inner one."""

from itertools import product

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from hybrid_gateway.lab import checksums
from tests.lib.packets import SERVER, WAN, to_wan, udp

from .segment import FAMILIES, FAR, HERE
from .stretched import Stretched
from .vxlan_frames import arriving, between, to_gateway

NOT_ECT, ECT1, ECT0, CE = range(4)
DROP = -1
FIGURE_4 = {
    # inner: what comes of outer Not-ECT, ECT(1), ECT(0) and CE
    NOT_ECT: (NOT_ECT, NOT_ECT, NOT_ECT, DROP),
    ECT1: (ECT1, ECT1, ECT1, CE),
    ECT0: (ECT0, ECT1, ECT0, CE),
    CE: (CE, CE, CE, CE),
}
families = pytest.mark.parametrize("family", FAMILIES)
versions = pytest.mark.parametrize("version", [4, 6])
COMBINATIONS = [(inner, outer, row[outer]) for inner, row in FIGURE_4.items() for outer in range(4)]


def _inner(family: int, version: int, tos: int) -> Packet:
    if version == 4:
        frame = between(FAR[family], HERE)
        frame[IP].tos = tos
        return frame
    packet = IPv6(src="2001:db8::1", dst="2001:db8::2", tc=tos, fl=0xF8A5C) / UDP() / Raw(b"x" * 9)
    return Ether(src=FAR[family].mac, dst=HERE.mac) / packet


@families
@versions
@pytest.mark.parametrize("inner_dscp", [0, 46, 63])
def test_every_combination(
    stretched: Stretched, family: int, version: int, inner_dscp: int
) -> None:
    for (inner, outer, expected), outer_dscp in product(COMBINATIONS, (0, 10, 46)):
        arrives = _inner(family, version, inner_dscp << 2 | inner)
        frame = arriving(arrives, family, tos=outer_dscp << 2 | outer)
        outcome = stretched.from_core(frame, to="seg0")
        if expected == DROP:
            assert outcome.counted == {"DROP_ECN": 1}
            continue
        assert outcome.counted == {"BRIDGE": 1, "VXLAN_DECAP": 1}
        assert outcome.frame == bytes(_inner(family, version, inner_dscp << 2 | expected))


@families
def test_the_header_checksum_in_every_case(stretched: Stretched, family: int) -> None:
    """It is changed and not computed anew, so that a wrong one stays wrong."""
    for number in range(0, 65536, 997):
        for wrong in (0, 1):
            arrives = _inner(family, 4, ECT0)
            arrives[IP].id = number
            header = IP(bytes(arrives[IP]))
            arrives[IP].chksum = header.chksum ^ wrong
            frame = arriving(arrives, family, tos=CE)
            left = stretched.from_core(frame, to="seg0").frame
            assert (checksums.folded(left[14:34]) == 0xFFFF) == (not wrong), number
            assert left[15] == CE


@families
def test_what_is_not_ip_meets_no_congestion(stretched: Stretched, family: int) -> None:
    """Nor does what ends before its header."""
    ends = bytes(_inner(family, 4, 0))[:33], bytes(_inner(family, 6, 0))[:53]
    other = Ether(src=FAR[family].mac, dst=HERE.mac, type=0x9000) / Raw(b"\0" * 40)
    for arrives in (bytes(other), *ends):
        outcome = stretched.from_core(arriving(arrives, family, tos=0xFF), to="seg0")
        assert (outcome.verdict, outcome.frame) == ("BRIDGE", arrives)


@families
@versions
def test_what_the_kernel_gets_is_as_it_came(
    stretched: Stretched, family: int, version: int
) -> None:
    """It carries the congestion itself, and would verify the outer checksum first."""
    for station in (HERE, FAR[family]):
        stretched.no_station(station)
    for inner in range(4):
        frame = arriving(_inner(family, version, inner), family, tos=CE)
        assert stretched.from_core(frame).counted == {"PUNT_FLOOD": 1}


@families
@pytest.mark.parametrize(("inner", "outer", "expected"), COMBINATIONS)
def test_through_nat(
    stretched: Stretched, family: int, inner: int, outer: int, expected: int
) -> None:
    """What is left to the kernel is unchanged; what is translated has met the congestion."""

    def packet(source: str, sport: int, ecn: int, ttl: int) -> Packet:
        built = udp(source, SERVER, sport, 53, ttl=ttl)
        built.tos = 0xB8 | ecn
        return built

    sent = to_gateway(FAR[family], packet(FAR[family].ip, 4000, inner, 64))
    outcome = stretched.from_core(arriving(sent, family, tos=outer), to="wan0")
    if expected == DROP:
        assert outcome.counted == {"DROP_ECN": 1}
        return
    assert outcome.verdict == "FORWARD"
    port = outcome.packet[UDP].sport
    assert outcome.frame == bytes(to_wan(packet(WAN.ip, port, expected, 63)))
    expiring = to_gateway(FAR[family], packet(FAR[family].ip, 4000, inner, 1))
    outcome = stretched.from_core(arriving(expiring, family, tos=outer))
    assert outcome.counted == {"PUNT_TTL": 1}
