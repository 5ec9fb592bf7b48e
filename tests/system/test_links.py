# SPDX-License-Identifier: GPL-2.0-or-later
"""VXLAN devices, bridges and addresses as the kernel tells of them."""

import socket
from ipaddress import IPv4Address, IPv6Address, IPv6Interface

import pytest

from hybrid_gateway.lab.namespaces import run
from hybrid_gateway.model import Address6, BridgeLink, Link, NextHop, PortRange, Vni, VxlanLink
from hybrid_gateway.netlink import Netlink, Way

LOCAL6 = IPv6Address("2001:db8::1")


def ip(site: str, *argv: str) -> str:
    return run(["ip", "-n", site, *argv])


@pytest.fixture
def netlink(site: str) -> Netlink:
    assert site
    return Netlink()


def found(netlink: Netlink, name: str) -> Link:
    return next(link for link in netlink.links() if link.name == name)


def test_a_vxlan_device_over_ipv4(site: str, netlink: Netlink) -> None:
    ip(site, "link", "add", "vni6", "type", "vxlan", "id", "6", "local", "203.0.113.2",
       "group", "239.1.1.1", "dev", "wan0", "dstport", "4789", "df", "inherit",
       "srcport", "40000", "40100", "ttl", "5", "noudpcsum", "ageing", "77")  # fmt: skip
    assert found(netlink, "vni6").vxlan == VxlanLink(
        vni=6,
        local=IPv4Address("203.0.113.2"),
        group=IPv4Address("239.1.1.1"),
        link=socket.if_nametoindex("wan0"),
        ports=PortRange(40000, 40100),
        ttl=5,
        df=2,
        ageing=77,
        checksum=False,
    )


def test_a_vxlan_device_over_ipv6_in_a_bridge(site: str, netlink: Netlink) -> None:
    ip(site, "link", "add", "vni5", "type", "vxlan", "id", "5", "local", str(LOCAL6),
       "dstport", "4790", "nolearning", "ttl", "inherit", "tos", "inherit", "gbp",
       "flowlabel", "0x12345", "udp6zerocsumtx")  # fmt: skip
    ip(site, "link", "set", "vni5", "master", "br0", "up")
    run(["nsenter", f"--net=/run/netns/{site}", "bridge", "link", "set", "dev", "vni5",
         "isolated", "on", "learning", "off", "neigh_suppress", "on"])  # fmt: skip

    link = found(netlink, "vni5")
    assert link.vxlan == VxlanLink(
        vni=5,
        local=LOCAL6,
        port=4790,
        learning=False,
        ttl_inherit=True,
        tos=1,
        label=0x12345,
        zero_checksum6_tx=True,
        extensions=("gbp",),
    )
    assert link.vxlan.family == 6
    assert link.master == socket.if_nametoindex("br0")
    assert link.port
    assert (link.port.isolated, link.port.learning, link.port.neigh_suppress) == (True, False, True)
    assert found(netlink, "br0").bridge == BridgeLink()


def test_a_single_vxlan_device(site: str, netlink: Netlink) -> None:
    ip(site, "link", "add", "vxlan0", "type", "vxlan", "external", "vnifilter",
       "local", "203.0.113.2", "dstport", "4789")  # fmt: skip
    ip(site, "link", "set", "vxlan0", "up")
    bridge = ["nsenter", f"--net=/run/netns/{site}", "bridge", "vni", "add", "dev", "vxlan0"]
    run([*bridge, "vni", "200-202"])
    run([*bridge, "vni", "100", "remote", "198.51.100.1"])

    vxlan = found(netlink, "vxlan0").vxlan
    assert vxlan
    assert (vxlan.external, vxlan.vnifilter, vxlan.learning) == (True, True, False)
    assert vxlan.vnis == (
        Vni(100, IPv4Address("198.51.100.1")),
        Vni(200),
        Vni(201),
        Vni(202),
    )


def test_ipv6_addresses_and_ways(site: str, netlink: Netlink) -> None:
    ip(site, "addr", "add", f"{LOCAL6}/64", "dev", "wan0", "nodad")
    ip(site, "route", "add", "2001:db8:5::/48", "via", "2001:db8::2")
    wan0 = socket.if_nametoindex("wan0")

    assert Address6(wan0, IPv6Interface(f"{LOCAL6}/64")) in netlink.addresses6()
    assert netlink.way(IPv6Address("2001:db8:5::9")) == Way(
        wan0, IPv6Address("2001:db8::2"), source=LOCAL6
    )
    assert netlink.way(IPv6Address("2001:db8::9")) == Way(wan0, source=LOCAL6)
    own = netlink.way(LOCAL6)
    assert own
    assert own.local
    assert netlink.way(IPv6Address("2001:db8:6::1")) is None


def test_an_ipv6_neighbour_is_managed(site: str, netlink: Netlink) -> None:
    assert site
    hop = NextHop(socket.if_nametoindex("wan0"), IPv6Address("2001:db8::9"))

    def managed() -> bool:
        known = netlink.neighbours(hop.ifindex, socket.AF_INET6)
        return any(one.address == hop.address and one.managed for one in known)

    netlink.manage(hop)
    assert managed()
    netlink.unmanage(hop)
    assert not managed()


def test_a_rule_about_source_ports_makes_ways_hang_on_them(site: str, netlink: Netlink) -> None:
    assert not netlink.any_path()
    ip(site, "rule", "add", "ipproto", "udp", "sport", "100-200", "table", "main")
    assert netlink.any_path()
