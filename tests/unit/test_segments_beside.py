# SPDX-License-Identifier: GPL-2.0-or-later
"""What segments ask of the rest of the host: offloads, NAT44 beside them, next hops."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv6Address
from typing import Any

import pytest

from hybrid_gateway.model import (
    Address,
    Attachment,
    Config,
    MirrorPort,
    Nat44,
    NextHop,
    Observed,
    Offload,
    OneToOne,
    PortForward,
    PortVlan,
    Protocol,
    VtepRoute,
)
from hybrid_gateway.resolve import resolve
from tests.unit.vxlan_site import (
    BRIDGE,
    CONFIG,
    LAN,
    LOCAL,
    LOCAL6,
    OBSERVED,
    OTHER,
    PEER,
    PEER6,
    WAN,
    entry,
    filtering,
    made,
    port,
    refused,
    with_link,
)

# ---- what has to be whole to be cut -----------------------------------------------------

FEATURES = (
    Offload(LAN, "lan0", "rx-gro", True),
    Offload(LAN, "lan0", "rx-vlan-hw-parse", True),
    Offload(WAN, "wan0", "rx-gro", True),
    Offload(BRIDGE, "br0", "tx-checksum-ip-generic", True),
    Offload(BRIDGE, "br0", "tx-tcp-segmentation", True),
)


def test_frames_that_are_cut_come_one_by_one() -> None:
    wanted = resolve(CONFIG, replace(OBSERVED, offloads=FEATURES))
    assert [(one.device, one.feature) for one in wanted.offloads] == [
        ("lan0", "rx-vlan-hw-parse"),
        ("lan0", "rx-gro"),
        ("br0", "tx-checksum-ip-generic"),
        ("br0", "tx-tcp-segmentation"),
    ]


@pytest.mark.parametrize(
    ("config", "observed"),
    [
        (entry(fragment=False), OBSERVED),
        (CONFIG, with_link("vni100", mtu=1450)),
        (CONFIG, with_link("wan0", mtu=1550)),
    ],
)
def test_what_fits_may_come_merged(config: Config, observed: Observed) -> None:
    wanted = resolve(config, replace(observed, offloads=FEATURES))
    assert [one.feature for one in wanted.offloads] == ["rx-vlan-hw-parse"]


@pytest.mark.parametrize(
    ("config", "observed", "room"),
    [
        (entry(fragment=False), OBSERVED, 1450),
        (CONFIG, made(df=1), 1450),
        (entry(fragment=False), made(local=LOCAL6), 1430),
    ],
)
def test_what_neither_fits_nor_is_cut_is_told(
    config: Config, observed: Observed, room: int
) -> None:
    assert resolve(config, observed).warnings == (
        f"vni100 has MTU 1500, and the underlay takes {room} of it uncut: longer frames get lost",
    )
    assert not resolve(config, with_link("vni100", observed, mtu=room)).warnings


# ---- beside NAT44 -----------------------------------------------------------------------

INSIDE = IPv4Address("192.168.110.10")


def with_nat(**changes: Any) -> Config:
    return replace(CONFIG, nat44=Nat44(("br0",), "wan0", line=7, **changes))


def test_nat_is_for_the_vlan_of_the_bridge_device() -> None:
    """What goes to its MAC address in another one is not for it."""
    ten = port("lan0", filtering(), vlans=(PortVlan(10, pvid=True, untagged=True), PortVlan(1)))
    for observed, inside in ((filtering(), True), (ten, False)):
        wanted = resolve(with_nat(), observed)
        (lan0,) = (device for device in wanted.devices if device.name == "lan0")
        assert (lan0.inside, lan0.bridged) == (inside, True)


def test_nat_inside_on_the_same_bridge_and_outside_on_the_underlay() -> None:
    wanted = resolve(with_nat(), OBSERVED)
    roles = {
        device.name: (device.inside, device.outside, device.bridged, device.underlay)
        for device in wanted.devices
    }
    assert roles == {
        "lan0": (True, False, True, False),
        "wan0": (False, True, False, True),
        "br0": (True, False, False, False),
        "vni100": (False, False, False, False),
    }
    assert wanted.settings.enabled
    assert wanted.settings.vxlan_ports == (4789,)
    assert wanted.attachments == (Attachment(WAN, "wan0", outside=True), Attachment(LAN, "lan0"))
    assert {sysctl.name: sysctl.value for sysctl in wanted.sysctls} == {
        "net.ipv4.ip_forward": "1",
        "net.ipv4.ip_local_reserved_ports": "8080,20000-49999",
        "net.ipv4.conf.lo.forwarding": "1",
    }
    assert wanted.table
    assert wanted.table.inside == ("br0",)
    assert wanted.table.sources
    assert not wanted.warnings


def test_nat_goes_on_without_the_vxlan_device() -> None:
    wanted = resolve(with_nat(), replace(OBSERVED, links=OBSERVED.links[:3]))
    assert wanted.settings.enabled
    assert not wanted.segments
    assert not wanted.devices[0].bridged
    assert wanted.mirrored == (MirrorPort(LAN, BRIDGE, "lan0", xdp=True),)


@pytest.mark.parametrize(
    ("static", "hit"),
    [
        (PortForward(Protocol.UDP, None, 4789, INSIDE, 4789, line=9), True),
        (PortForward(Protocol.UDP, LOCAL, 4000, INSIDE, 4000, line=9, ports=1000), True),
        (OneToOne(LOCAL, INSIDE, line=9), False),  # refused already, as everybody's address
        (OneToOne(OTHER, INSIDE, line=9), True),
        (PortForward(Protocol.TCP, None, 4789, INSIDE, 4789, line=9), False),
        (PortForward(Protocol.UDP, None, 4790, INSIDE, 4790, line=9), False),
    ],
)
def test_a_static_mapping_of_what_is_a_vteps(static: Any, hit: bool) -> None:
    address = OTHER if isinstance(static, OneToOne) and static.outside == OTHER else LOCAL
    alone = Address(WAN, IPv4Interface(f"{address}/32"), secondary=True)
    observed = made(replace(OBSERVED, addresses=(*OBSERVED.addresses, alone)), local=address)
    config = with_nat(static=(static,))
    text = f"UDP port 4789 of {address} is where VXLAN arrives for vni100"

    warnings = resolve(config, observed).warnings
    assert (f"nat44.static, line 9: {text}" in warnings) == hit
    if hit:
        assert refused(config, observed) == [
            f"gateway.yaml:9: nat44.static[0].outside: {text}",
        ]


def test_the_ways_hang_on_ports() -> None:
    assert resolve(CONFIG, replace(OBSERVED, any_path=True)).settings.any_path
    assert not resolve(CONFIG, OBSERVED).settings.any_path


@pytest.mark.parametrize(
    "route", [VtepRoute(PEER), VtepRoute(PEER, LAN, None, LOCAL), VtepRoute(PEER, 77, None, LOCAL)]
)
def test_only_next_hops_at_our_ports_are_watched(route: VtepRoute) -> None:
    assert not resolve(CONFIG, replace(OBSERVED, vteps=(route,))).managed


def test_next_hops_of_both_families_have_an_order() -> None:
    hops = [NextHop(WAN, IPv6Address("::2")), NextHop(WAN, PEER), NextHop(LAN, PEER6)]
    assert sorted(hops) == [hops[2], hops[1], hops[0]]
