# SPDX-License-Identifier: GPL-2.0-or-later
"""Packets of a session that XDP cannot send: translated, and marked for gw_handover."""

from ipaddress import IPv4Address

import pytest
from scapy.layers.inet import IP, UDP

from hybrid_gateway.bpf import StaticRecord
from tests.lib.packets import LAN, LAN2, ROUTER, SERVER, SERVER2, WAN, from_lan, from_wan, same, udp

from .plane import OUTSIDE, Handover, Outcome, Plane
from .site import (
    DMZ,
    FAR_NARROW,
    MANAGED,
    NARROW,
    NARROW_MTU,
    NEIGHBOURLESS,
    NOWHERE,
    STRAY,
    UNRESOLVED,
)


def _handed_over(plane: Plane, outcome: Outcome, verdict: str, device: str, mtu: int = 0) -> None:
    """The reason, the device in the metadata, and that the kernel gets the frame."""
    assert outcome.verdict == verdict
    assert outcome.handover == Handover(plane.site.ifindex(device), mtu)
    assert outcome.action == "PASS"


def _forward(plane: Plane, inside: str) -> None:
    plane.statics(StaticRecord(17, OUTSIDE, 53, IPv4Address(inside), 5353))


def test_outbound_without_a_neighbour(plane: Plane) -> None:
    outcome = plane.lan(udp(LAN.ip, NEIGHBOURLESS, 4000, 53))

    _handed_over(plane, outcome, "PUNT_NO_NEIGHBOUR", "wan0")
    port = outcome.packet[UDP].sport
    # The MAC addresses stay: the kernel writes them when it has resolved the neighbour.
    same(outcome.packet, from_lan(udp(WAN.ip, NEIGHBOURLESS, port, 53, ttl=63)))
    assert outcome.counted == {"PUNT_NO_NEIGHBOUR": 1, "NAT_NEW_SESSION": 1, "NAT_NEW_MAPPING": 1}
    assert plane.session().packets_out == 1


def test_inbound_without_a_neighbour(plane: Plane) -> None:
    _forward(plane, UNRESOLVED)

    outcome = plane.wan(udp(SERVER, WAN.ip, 4000, 53))

    _handed_over(plane, outcome, "PUNT_NO_NEIGHBOUR", "br-lan")
    same(outcome.packet, from_wan(udp(SERVER, UNRESOLVED, 4000, 5353, ttl=63)))


def test_a_station_that_the_mirror_does_not_know(plane: Plane) -> None:
    _forward(plane, STRAY)

    outcome = plane.wan(udp(SERVER, WAN.ip, 4000, 53))

    _handed_over(plane, outcome, "PUNT_FDB_MISS", "br-lan")
    same(outcome.packet, from_wan(udp(SERVER, STRAY, 4000, 5353, ttl=63)))


def test_a_station_that_moved_away(plane: Plane) -> None:
    site = plane.site
    bridge, mac = site.ifindex("br-lan"), bytes.fromhex(LAN.mac.replace(":", ""))
    port = plane.lan(udp(LAN.ip, SERVER, 4000, 53)).packet[UDP].sport
    answer = udp(SERVER, WAN.ip, 53, port)

    assert plane.wan(answer).verdict == "FORWARD"
    plane.stations.delete(bridge, mac)
    assert plane.wan(answer).verdict == "PUNT_FDB_MISS"
    plane.stations.set(bridge, mac, site.ifindex("lan1"))
    assert plane.wan(answer).verdict == "FORWARD"
    plane.stations.set(bridge, mac, site.ifindex("mgmt0"))
    _handed_over(plane, plane.wan(answer), "PUNT_NOT_A_PORT", "br-lan")


def test_an_inside_device_without_xdp(plane: Plane) -> None:
    _forward(plane, DMZ)

    outcome = plane.wan(udp(SERVER, WAN.ip, 4000, 53))

    _handed_over(plane, outcome, "PUNT_NOT_A_PORT", "dmz0")
    same(outcome.packet, from_wan(udp(SERVER, DMZ, 4000, 5353, ttl=63)))


@pytest.mark.parametrize("inside", [*NOWHERE.values(), MANAGED, SERVER2, WAN.ip])
def test_no_way_to_the_inside_host(plane: Plane, inside: str) -> None:
    """No route, one to a device without a role, one back to the Internet, or the host itself."""
    _forward(plane, inside)

    assert plane.wan(udp(SERVER, WAN.ip, 4000, 53)).counted["DROP_NO_ROUTE"] == 1


def test_the_use_of_a_station_is_noted(plane: Plane) -> None:
    port = plane.lan(udp(LAN.ip, SERVER, 4000, 53)).packet[UDP].sport
    stations = {key: used for key, used in plane.stations.used().items() if used}
    mac = bytes.fromhex(LAN.mac.replace(":", ""))
    assert (plane.site.ifindex("br-lan"), mac) not in stations

    plane.wan(udp(SERVER, WAN.ip, 53, port))

    used = plane.stations.used()
    assert used[plane.site.ifindex("br-lan"), mac] > 0
    assert used[plane.site.ifindex("br-lan"), bytes.fromhex(LAN2.mac.replace(":", ""))] == 0


def test_a_route_that_moved_inside_is_not_followed(plane: Plane) -> None:
    """The outside role moves away under a session: neither direction is translated any more."""
    port = plane.lan(udp(LAN.ip, SERVER, 4000, 53)).packet[UDP].sport
    roles = [record for record in plane.site.records() if record.name != "wan0"]
    plane.dataplane.set_devices(roles)

    assert plane.lan(udp(LAN.ip, SERVER, 4000, 53)).verdict == "PUNT_NOT_NAT"
    plane.dataplane.set_devices(plane.site.records())
    back = plane.wan(udp(SERVER, WAN.ip, 53, port))
    assert back.verdict == "FORWARD"
    assert ROUTER.mac != back.packet.dst


def test_what_does_not_fit_but_may_be_cut(plane: Plane) -> None:
    big = bytes(NARROW_MTU)
    plane.statics(StaticRecord(17, OUTSIDE, 53, IPv4Address(NARROW), 5353))

    outcome = plane.wan(udp(SERVER, WAN.ip, 4000, 53, payload=big, df=False))
    _handed_over(plane, outcome, "PUNT_CUT", "br-lan", NARROW_MTU)
    same(outcome.packet, from_wan(udp(SERVER, NARROW, 4000, 5353, ttl=63, payload=big, df=False)))
    outcome = plane.lan(udp(LAN.ip, FAR_NARROW, 4000, 53, payload=big, df=False))
    _handed_over(plane, outcome, "PUNT_CUT", "wan0", NARROW_MTU)
    port = outcome.packet[UDP].sport
    expected = udp(WAN.ip, FAR_NARROW, port, 53, ttl=63, payload=big, df=False)
    expected.id = outcome.packet[IP].id  # what leaves and may be cut gets one of its own
    same(outcome.packet, from_lan(expected))
