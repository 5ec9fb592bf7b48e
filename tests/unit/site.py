# SPDX-License-Identifier: GPL-2.0-or-later
"""The lab's site as data, for tests of what needs no kernel."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from hybrid_gateway.model import (
    Address,
    Config,
    Link,
    Nat44,
    Observed,
    Offload,
    Port,
    Route,
    Sysctl,
)

GATEWAY = IPv4Address("203.0.113.1")
OUTSIDE = IPv4Address("203.0.113.2")
BRIDGE_MAC = bytes.fromhex("02000000aa00")

LINKS = (
    Link(2, "lan0", bytes.fromhex("020000000002"), master=5, kind="veth"),
    Link(3, "lan1", bytes.fromhex("020000000003"), master=5, kind="veth"),
    Link(4, "wan0", bytes.fromhex("020000000004"), kind="veth"),
    Link(5, "br-lan", BRIDGE_MAC, kind="bridge"),
)
NAT = Nat44(("br-lan",), "wan0", line=6, inside_lines=(7,))
CONFIG = Config(
    1,
    "/etc/gw/gateway.yaml",
    (Port("lan0", "lan0", line=3), Port("lan1", "lan1", line=4), Port("wan0", "wan0", line=5)),
    NAT,
)
OBSERVED = Observed(
    links=LINKS,
    addresses=(
        Address(4, IPv4Interface("203.0.113.2/24")),
        Address(4, IPv4Interface("203.0.113.3/24"), secondary=True),
    ),
    routes=(
        Route(IPv4Network("0.0.0.0/0"), 4, GATEWAY),
        Route(IPv4Network("203.0.113.0/24"), 4),
        Route(IPv4Network("192.168.110.0/24"), 5),
    ),
    offloads=(Offload(4, "wan0", "rx-vlan-hw-parse", True),),
    sysctls=(
        Sysctl("net.ipv4.ip_forward", "0", "0"),
        Sysctl("net.ipv4.ip_local_reserved_ports", "8080", "8080"),
    ),
)


def without(name: str, observed: Observed = OBSERVED) -> Observed:
    """The site after one device has left."""
    return replace(observed, links=tuple(link for link in observed.links if link.name != name))
