# SPDX-License-Identifier: GPL-2.0-or-later
"""A stretched LAN as data: a bridge with a VXLAN device, an access port and a port of its own."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface
from typing import Any

import pytest

from hybrid_gateway.errors import ConfigError
from hybrid_gateway.model import (
    Address,
    Address6,
    BridgeLink,
    BridgePort,
    Config,
    Link,
    Observed,
    Port,
    PortVlan,
    Sysctl,
    Vni,
    VtepRoute,
    Vxlan,
    VxlanLink,
)
from hybrid_gateway.resolve import check_devices

LOCAL, PEER = IPv4Address("192.0.2.1"), IPv4Address("198.51.100.1")
LOCAL6, PEER6 = IPv6Address("2001:db8:1::1"), IPv6Address("2001:db8:2::1")
ROUTER = IPv4Address("192.0.2.254")
OTHER = IPv4Address("192.0.2.9")
"""Of nobody at first."""
BRIDGE_MAC = bytes.fromhex("0200000000b0")
LAN, WAN, BRIDGE, TUNNEL = 2, 3, 4, 5

LINKS = (
    Link(LAN, "lan0", bytes.fromhex("020000000002"), BRIDGE, "veth", port=BridgePort()),
    Link(WAN, "wan0", bytes.fromhex("020000000003"), kind="veth"),
    Link(BRIDGE, "br0", BRIDGE_MAC, kind="bridge", bridge=BridgeLink()),
    Link(
        TUNNEL,
        "vni100",
        bytes.fromhex("020000000005"),
        BRIDGE,
        "vxlan",
        mtu=1500,
        vxlan=VxlanLink(100, local=LOCAL, learning=False),
        port=BridgePort(learning=False),
    ),
)
CONFIG = Config(
    1,
    "gateway.yaml",
    (Port("lan0", "lan0", line=2), Port("wan0", "wan0", line=3)),
    vxlan=(Vxlan("vni100", line=5),),
)
OBSERVED = Observed(
    links=LINKS,
    addresses=(
        Address(1, IPv4Interface("127.0.0.1/8")),
        Address(WAN, IPv4Interface(f"{LOCAL}/24")),
    ),
    addresses6=(
        Address6(1, IPv6Interface("::1/128")),
        Address6(WAN, IPv6Interface("fe80::3/64")),
        Address6(WAN, IPv6Interface(f"{LOCAL6}/64")),
    ),
    vteps=(VtepRoute(PEER, WAN, ROUTER, LOCAL),),
    sysctls=(
        Sysctl("net.ipv4.ip_forward", "0", "0"),
        Sysctl("net.ipv4.ip_local_reserved_ports", "8080", "8080"),
        Sysctl("net.ipv4.conf.lo.forwarding", "0", "0"),
        Sysctl("net.ipv6.conf.lo.forwarding", "0", "0"),
    ),
)
VLANS = (PortVlan(1, pvid=True, untagged=True),)


def entry(**changes: Any) -> Config:
    """The configuration with another entry for the VXLAN device."""
    return replace(CONFIG, vxlan=(replace(CONFIG.vxlan[0], **changes),))


def with_link(name: str, observed: Observed = OBSERVED, **changes: Any) -> Observed:
    links = [replace(k, **changes) if k.name == name else k for k in observed.links]
    return replace(observed, links=tuple(links))


def made(observed: Observed = OBSERVED, **changes: Any) -> Observed:
    """The VXLAN device made otherwise."""
    before = observed.link("vni100")
    assert before
    assert before.vxlan
    return with_link("vni100", observed, vxlan=replace(before.vxlan, **changes))


def port(name: str, observed: Observed = OBSERVED, **changes: Any) -> Observed:
    """A bridge port set up otherwise."""
    before = observed.link(name)
    assert before
    assert before.port
    return with_link(name, observed, port=replace(before.port, **changes))


def filtering(observed: Observed = OBSERVED) -> Observed:
    """The bridge filters VLANs; every port has VLAN 1 without a tag."""
    bridge = BridgeLink(vlan_filtering=True, vlans=(PortVlan(1, pvid=True, untagged=True),))
    observed = with_link("br0", observed, bridge=bridge)
    return port("lan0", port("vni100", observed, vlans=VLANS), vlans=VLANS)


def single() -> Observed:
    """A single VXLAN device with VNIs 10100 and 10200 for VLANs 10 and 20; it takes 10300 too."""
    vlans = (*VLANS, PortVlan(10, tunnel=10100), PortVlan(20, tunnel=10200), PortVlan(30))
    vnis = (Vni(10100), Vni(10200), Vni(10300))
    observed = made(filtering(), vni=0, external=True, vnifilter=True, vnis=vnis)
    observed = port("vni100", observed, vlan_tunnel=True, vlans=vlans)
    return port("lan0", observed, vlans=(PortVlan(10, pvid=True, untagged=True), PortVlan(20)))


def refused(config: Config, observed: Observed) -> list[str]:
    """What `check` has against it."""
    with pytest.raises(ConfigError) as caught:
        check_devices(config, observed)
    return [str(problem) for problem in caught.value.problems]
