# SPDX-License-Identifier: GPL-2.0-or-later
"""What is told of VXLAN segments: who forwards, and what keeps XDP from it."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

import pytest

from hybrid_gateway.agent import filters
from hybrid_gateway.agent.forwarders import judge
from hybrid_gateway.agent.vxlan import Context, Shown, entry, every, underlay_mtu
from hybrid_gateway.bpf.stations import SegmentCount
from hybrid_gateway.errors import UsageError
from hybrid_gateway.model import (
    Config,
    Device,
    Encapsulation,
    Link,
    Segment,
    Settings,
    Sources,
    Vxlan,
    VxlanLink,
    Wanted,
)

LAN, WAN, BRIDGE, VNI100 = 2, 3, 4, 5
MAC = bytes(6)
LOCAL = IPv4Address("192.0.2.1")
LINKS = (
    Link(LAN, "lan0", master=BRIDGE),
    Link(WAN, "wan0"),
    Link(BRIDGE, "br-lan", kind="bridge"),
    Link(VNI100, "vni100", master=BRIDGE, kind="vxlan", vxlan=VxlanLink(100, local=LOCAL)),
)
SEGMENT = Segment(
    ifindex=VNI100,
    name="vni100",
    vni=100,
    bridge=BRIDGE,
    bridge_name="br-lan",
    port=4789,
    family=4,
    local=LOCAL,
    arrives=(LOCAL,),
)
WANTED = Wanted(
    settings=Settings(enabled=False, vxlan_ports=(4789,)),
    devices=(
        Device(LAN, "lan0", BRIDGE, MAC, port=True, bridged=True),
        Device(WAN, "wan0", WAN, MAC, port=True, underlay=True),
    ),
    segments=(SEGMENT,),
)
CONFIG = Config(1, "gateway.yaml", vxlan=(Vxlan("vni100"),))


def without(ifindex: int) -> tuple[Link, ...]:
    return tuple(link for link in LINKS if link.ifindex != ifindex)


def test_all_is_well() -> None:
    shown = Shown("vni100", 100, SEGMENT, LINKS[3], "xdp", None, "kernel", None)
    assert every(CONFIG, WANTED, LINKS) == [shown]


@pytest.mark.parametrize(
    ("devices", "segment", "forwards", "reason"),
    [
        (
            WANTED.devices[:1],
            SEGMENT,
            "kernel",
            "every port of the configuration is a bridge's: there is no underlay",
        ),
        (WANTED.devices[1:], SEGMENT, "partly", "XDP bridges by no port of br-lan"),
        (
            WANTED.devices,
            replace(SEGMENT, local=None),
            "partly",
            "it has no local address: sending is the kernel's",
        ),
        (
            WANTED.devices,
            replace(SEGMENT, arrives=()),
            "partly",
            "this host has no address 192.0.2.1: nothing arrives",
        ),
    ],
)
def test_what_keeps_xdp_from_it(
    devices: tuple[Device, ...], segment: Segment, forwards: str, reason: str
) -> None:
    assert judge(segment, replace(WANTED, devices=devices)) == (forwards, reason)


@pytest.mark.parametrize(
    ("config", "warning", "reason"),
    [
        ((), "", "it is not in the vxlan section of the configuration"),
        (CONFIG.vxlan, "vni100 is not a port of a bridge", "it is not a port of a bridge"),
        (CONFIG.vxlan, "vni100: br-lan is down", "br-lan is down"),
        (
            CONFIG.vxlan,
            "vni1000: br-lan is down",
            "no data path has a part in it at the moment: gwctl status may say why",
        ),
    ],
)
def test_devices_that_are_no_segment(config: tuple[Vxlan, ...], warning: str, reason: str) -> None:
    wanted = replace(WANTED, segments=(), warnings=("wan0 is down", warning))

    (shown,) = every(replace(CONFIG, vxlan=config), wanted, LINKS)
    assert (shown.name, shown.vni, shown.forwards) == ("vni100", 100, "kernel")
    assert shown.reason == reason


def test_a_device_that_is_missing() -> None:
    (shown,) = every(CONFIG, replace(WANTED, segments=()), without(VNI100))

    assert shown == Shown("vni100", None, reason="there is no such device at the moment")
    told = entry(shown, Context({}, {}, 1500))
    assert (told["mtu"], told["bridge"], told["local"], told["vteps"]) == (None, None, [], None)


def test_the_smallest_underlay_counts() -> None:
    links = (*without(WAN), Link(WAN, "wan0", mtu=9000), Link(9, "wan1", mtu=1600))
    more = Device(9, "wan1", 9, MAC, port=True, underlay=True)

    assert underlay_mtu(replace(WANTED, devices=(*WANTED.devices, more)), links) == 1600
    assert underlay_mtu(replace(WANTED, devices=()), links) is None


def test_what_is_told_of_a_segment() -> None:
    listed = (IPv6Address("2001:db8:2::1"),)
    local = IPv6Address("2001:db8:1::1")
    segment = replace(
        SEGMENT,
        family=6,
        vlan=10,
        local=local,
        arrives=(local,),
        sources=Sources.LISTED,
        listed=listed,
        external=True,
        encapsulation=Encapsulation(fragment=False, mtu=1450),
    )
    link = replace(LINKS[3], vxlan=VxlanLink(external=True, local=local))
    count = SegmentCount(VNI100, 100, local=3, remote=40, kernel=2, vteps=1, floods=1, serial=7)
    context = Context({}, {(VNI100, 100): count}, 1500)

    assert entry(Shown("vni100", 100, segment, link, "xdp"), context) == {
        "device": "vni100",
        "vni": 100,
        "bridge": "br-lan",
        "vlan": 10,
        "family": 6,
        "local": ["2001:db8:1::1"],
        "port": 4789,
        "external": True,
        "sources": ["2001:db8:2::1"],
        "fragment": False,
        "mtu": 1450,
        "outer_mtu": 1520,
        "underlay_mtu": 1500,
        "vteps": 1,
        "floods": 1,
        "macs_local": 3,
        "macs_remote": 40,
        "macs_kernel": 2,
        "forwards": "xdp",
        "reason": None,
        "flooded_by": None,
        "flooded_reason": None,
    }


def test_filters_of_stations() -> None:
    given = {"bridge": "br-lan", "vlan": 10, "mac": "02:00:C0", "vtep": "2001:db8::1", "vni": 7}

    assert filters.fdb_filter(given) == {
        "bridge": "br-lan",
        "vlan": 10,
        "mac": b"\x02\x00\xc0",
        "vtep": IPv6Address("2001:db8::1"),
        "vni": 7,
    }


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"mac": "02:0"}, "mac: 02:0 is not a MAC address"),
        ({"mac": "02:00:00:00:00:00:00"}, "mac: 02:00:00:00:00:00:00 is not a MAC address"),
        ({"mac": ""}, "mac: must be text"),
        ({"vlan": 0}, "vlan: must be a whole number from 1 to 4094"),
        ({"vlan": True}, "vlan: must be a whole number"),
        ({"vni": 1 << 24}, "vni: must be a whole number from 1 to 16777215"),
        ({"vtep": "192.0.2.300"}, "vtep: 192.0.2.300 is not an IPv4 or IPv6 address"),
        ({"state": "old"}, "state: must be one of extern, learned, static"),
        ({"brigde": "x"}, "brigde: no such filter; there are bridge, vlan"),
    ],
)
def test_filters_that_are_none(given: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        filters.fdb_filter(given)
    assert str(caught.value).startswith(message)
