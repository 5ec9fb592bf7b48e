# SPDX-License-Identifier: GPL-2.0-or-later
"""Which devices are not what they were, from the kernel's own messages."""

import select
from ipaddress import IPv4Address

import pytest

from hybrid_gateway.agent import links
from hybrid_gateway.lab.namespaces import run
from hybrid_gateway.model import Device, Link, VniEntry
from hybrid_gateway.netlink import Netlink
from hybrid_gateway.rtnl import RTM_DELLINK, RTM_NEWLINK, EventSocket, route_events

NAMES = ("br0", "p0", "vni0", "wan0")


@pytest.fixture
def bridge(site: str) -> dict[str, Link]:
    """The site with a VXLAN device in br0; its devices by name."""
    vxlan = "type vxlan id 100 local 203.0.113.2 dstport 4789"
    run(["ip", "-n", site, "link", "add", "vni0", *vxlan.split()])
    run(["ip", "-n", site, "link", "set", "vni0", "master", "br0", "up"])
    run(["ip", "-n", f"{site}-h", "link", "set", "h0", "up"])
    return {link.name: link for link in Netlink().links()}


def told(events: EventSocket, known: dict[str, Link]) -> set[str]:
    """The names of the devices that changed, by what the kernel says next."""
    select.select([events], [], [], 1)
    messages, lost = events.read()
    assert not lost
    relevant = [one for one in messages if one[0] in (RTM_NEWLINK, RTM_DELLINK)]
    assert relevant
    before = {known[name].ifindex: known[name] for name in NAMES}
    names = {link.ifindex: link.name for link in known.values()}
    return {names[ifindex] for ifindex in links.changed(relevant, before)}


@pytest.mark.parametrize(
    ("change", "lost"),
    [
        ("ip link set vni0 down", {"vni0"}),
        ("ip link del vni0", {"vni0"}),
        ("ip link set vni0 nomaster", {"vni0"}),
        ("ip link set br0 down", {"br0"}),
        ("ip link del br0", {"br0", "p0", "vni0"}),
        ("ip link set p0 nomaster", {"p0"}),
        ("ip link set far0 down", {"wan0"}),
        ("bridge link set dev p0 isolated on", {"p0"}),
        ("bridge link set dev p0 learning off", {"p0"}),
        ("bridge link set dev p0 locked on", {"p0"}),
        ("ip link set br0 address 02:00:00:00:00:b1", {"br0"}),
        ("ip link set vni0 type vxlan local 203.0.113.3", {"vni0"}),
        ("ip link set vni0 alias nothing", set()),
        ("ip link set br0 txqueuelen 100", set()),
    ],
)
def test_what_is_not_as_it_was(bridge: dict[str, Link], change: str, lost: set[str]) -> None:
    events = route_events()
    try:
        run(change.split())
        assert told(events, bridge) >= lost if lost else not told(events, bridge)
    finally:
        events.close()


BRIDGED = Device(2, "p0", 9, bytes(6), port=True, inside=True, bridged=True)
OTHER = Device(3, "p1", 9, bytes(6), port=True, bridged=True)
ELSEWHERE = Device(4, "p2", 10, bytes(6), port=True, bridged=True)
TUNNEL = Device(5, "vni0", 9, bytes(6), tunnel=True)
WAN = Device(6, "wan0", 6, bytes(6), port=True, outside=True, underlay=True)
BRIDGE = Device(9, "br0", 9, bytes(6), inside=True, bridge=True)
DEVICES = (BRIDGED, OTHER, ELSEWHERE, TUNNEL, WAN, BRIDGE)


@pytest.mark.parametrize(
    ("lost", "bridged", "tunnels", "bridges"),
    [
        ({2}, {3, 4}, {5}, set()),
        ({5}, {4}, set(), {9}),
        ({9}, {4}, set(), {9}),
        ({6}, {2, 3, 4}, {5}, set()),
    ],
)
def test_what_a_device_takes_along(
    lost: set[int], bridged: set[int], tunnels: set[int], bridges: set[int]
) -> None:
    left, found = links.devices_without(frozenset(lost), DEVICES)
    assert {one.ifindex for one in left if one.bridged} == bridged
    assert {one.ifindex for one in left if one.tunnel} == tunnels
    assert {one.ifindex for one in left if one.underlay} == {6} - lost
    assert found == bridges
    assert [one.inside for one in left] == [one.inside for one in DEVICES]


def test_vnis_become_the_kernels() -> None:
    address = IPv4Address("203.0.113.2")
    entries = (VniEntry(100, 4789, address, 5, 9), VniEntry(200, 4789, address, 7, 10))
    assert [e.kernel for e in links.vnis_without(frozenset({5}), frozenset(), entries)] == [1, 0]
    assert [e.kernel for e in links.vnis_without(frozenset(), frozenset({10}), entries)] == [0, 1]
