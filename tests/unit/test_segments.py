# SPDX-License-Identifier: GPL-2.0-or-later
"""VXLAN devices of the configuration meet the devices that are there."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv6Address
from typing import Any

import pytest
from _gw_native import lib

from hybrid_gateway.errors import ConfigError
from hybrid_gateway.model import (
    VNI_OTHER,
    VXLAN_PORTS_MAX,
    Address,
    Address6,
    Attachment,
    BridgePort,
    Config,
    Device,
    Df,
    Encapsulation,
    FallbackTable,
    Link,
    MirrorPort,
    Nat44,
    NextHop,
    Observed,
    Offload,
    OneToOne,
    PortForward,
    PortRange,
    PortVlan,
    Protocol,
    Segment,
    Settings,
    SourceFilter,
    Sources,
    Sysctl,
    VniEntry,
    VtepRoute,
    Vxlan,
    VxlanLink,
)
from hybrid_gateway.resolve import check_devices, resolve
from hybrid_gateway.roles import SLOTS
from tests.unit.vxlan_site import (
    BRIDGE,
    BRIDGE_MAC,
    CONFIG,
    LAN,
    LOCAL,
    LOCAL6,
    OBSERVED,
    PEER,
    PEER6,
    ROUTER,
    TUNNEL,
    VLANS,
    WAN,
    entry,
    filtering,
    made,
    port,
    single,
    with_link,
)

GROUP = IPv4Address("239.1.1.1")
OTHER = IPv4Address("192.0.2.9")
SEGMENT = Segment(TUNNEL, "vni100", 100, BRIDGE, "br0", 4789, 4, local=LOCAL, arrives=(LOCAL,))


def refused(config: Config, observed: Observed) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        check_devices(config, observed)
    return [str(problem) for problem in caught.value.problems]


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


# ---- what XDP cannot work for -----------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "observed", "key", "message"),
    [
        (
            CONFIG,
            replace(OBSERVED, links=OBSERVED.links[:3]),
            "device",
            "there is no network device vni100",
        ),
        (entry(device="lan0"), OBSERVED, "device", "lan0 is no VXLAN device"),
        (
            CONFIG,
            with_link("vni100", master=0, port=None),
            "device",
            "vni100 is not a port of a bridge",
        ),
        (
            CONFIG,
            with_link("br0", kind="bond", bridge=None),
            "device",
            "vni100 is not a port of a bridge",
        ),
        (entry(vni=550), OBSERVED, "vni", "vni100 has VNI 100, not 550"),
        (
            CONFIG,
            made(extensions=("proxy", "gbp", "rsc")),
            "device",
            "vni100 was made with gbp, rsc, which XDP does not know",
        ),
        (
            CONFIG,
            made(group=GROUP),
            "sources",
            "vni100 floods to the multicast group 239.1.1.1, so that nobody knows beforehand "
            "who may send: list their addresses, or say any",
        ),
        (
            entry(sources=Sources.LISTED, listed=(PEER, PEER6)),
            OBSERVED,
            "sources[1]",
            "2001:db8:2::1 is IPv6, and vni100 has IPv4",
        ),
        (
            CONFIG,
            port("vni100", filtering(), vlans=(PortVlan(7),)),
            "device",
            "vni100 is in no VLAN of br0 without a tag: "
            "bridge vlan add dev vni100 vid VLAN pvid untagged",
        ),
        (
            CONFIG,
            made(vni=0, external=True),
            "device",
            "vni100 is a single VXLAN device: br0 has to filter VLANs, and vni100 to map them to "
            "VNIs (bridge link set dev vni100 vlan_tunnel on)",
        ),
        (entry(vni=10300), single(), "vni", "vni100 has no VLAN for VNI 10300"),
        (
            CONFIG,
            port("vni100", single(), vlans=VLANS),
            "device",
            "vni100 has no VLAN with a VNI: bridge vlan add dev vni100 vid VLAN tunnel_info id VNI",
        ),
        (
            entry(vni=10100),
            made(single(), vnis=()),
            "vni",
            "vni100 does not take VNI 10100: bridge vni add dev vni100 vni VNI",
        ),
    ],
)
def test_a_device_that_xdp_cannot_work_for(
    config: Config, observed: Observed, key: str, message: str
) -> None:
    """It is refused when asked, told of later, and the kernel's in any case."""
    assert refused(config, observed) == [f"gateway.yaml:5: vxlan[0].{key}: {message}"]
    wanted = resolve(config, observed)
    assert message in wanted.warnings
    assert not wanted.segments
    assert not wanted.vnis
    assert not wanted.settings.vxlan_ports
    # Taking the programs off would reset the links.
    assert [one.name for one in wanted.attachments] == ["lan0", "wan0"]


