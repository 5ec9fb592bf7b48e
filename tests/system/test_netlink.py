# SPDX-License-Identifier: GPL-2.0-or-later
"""What the kernel has, read and changed through netlink."""

import select
import socket
import time
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

import pytest

from hybrid_gateway.events import RouteEvent, forwarding_device, route_event, tc_device
from hybrid_gateway.lab.namespaces import run
from hybrid_gateway.model import Address, NextHop, Route
from hybrid_gateway.netlink import (
    NUD_PERMANENT,
    NUD_STALE,
    Netlink,
)
from hybrid_gateway.rtnl import (
    RTM_DELQDISC,
    RTM_DELTFILTER,
    RTM_NEWNETCONF,
    RTM_NEWQDISC,
    RTM_NEWROUTE,
    RTM_NEWTFILTER,
    route_events,
)
from hybrid_gateway.sysctl import write

STATION = bytes.fromhex("020000000002")
GATEWAY = IPv4Address("203.0.113.1")


@pytest.fixture
def netlink(site: str) -> Netlink:
    assert site
    return Netlink()


def index(device: str) -> int:
    return socket.if_nametoindex(device)


def ip(site: str, *argv: str) -> str:
    return run(["ip", "-n", site, *argv])


def eventually(true: Callable[[], object], what: str, seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, what
        select.select([], [], [], 0.05)


def test_links(netlink: Netlink) -> None:
    links = {link.name: link for link in netlink.links()}
    assert links["p0"].master == index("br0")
    assert links["br0"].kind == "bridge"
    assert links["br0"].mac == bytes.fromhex("0200000000b0")
    assert links["wan0"].kind == "veth"
    assert links["wan0"].up
    assert links["wan0"].mtu == 1500


def test_a_link_without_carrier(site: str, netlink: Netlink) -> None:
    def state(device: str) -> tuple[bool, bool]:
        link = next(link for link in netlink.links() if link.name == device)
        return link.up, link.running

    assert state("wan0") == (True, True)
    ip(site, "link", "set", "far0", "down")
    eventually(lambda: state("wan0") == (True, False), "its peer is down")
    ip(site, "link", "set", "wan0", "down")
    assert state("wan0") == (False, False)


def test_addresses(netlink: Netlink) -> None:
    assert Address(index("wan0"), IPv4Interface("203.0.113.2/24")) in netlink.addresses()


def test_routes_of_some_devices(site: str, netlink: Netlink) -> None:
    ip(site, "route", "add", "10.77.0.0/16", "via", "10.9.0.2")
    ip(site, "route", "add", "table", "77", "10.78.0.0/16", "dev", "br0")
    both = ["nexthop", "via", "10.9.0.3", "dev", "br0", "nexthop", "via", "203.0.113.9"]
    ip(site, "route", "add", "10.79.0.0/16", *both, "dev", "wan0")
    bridge = index("br0")

    found = set(netlink.routes(frozenset({bridge})))
    assert found == {
        Route(IPv4Network("10.9.0.0/24"), bridge),
        Route(IPv4Network("10.77.0.0/16"), bridge, IPv4Address("10.9.0.2")),
        Route(IPv4Network("10.78.0.0/16"), bridge),
        Route(IPv4Network("10.79.0.0/16"), bridge, IPv4Address("10.9.0.3")),
    }
    assert netlink.routes(frozenset({9999})) == ()


def test_a_next_hop_is_managed_and_released(netlink: Netlink) -> None:
    hop = NextHop(index("wan0"), GATEWAY)

    netlink.manage(hop)
    assert [n.managed for n in netlink.neighbours(hop.ifindex) if n.address == GATEWAY] == [True]
    netlink.unmanage(hop)
    assert [n.managed for n in netlink.neighbours(hop.ifindex) if n.address == GATEWAY] == [False]
    netlink.unmanage(NextHop(hop.ifindex, IPv4Address("203.0.113.99")))  # one that never was


def test_a_stale_neighbour_in_use_is_asked(site: str, netlink: Netlink) -> None:
    hop = NextHop(index("br0"), IPv4Address("10.9.0.2"))
    mac = "02:00:00:00:00:02"
    ip(site, "neigh", "replace", "10.9.0.2", "lladdr", mac, "dev", "br0", "nud", "stale")
    (before,) = [n for n in netlink.neighbours(hop.ifindex) if n.address == hop.address]
    assert before.state == NUD_STALE
    assert before.mac == STATION

    netlink.probe(hop)
    (after,) = [n for n in netlink.neighbours(hop.ifindex) if n.address == hop.address]
    assert after.state != NUD_STALE


def test_permanent_neighbours_are_seen_as_such(site: str, netlink: Netlink) -> None:
    ip(site, "neigh", "add", "203.0.113.1", "lladdr", "02:00:00:00:00:09", "dev", "wan0")
    (found,) = [n for n in netlink.neighbours(index("wan0")) if n.address == GATEWAY]
    assert found.state & NUD_PERMANENT


def test_qdiscs(site: str, netlink: Netlink) -> None:
    run(["tc", "-n", site, "qdisc", "add", "dev", "wan0", "root", "tbf", "rate", "1mbit",
         "burst", "5kb", "latency", "50ms"])  # fmt: skip
    assert (index("wan0"), "tbf") in [(q.ifindex, q.kind) for q in netlink.qdiscs()]


def test_events(site: str) -> None:
    events = route_events()
    ip(site, "route", "add", "10.77.0.0/16", "via", "10.9.0.2")

    messages, lost = events.read()
    events.close()
    assert not lost
    routes = [route_event(data) for kind, data in messages if kind == RTM_NEWROUTE]
    destination = int(IPv4Address("10.77.0.0"))
    added = RouteEvent(
        frozenset({index("br0")}), IPv4Address("10.9.0.2"), 16, socket.AF_INET, destination
    )
    assert added in routes


def test_events_of_qdiscs_and_filters(site: str) -> None:
    events = route_events()
    rule = ["protocol", "all", "pref", "7", "bpf", "bytecode", "1,6 0 0 0"]
    for argv in (
        ["qdisc", "add", "dev", "wan0", "clsact"],
        ["filter", "add", "dev", "wan0", "egress", *rule],
        ["filter", "del", "dev", "wan0", "egress"],
        ["qdisc", "del", "dev", "wan0", "clsact"],
    ):
        run(["tc", "-n", site, *argv])

    messages, lost = events.read()
    events.close()
    assert not lost
    kinds = (RTM_NEWQDISC, RTM_NEWTFILTER, RTM_DELTFILTER, RTM_DELQDISC)
    found = [(kind, tc_device(data)) for kind, data in messages if kind in kinds]
    assert found == [(kind, index("wan0")) for kind in kinds]


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_events_of_forwarding(site: str, family: str) -> None:
    assert site
    events = route_events()
    for device in ("lo", "wan0"):
        write(f"net.{family}.conf.{device}.forwarding", "1")
        write(f"net.{family}.conf.{device}.forwarding", "0")

    messages, lost = events.read()
    events.close()
    assert not lost
    told = [forwarding_device(data) for kind, data in messages if kind == RTM_NEWNETCONF]
    assert told == [index("lo")] * 2 + [index("wan0")] * 2


def test_lost_events_are_reported(site: str) -> None:
    events = route_events()
    batch = [f"route add 10.{i}.{j}.0/24 dev br0" for i in range(60, 124) for j in range(256)]
    run(["ip", "-n", site, "-batch", "-"], stdin="\n".join(batch))

    lost = False
    while True:
        messages, dropped = events.read()
        lost = lost or dropped
        if not messages and not dropped:
            break
    events.close()
    assert lost
