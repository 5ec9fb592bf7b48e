# SPDX-License-Identifier: GPL-2.0-or-later
"""Prefixes that several routers have: one route with as many next hops."""

import json
from contextlib import ExitStack
from dataclasses import replace
from ipaddress import ip_network

import pytest
from scapy.layers.inet import ICMP, IP
from scapy.layers.l2 import Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet

from hybrid_gateway.evpn.entries import PrefixEntry, Router
from tests.system.evpn_site import FAR, OTHER, ROUTED, VNI6, Follower, Site, mac

from .test_evpn_kernel_frames import ASKER, HOST_MAC, Wire, encapsulated, follower, site

__all__ = ["follower", "site"]

FIRST, SECOND = "02:00:00:00:0a:01", "02:00:00:00:0a:02"
LINK_LOCAL = {FIRST: "fe80::ff:fe00:a01", SECOND: "fe80::ff:fe00:a02"}
PREFIXES = ["10.77.0.0/16", "2001:db8:77::/48"]
PACKETS = 32


def spread(prefix: str, far: int) -> PrefixEntry:
    others = (Router(OTHER[far], mac(SECOND)),)
    vni = ROUTED if far == 4 else VNI6
    return PrefixEntry(ip_network(prefix), vni, FAR[far], mac(FIRST), others=others)


def hops(site: Site) -> set[str]:
    """Of the only route of ours."""
    [route] = site.routes()
    return {hop.get("gateway") or hop["via"]["host"] for hop in route.get("nexthops", [route])}


@pytest.mark.parametrize("far", [4, 6])
@pytest.mark.parametrize("prefix", PREFIXES)
def test_routers_come_and_go(site: Site, follower: Follower, prefix: str, far: int) -> None:
    bridge, tunnel = ("br5000", "vx5000") if far == 4 else ("br660", "vx660")
    both = spread(prefix, far)
    other = Router(OTHER[far], mac(SECOND))
    direct = far == 4 and both.prefix.version == 4
    where = {FIRST: str(FAR[4]), SECOND: str(OTHER[4])} if direct else LINK_LOCAL
    first, second = replace(both, others=()), replace(both, vtep=other.vtep, router_mac=other.mac)
    second = replace(second, others=())

    for entry, macs in ((both, [FIRST, SECOND]), (second, [SECOND]), (both, [FIRST, SECOND])):
        assert follower.kernel.put([entry]) == []
        assert hops(site) == {where[one] for one in macs}
        assert {row["dst"]: row["lladdr"] for row in site.neighbours(bridge)} == {
            where[one]: one for one in macs
        }
        assert [len(site.macs(tunnel, one)) for one in macs] == [2] * len(macs)

    follower.kernel.put([first])
    assert hops(site) == {where[FIRST]}
    assert not site.macs(tunnel, SECOND)
    follower.kernel.put([both])
    follower.kernel.delete([both])
    assert (site.routes(), site.neighbours(bridge)) == ([], [])
    assert not (site.macs(tunnel, FIRST))
    assert not (site.macs(tunnel, SECOND))


@pytest.mark.parametrize("far", [4, 6])
@pytest.mark.parametrize("prefix", PREFIXES)
def test_what_is_left_of_it_is_swept(
    site: Site, follower: Follower, stack: ExitStack, prefix: str, far: int
) -> None:
    follower.kernel.put([spread(prefix, far)])
    following = Follower(stack)
    following.follow(site.segments())

    following.kernel.delete(following.kernel.found())

    assert site.routes() == []
    assert not site.neighbours("br5000")
    assert not site.neighbours("br660")


def test_as_many_as_there_may_be(site: Site, follower: Follower) -> None:
    """Over IPv6, which takes the longest request of all; and more of them than fit into one."""
    others = tuple(Router(OTHER[6], mac(f"02:00:00:00:0b:{number:02x}")) for number in range(1, 16))
    prefixes = [ip_network(f"10.{number}.0.0/16") for number in range(1, 101)]
    entries = [PrefixEntry(one, VNI6, FAR[6], mac(FIRST), others=others) for one in prefixes]

    assert follower.kernel.put(entries) == []

    routes = site.routes()
    assert {route["dst"] for route in routes} == set(map(str, prefixes))
    assert {len(route["nexthops"]) for route in routes} == {16}
    follower.kernel.delete(entries)
    assert site.routes() == []


@pytest.mark.parametrize("far", [4, 6])
def test_packets_are_spread_over_them(
    site: Site, stack: ExitStack, follower: Follower, far: int
) -> None:
    core, port = Wire(site, stack, "u1"), Wire(site, stack, "h0")
    entry = spread(PREFIXES[0], far)
    follower.kernel.put([entry])
    bridge = "br5000" if far == 4 else "br660"
    [link] = json.loads(site.run("ip", "-j", "link", "show", bridge))
    [gateway] = json.loads(site.run("ip", "-j", "link", "show", "br550"))
    packets = {
        f"10.77.1.{last}": IP(src=ASKER, dst=f"10.77.1.{last}", id=last) / ICMP(id=last)
        for last in range(1, PACKETS + 1)
    }
    for packet in packets.values():
        port.send(Ether(src=HOST_MAC, dst=gateway["address"]) / packet)

    routers = {mac(FIRST): FAR[far], mac(SECOND): OTHER[far]}
    used = set()
    for seen in core.expect(VXLAN, count=PACKETS):
        inner: Packet = seen[VXLAN].payload
        forwarded = packets.pop(inner[IP].dst)
        forwarded.ttl = 63
        wanted = Ether(src=link["address"], dst=inner.dst) / forwarded
        vtep = routers[mac(inner.dst)]
        assert bytes(seen) == encapsulated(site, wanted, vtep, entry.vni, seen)
        used.add(vtep)

    assert not packets
    assert used == set(routers.values())
