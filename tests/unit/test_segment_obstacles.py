# SPDX-License-Identifier: GPL-2.0-or-later
"""VXLAN devices that XDP cannot work for: refused by check, the kernel's at run time."""

from dataclasses import replace
from ipaddress import IPv4Address

import pytest
from _gw_native import lib

from hybrid_gateway.model import (
    VNI_OTHER,
    VXLAN_PORTS_MAX,
    Config,
    Observed,
    PortVlan,
    Sources,
    Vxlan,
    VxlanLink,
)
from hybrid_gateway.resolve import check_devices, resolve
from hybrid_gateway.roles import SLOTS
from tests.unit.vxlan_site import (
    BRIDGE,
    CONFIG,
    LAN,
    LOCAL,
    OBSERVED,
    OTHER,
    PEER,
    PEER6,
    VLANS,
    WAN,
    entry,
    filtering,
    made,
    port,
    refused,
    single,
    with_link,
)

GROUP = IPv4Address("239.1.1.1")


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
    warning = "every port is a port of a bridge: VXLAN does not arrive by any of them"
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
