# SPDX-License-Identifier: GPL-2.0-or-later
"""gw_guard at the outside port's egress: no inside source address leaves, whatever else fails."""

from ipaddress import IPv4Address, IPv4Network

import pytest
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet

from hybrid_gateway.model import VniEntry
from tests.lib.packets import LAN, ROUTER, SERVER, WAN, echo, tcp, to_wan, udp

from . import skb
from .plane import ONE_TO_ONE, Plane
from .site import DMZ, MANAGED, PLAIN

PASS, SHOT = -1, 2
"""TC_ACT_UNSPEC: the owner's other filters have their say too."""


def _leaves(plane: Plane, frame: Packet | bytes, received_on: str = "") -> bool:
    """Whether the frame may leave by wan0; the counter must agree with the verdict."""
    sent = bytes(frame)
    site, before = plane.site, plane.counters("wan0")["DROP_GUARD"]
    origin = site.ifindex(received_on) if received_on else 0
    verdict, left = skb.run(plane.guard, sent, site.ifindex("wan0"), origin)
    counted = plane.counters("wan0")["DROP_GUARD"] - before
    assert verdict in (PASS, SHOT)
    assert counted == (verdict == SHOT)
    assert left == sent
    return verdict == PASS


@pytest.mark.parametrize("source", [LAN.ip, PLAIN, DMZ, "192.168.110.250"])
def test_an_inside_source_stays_in(plane: Plane, source: str) -> None:
    for packet in (
        udp(source, SERVER, 4000, 53),
        tcp(source, SERVER, 4000, 80),
        echo(source, SERVER, 1),
    ):
        assert not _leaves(plane, to_wan(packet))


@pytest.mark.parametrize("source", [WAN.ip, str(ONE_TO_ONE)])
def test_an_outside_address_of_ours_leaves(plane: Plane, source: str) -> None:
    assert _leaves(plane, to_wan(udp(source, SERVER, 4000, 53)))
    assert _leaves(plane, to_wan(udp(source, SERVER, 4000, 53)), "br-lan")


def test_whatever_was_received_inside_stays_in(plane: Plane) -> None:
    for device in ("br-lan", "lan2", "dmz0"):
        assert not _leaves(plane, to_wan(udp("10.1.2.3", SERVER, 4000, 53)), device)
    assert _leaves(plane, to_wan(udp("10.1.2.3", SERVER, 4000, 53)))
    assert _leaves(plane, to_wan(udp(MANAGED, SERVER, 4000, 53)), "mgmt0")


def test_a_tunnel_s_address_leaves(plane: Plane) -> None:
    """Whoever sent what is inside; an address that is inside stays in all the same."""
    tunnel, inside = IPv4Address("10.1.2.3"), IPv4Address(LAN.ip)
    entries = [VniEntry(100, 4789, address) for address in (tunnel, inside)]
    plane.configure(vxlan_ports=(8472, 4789))
    plane.dataplane.set_vnis(entries)
    plane.dataplane.set_inside_prefixes([IPv4Network("192.168.110.0/24")])
    try:
        for device in ("", "br-lan", "lan2"):
            assert _leaves(plane, to_wan(udp(str(tunnel), SERVER, 50000, 4789)), device)
            assert not _leaves(plane, to_wan(udp(str(inside), SERVER, 50000, 4789)), device)
        assert not _leaves(plane, to_wan(udp("10.1.2.4", SERVER, 50000, 4789)), "br-lan")
    finally:
        plane.dataplane.set_vnis([])


def test_the_agent_s_list_outlives_the_route(plane: Plane) -> None:
    gone = to_wan(udp("10.9.0.7", SERVER, 4000, 53))
    assert _leaves(plane, gone)

    plane.dataplane.set_inside_prefixes([IPv4Network("10.9.0.0/16")])
    assert not _leaves(plane, gone)
    assert _leaves(plane, to_wan(udp("10.10.0.7", SERVER, 4000, 53)))


def test_it_needs_no_nat(plane: Plane) -> None:
    plane.configure(enabled=False)

    assert not _leaves(plane, to_wan(udp(LAN.ip, SERVER, 4000, 53)))


def test_fragments_and_strange_headers_too(plane: Plane) -> None:
    later = udp(LAN.ip, SERVER, 4000, 53)
    later.frag = 100
    unknown = udp(LAN.ip, SERVER, 4000, 53)
    unknown.proto = 99

    assert not _leaves(plane, to_wan(later))
    assert not _leaves(plane, to_wan(unknown))
    assert not _leaves(plane, bytes(to_wan(udp(LAN.ip, SERVER, 4000, 53)))[:34])


def test_other_families_are_not_its_business(plane: Plane) -> None:
    assert _leaves(plane, Ether(dst=ROUTER.mac) / IPv6() / b"x")
    assert _leaves(plane, Ether(dst=ROUTER.mac) / ARP(psrc=LAN.ip))


def test_what_xdp_did_not_mark_is_not_redirected(plane: Plane) -> None:
    program = plane.dataplane._program("gw_handover")
    frame = bytes(to_wan(udp(LAN.ip, SERVER, 4000, 53)))

    assert skb.run(program, frame, plane.site.ifindex("lan0")) == (PASS, frame)