@pytest.mark.parametrize("sources", [Sources.ANY, Sources.LISTED])
def test_a_multicast_group_if_it_is_known_who_may_send(sources: Sources) -> None:
    wanted = resolve(entry(sources=sources, listed=(PEER,)), made(group=GROUP))
    assert wanted.segments[0].group == GROUP


def test_a_default_destination_is_no_group() -> None:
    assert resolve(CONFIG, made(group=PEER)).segments[0].group is None


@pytest.mark.parametrize(
    ("observed", "warning"),
    [
        (with_link("vni100", up=False), "vni100: vni100 is down"),
        (with_link("br0", up=False), "vni100: br0 is down"),
        (port("vni100", state=4), "vni100: br0 does not forward by it at the moment"),
    ],
)
def test_a_device_that_is_asleep(observed: Observed, warning: str) -> None:
    """That passes: it is no mistake of the configuration."""
    check_devices(CONFIG, observed)
    wanted = resolve(CONFIG, observed)
    assert wanted.warnings == (warning,)
    assert not wanted.segments
    assert not wanted.devices[0].bridged
    assert not wanted.vnis
    assert [one.name for one in wanted.attachments] == ["lan0", "wan0"]


def test_a_local_address_that_is_not_here() -> None:
    wanted = resolve(CONFIG, made(local=OTHER))
    assert wanted.warnings == ("vni100: this host has no address 192.0.2.9: nothing arrives by it",)
    assert not wanted.vnis
    assert wanted.segments[0].local == OTHER


def test_more_udp_ports_than_xdp_takes() -> None:
    tunnel = OBSERVED.links[-1]
    extra = tuple(
        replace(
            tunnel,
            ifindex=10 + number,
            name=f"x{number}",
            vxlan=VxlanLink(200 + number, local=LOCAL, port=5000 + number),
        )
        for number in range(VXLAN_PORTS_MAX)
    )
    entries = tuple(Vxlan(link.name, line=6 + n) for n, link in enumerate(extra))
    config = replace(CONFIG, vxlan=(*CONFIG.vxlan, *entries))
    observed = replace(OBSERVED, links=(*OBSERVED.links, *extra))
    message = "x3 has UDP port 5003, and XDP takes VXLAN at four: 4789, 5000, 5001, 5002"

    assert refused(config, observed) == [f"gateway.yaml:9: vxlan[4].device: {message}"]
    wanted = resolve(config, observed)
    assert wanted.settings.vxlan_ports == (4789, 5000, 5001, 5002)
    assert message in wanted.warnings


def test_no_port_that_could_be_the_underlay() -> None:
    config = replace(CONFIG, ports=CONFIG.ports[:1])
    assert refused(config, OBSERVED) == [
        "gateway.yaml:5: vxlan: no port is one of its own, by which VXLAN could arrive: "
        "all of `ports` are ports of bridges"
    ]
    warning = "every port is a port of a bridge: VXLAN does not arrive by XDP"
    assert resolve(config, OBSERVED).warnings == (warning,)
    assert "`ports` is empty" in refused(replace(CONFIG, ports=()), OBSERVED)[0]


def test_the_limits_are_those_of_the_data_plane() -> None:
    assert VNI_OTHER == lib.GW_VNI_OTHER
    assert SLOTS == lib.GW_DEVICES_MAX


@pytest.mark.parametrize(
    ("number", "name"), [(LAN + SLOTS, "vni100"), (BRIDGE, "br0"), (WAN + 3 * SLOTS, "vni100")]
)
def test_a_device_whose_place_is_taken(number: int, name: str) -> None:
    """XDP finds devices by a part of their number; ports come first."""
    port_number = number + SLOTS if name == "br0" else LAN
    observed = with_link("lan0", ifindex=port_number)
    if name == "vni100":
        observed = with_link(name, observed, ifindex=number)
    wanted = resolve(CONFIG, observed)

    assert name not in {device.name for device in wanted.devices}
    assert [one.ifindex for one in wanted.segments] == [observed.links[-1].ifindex]
    assert wanted.warnings == (
        f"{name} has number {number}, whose place is taken: some of its frames are the kernel's",
    )


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
