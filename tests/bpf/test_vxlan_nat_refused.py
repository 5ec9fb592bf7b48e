# SPDX-License-Identifier: GPL-2.0-or-later
"""NAT refuses a station behind a tunnel: it is told through the tunnel, or the kernel has it."""

import pytest
from scapy.layers.inet import ICMP, IP, UDP, IPOption_NOP
from scapy.layers.l2 import Dot1Q, Ether
from scapy.packet import Packet, Raw

from tests.lib.packets import SERVER, WAN, ip, tcp, udp, wire

from .segment import BRIDGE_MAC, FAMILIES, FAR, HERE, SILENT, Station
from .site import DMZ
from .stretched import Stretched, same_frame
from .test_vxlan_encapsulate import as_it_is
from .test_vxlan_nat import from_far, session
from .vxlan_frames import arriving, from_gateway, leaving, to_gateway

families = pytest.mark.parametrize("family", FAMILIES)


# ---- answers ---------------------------------------------------------------------------


def _error(about: Packet, family: int, source: str, **fields: int) -> Packet:
    """The frame in which the sender behind the tunnel is told."""
    quote = bytes(wire(about))[:28]
    header = IP(src=source, dst=about[IP].src, ttl=64, tos=0xC0, id=0, flags="DF")
    return from_gateway(FAR[family], header / ICMP(**fields) / Raw(quote))


@families
def test_a_refusal_goes_back_into_the_tunnel(stretched: Stretched, family: int) -> None:
    stretched.plane.configure(host_sessions=1, vxlan=1, vxlan_ports=(4789,))
    session(stretched, family)
    packet = udp(FAR[family].ip, SERVER, 4001, 53, payload=bytes(700))
    outcome = from_far(stretched, packet, family)

    assert outcome.counted == {
        "DROP_HOST_LIMIT": 1,
        "NAT_REFUSAL": 1,
        "VXLAN_DECAP": 1,
        "VXLAN_ENCAP": 1,
    }
    inner = _error(packet, family, "192.168.150.1", type=3, code=13)
    expected = leaving(inner, family, **as_it_is(outcome.frame))
    same_frame(outcome, bytes(expected))


@families
def test_a_refusal_without_a_way_back_is_silent(stretched: Stretched, family: int) -> None:
    """The sender is believed, but no tunnel leads to it."""
    session(stretched, family)
    stretched.plane.configure(host_sessions=1, vxlan=1, vxlan_ports=(4789,))
    stretched.no_tunnel(10)
    stretched.no_tunnel(11)
    packet = udp(FAR[family].ip, SERVER, 4001, 53)
    frame = bytes(arriving(to_gateway(FAR[family], packet), family))
    stretched.forget_ways()
    action, _ = stretched.plane.run_uncounted(frame, "core0")

    assert action == "DROP"


@families
def test_an_expired_call_is_answered_into_the_tunnel(stretched: Stretched, family: int) -> None:
    """Hairpin: the kernel would take the packet for its own."""
    callee = (
        stretched.run(to_gateway(HERE, udp(HERE.ip, SERVER, 4000, 53)), "seg0", to="wan0")
        .packet[UDP]
        .sport
    )
    call = udp(FAR[family].ip, WAN.ip, 5000, callee)
    assert from_far(stretched, call, family, to="seg0").verdict == "FORWARD"
    expired = udp(FAR[family].ip, WAN.ip, 5000, callee, ttl=1)
    outcome = from_far(stretched, expired, family, to="core0")

    assert outcome.counted == {"REPLY": 1, "VXLAN_DECAP": 1, "VXLAN_ENCAP": 1}
    inner = _error(expired, family, WAN.ip, type=11, code=0)
    same_frame(outcome, bytes(leaving(inner, family, **as_it_is(outcome.frame))))


@families
def test_an_expired_call_without_a_way_back(stretched: Stretched, family: int) -> None:
    callee = (
        stretched.run(to_gateway(HERE, udp(HERE.ip, SERVER, 4000, 53)), "seg0", to="wan0")
        .packet[UDP]
        .sport
    )
    from_far(stretched, udp(FAR[family].ip, WAN.ip, 5000, callee), family, to="seg0")
    stretched.tunnel(family, remote=SILENT[family])
    outcome = from_far(stretched, udp(FAR[family].ip, WAN.ip, 5000, callee, ttl=1), family)

    assert outcome.counted == {"DROP_TTL": 1, "VXLAN_DECAP": 1}


# ---- what is the kernel's --------------------------------------------------------------


def _frames(station: Station) -> list[tuple[str, Packet]]:
    source = station.ip
    options = udp(source, SERVER, 4000, 53)
    options.options = [IPOption_NOP()] * 4
    wrong = udp(source, SERVER, 4000, 53)
    wrong.len = 200
    return [
        ("PUNT_HOST", udp(source, "192.168.150.1", 4000, 53)),
        ("PUNT_HOST", udp(source, "255.255.255.255", 68, 67)),
        ("PUNT_NOT_NAT", udp(source, DMZ, 4000, 53)),
        ("PUNT_SOURCE", udp("198.51.100.77", SERVER, 4000, 53)),
        ("PUNT_OPTIONS", options),
        ("PUNT_PROTOCOL", ip(source, SERVER, proto=50) / Raw(bytes(40))),
        ("PUNT_ICMP", ip(source, SERVER) / ICMP(type=13) / Raw(bytes(40))),
        ("PUNT_TTL", udp(source, SERVER, 4000, 53, ttl=1)),
        ("PUNT_NO_SESSION", tcp(source, SERVER, 4000, 80, "A")),
        ("PUNT_NO_ROUTE", udp(source, "10.66.0.1", 4000, 53)),
        ("DROP_TRUNCATED", wrong),
    ]


@families
@pytest.mark.parametrize("row", range(11))
def test_as_it_came(stretched: Stretched, family: int, row: int) -> None:
    """Plane.run() compares every byte: the outer headers are back, the inner ones untouched."""
    verdict, packet = _frames(FAR[family])[row]
    frame = arriving(to_gateway(FAR[family], packet), family, tos=0xB9, ttl=7, ip=_id(family))
    expected = {verdict: 1} | ({"VXLAN_DECAP": 1} if verdict.startswith("DROP_") else {})

    assert stretched.from_core(frame).counted == expected


def _id(family: int) -> dict[str, int]:
    return {"id": 0x4321} if family == 4 else {"fl": 0x12345}


@families
def test_too_big_for_the_next_link(stretched: Stretched, family: int) -> None:
    """The kernel answers a sender inside: through the tunnel, as the packet came."""
    packet = udp(FAR[family].ip, "198.51.100.99", 4000, 53, payload=bytes(1100))
    outcome = from_far(stretched, packet, family)

    assert outcome.verdict == "PUNT_TOO_BIG"


@families
def test_kernel_mode_of_nat_alone(stretched: Stretched, family: int) -> None:
    stretched.plane.configure(enabled=False, vxlan=1, vxlan_ports=(4789,))
    outcome = from_far(stretched, udp(FAR[family].ip, SERVER, 4000, 53), family)

    assert outcome.counted == {"PUNT_KERNEL_MODE": 1}


@families
def test_a_tagged_frame_to_the_gateway(stretched: Stretched, family: int) -> None:
    inner = Ether(src=FAR[family].mac, dst=BRIDGE_MAC) / Dot1Q(vlan=5)
    frame = arriving(inner / udp(FAR[family].ip, SERVER, 4000, 53), family)

    assert stretched.from_core(frame).counted == {"PUNT_VLAN": 1}
