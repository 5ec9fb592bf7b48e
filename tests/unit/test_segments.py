# SPDX-License-Identifier: GPL-2.0-or-later
"""VXLAN devices of the configuration meet the devices that are there."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface
from typing import Any

import pytest

from hybrid_gateway.model import (
    Address,
    Address6,
    Attachment,
    BridgePort,
    Device,
    Df,
    Encapsulation,
    FallbackTable,
    Link,
    MirrorPort,
    NextHop,
    PortRange,
    PortVlan,
    Segment,
    Settings,
    SourceFilter,
    Sources,
    Sysctl,
    VniEntry,
    VtepRoute,
    VxlanLink,
)
from hybrid_gateway.resolve import check_devices, resolve
from tests.unit.vxlan_site import (
    BRIDGE,
    BRIDGE_MAC,
    CONFIG,
    LAN,
    LOCAL,
    LOCAL6,
    OBSERVED,
    OTHER,
    PEER,
    PEER6,
    ROUTER,
    TUNNEL,
    WAN,
    entry,
    filtering,
    made,
    port,
    single,
    with_link,
)

SEGMENT = Segment(TUNNEL, "vni100", 100, BRIDGE, "br0", 4789, 4, local=LOCAL, arrives=(LOCAL,))


def test_a_stretched_segment() -> None:
    wanted = resolve(CONFIG, OBSERVED)
    own = bytes.fromhex("020000000003")

    assert wanted.segments == (SEGMENT,)
    assert wanted.settings == Settings(enabled=False, vxlan_ports=(4789,))
    assert wanted.attachments == (Attachment(LAN, "lan0"), Attachment(WAN, "wan0"))
    assert wanted.tunnels == (Attachment(TUNNEL, "vni100"),)
    assert wanted.devices == (
        Device(LAN, "lan0", BRIDGE, BRIDGE_MAC, port=True, bridged=True),
        Device(WAN, "wan0", WAN, own, port=True, underlay=True, address=LOCAL),
        Device(BRIDGE, "br0", BRIDGE, BRIDGE_MAC, bridge=True),
        Device(TUNNEL, "vni100", BRIDGE, BRIDGE_MAC, tunnel=True),
    )
    assert wanted.vnis == (VniEntry(100, 4789, LOCAL, TUNNEL, BRIDGE),)
    assert wanted.mirrored == (
        MirrorPort(LAN, BRIDGE, "lan0", xdp=True, bridged=True),
        MirrorPort(TUNNEL, BRIDGE, "vni100", tunnel=True),
    )
    assert wanted.managed == {NextHop(WAN, ROUTER)}
    assert wanted.sysctls == (Sysctl("net.ipv4.conf.lo.forwarding", "1", "0"),)
    assert wanted.table == FallbackTable(sources=(SourceFilter(TUNNEL, 100, 4789, 4),))
    assert wanted.sizes
    assert not wanted.warnings
    check_devices(CONFIG, OBSERVED)


def test_over_ipv6() -> None:
    observed = replace(
        made(local=LOCAL6, zero_checksum6_tx=False), vteps=(VtepRoute(PEER6, WAN, None, LOCAL6),)
    )
    wanted = resolve(CONFIG, observed)

    assert [(one.family, one.local, one.arrives) for one in wanted.segments] == [
        (6, LOCAL6, (LOCAL6,))
    ]
    assert wanted.segments[0].encapsulation.checksum
    assert wanted.managed == {NextHop(WAN, PEER6)}  # it is on the link
    assert wanted.sysctls == (Sysctl("net.ipv6.conf.lo.forwarding", "1", "0"),)
    zero = resolve(CONFIG, made(observed, zero_checksum6_tx=True))
    assert not zero.segments[0].encapsulation.checksum


@pytest.mark.parametrize(
    ("device", "means"),
    [
        ({}, Encapsulation()),
        ({"ttl": 7, "tos": 0x20}, Encapsulation(ttl=7, tos=0x20)),
        ({"ttl_inherit": True, "tos": 1}, Encapsulation(ttl_inherit=True, tos_inherit=True)),
        ({"df": 1, "checksum": False}, Encapsulation(df=Df.SET, checksum=False)),
        ({"df": 2, "label": 5}, Encapsulation(df=Df.INHERIT, label=5)),
        ({"ports": PortRange(5000, 5009)}, Encapsulation(ports=PortRange(5000, 5009))),
        # Over IPv4 this one says nothing.
        ({"zero_checksum6_tx": True}, Encapsulation()),
    ],
)
def test_outer_headers_are_as_the_device_was_made(
    device: dict[str, Any], means: Encapsulation
) -> None:
    assert resolve(CONFIG, made(**device)).segments[0].encapsulation == means


def test_outer_packets_are_cut_unless_told_otherwise() -> None:
    wanted = resolve(entry(fragment=False), with_link("vni100", mtu=1400))
    assert wanted.segments[0].encapsulation == Encapsulation(fragment=False, mtu=1400)


@pytest.mark.parametrize(("device", "bridge_port"), [(True, False), (False, True)])
def test_a_segment_learns_by_the_device_or_by_the_bridge(device: bool, bridge_port: bool) -> None:
    observed = port("vni100", made(learning=device), learning=bridge_port)
    wanted = resolve(CONFIG, observed)
    assert wanted.segments[0].learns
    assert wanted.vnis[0].learns


def test_whoever_may_send() -> None:
    some = resolve(entry(sources=Sources.LISTED, listed=(PEER,)), OBSERVED)
    assert (some.segments[0].sources, some.segments[0].listed) == (Sources.LISTED, (PEER,))
    assert some.table
    whoever = resolve(entry(sources=Sources.ANY), OBSERVED)
    assert whoever.vnis[0].any_source
    assert whoever.table is None


# ---- addresses --------------------------------------------------------------------------


def test_without_a_local_address_it_arrives_at_all_and_is_sent_as_routed() -> None:
    second = Address(WAN, IPv4Interface(f"{OTHER}/24"), secondary=True)
    observed = replace(made(local=None), addresses=(*OBSERVED.addresses, second))
    wanted = resolve(CONFIG, observed)

    assert wanted.segments == (replace(SEGMENT, arrives=(LOCAL, OTHER)),)
    assert [entry.address for entry in wanted.vnis] == [LOCAL, OTHER]
    assert not wanted.warnings


@pytest.mark.parametrize(
    ("vteps", "local"),
    [
        ((), None),
        ((VtepRoute(PEER, WAN, ROUTER, LOCAL), VtepRoute(OTHER, WAN, None, OTHER)), None),
        ((VtepRoute(PEER, WAN, ROUTER, LOCAL), VtepRoute(OTHER)), LOCAL),
        ((VtepRoute(PEER, WAN, ROUTER, LOCAL), VtepRoute(PEER6, WAN, None, LOCAL6)), LOCAL),
    ],
)
def test_the_source_hangs_on_the_way(vteps: tuple[VtepRoute, ...], local: object) -> None:
    wanted = resolve(CONFIG, replace(made(local=None), vteps=vteps))
    assert wanted.segments[0].local == local
    assert bool(wanted.warnings) == (local is None)


def test_a_device_that_is_bound_to_another_way() -> None:
    """The kernel sends by that device whatever the routes say, and XDP asks the routes."""
    assert resolve(CONFIG, made(link=WAN)).segments[0].local == LOCAL
    assert resolve(CONFIG, made(link=9)).segments[0].local is None


def test_addresses_that_nobody_can_reach_are_none() -> None:
    temporary = Address6(WAN, OBSERVED.addresses6[-1].address, temporary=True)
    observed = replace(
        made(local=None, group=PEER6), addresses6=(*OBSERVED.addresses6[:2], temporary)
    )
    assert resolve(CONFIG, observed).segments[0].arrives == (LOCAL6,)


# ---- other VXLAN devices of the host ----------------------------------------------------


def other(**changes: Any) -> Link:
    vxlan = VxlanLink(**{"vni": 7, "local": LOCAL, **changes})
    return Link(9, "vni7", kind="vxlan", vxlan=vxlan)


def test_vnis_that_are_the_kernels_are_known() -> None:
    observed = replace(OBSERVED, links=(*OBSERVED.links, other()))
    assert resolve(CONFIG, observed).vnis[1] == VniEntry(7, 4789, LOCAL, 9, kernel=True)


@pytest.mark.parametrize("local", [OTHER, None])
def test_the_kernel_takes_a_vni_at_every_address(local: IPv4Address | None) -> None:
    observed = replace(OBSERVED, links=(*OBSERVED.links, other(local=local)))
    assert [entry.vni for entry in resolve(CONFIG, observed).vnis] == [100, 7]


@pytest.mark.parametrize("changes", [{"port": 8472}, {"local": LOCAL6}])
def test_a_device_with_another_socket_is_none_of_it(changes: dict[str, Any]) -> None:
    observed = replace(OBSERVED, links=(*OBSERVED.links, other(**changes)))
    assert [entry.vni for entry in resolve(CONFIG, observed).vnis] == [100]


def test_a_device_that_is_down_takes_nothing() -> None:
    observed = replace(OBSERVED, links=(*OBSERVED.links, replace(other(), up=False)))
    assert [entry.vni for entry in resolve(CONFIG, observed).vnis] == [100]


# ---- bridge ports and VLANs -------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"isolated": True}, "is isolated"),
        ({"locked": True}, "is locked"),
        ({"vlan_tunnel": True}, "maps VLANs to tunnels"),
        ({"state": 1}, "does not forward at the moment"),
    ],
)
def test_a_port_with_restrictions_is_the_kernels(changes: dict[str, Any], why: str) -> None:
    wanted = resolve(CONFIG, port("lan0", **changes))
    assert not wanted.devices[0].bridged
    assert not wanted.mirrored[0].bridged
    assert wanted.warnings == (f"lan0 {why}: the kernel bridges by it, and XDP does not",)


def test_a_bridge_that_filters_vlans() -> None:
    wanted = resolve(CONFIG, filtering())
    assert [device.vlan for device in wanted.devices] == [1, 0, 1, 1]
    assert wanted.segments[0].vlan == 1
    assert wanted.vnis[0].vlan == 1


def test_a_port_with_tagged_vlans_only() -> None:
    wanted = resolve(CONFIG, port("lan0", filtering(), vlans=(PortVlan(7),)))
    assert not wanted.devices[0].bridged
    assert "lan0 has tagged VLANs only" in wanted.warnings[0]


def test_a_single_vxlan_device() -> None:
    wanted = resolve(CONFIG, single())
    assert [(one.vni, one.vlan, one.external) for one in wanted.segments] == [
        (10100, 10, True),
        (10200, 20, True),
    ]
    assert [(entry.vni, entry.kernel) for entry in wanted.vnis] == [
        (10100, False),
        (10200, False),
        (10300, True),  # it has no VLAN, and who gets it is the kernel's to say
    ]
    assert wanted.tunnels == (Attachment(TUNNEL, "vni100"),)
    assert [device.vlan for device in wanted.devices] == [10, 0, 1, 0]
    # It is open for both families, so that both are judged.
    assert wanted.table
    assert [(of.family, of.vni) for of in wanted.table.sources] == [
        (4, 10100),
        (4, 10200),
        (6, 10100),
        (6, 10200),
    ]


def test_one_vni_of_a_single_vxlan_device() -> None:
    wanted = resolve(entry(vni=10200), single())
    assert [one.vni for one in wanted.segments] == [10200]
    assert [entry.vni for entry in wanted.vnis if entry.kernel] == [10100, 10300]


def test_a_port_of_a_bridge_without_vxlan() -> None:
    link = Link(8, "lan1", kind="veth", master=7, port=BridgePort())
    observed = replace(OBSERVED, links=(*OBSERVED.links, link, Link(7, "br1", kind="bridge")))
    ports = (*CONFIG.ports, replace(CONFIG.ports[0], name="lan1", device="lan1"))
    wanted = resolve(replace(CONFIG, ports=ports), observed)
    assert wanted.warnings == (
        "port lan1: lan1 is a port of a device without a VXLAN segment: it takes no part",
    )
    assert Device(8, "lan1", 8, bytes(6), port=True) in wanted.devices


def test_a_bridge_with_none_of_our_ports() -> None:
    wanted = resolve(replace(CONFIG, ports=CONFIG.ports[1:]), OBSERVED)
    assert wanted.warnings == ("no port of br0 is among `ports`: XDP bridges to none",)
    assert wanted.segments
