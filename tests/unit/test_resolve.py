# SPDX-License-Identifier: GPL-2.0-or-later
"""A configuration meets the devices that are there."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Any

import pytest
from _gw_native import lib

from hybrid_gateway.errors import ConfigError
from hybrid_gateway.model import (
    LOG_MAPPINGS,
    LOG_SESSIONS,
    Address,
    Attachment,
    Backend,
    Config,
    Device,
    Identity,
    Link,
    NatLog,
    NextHop,
    OneToOne,
    Port,
    PortForward,
    Protocol,
    Route,
    StaticMapping,
    Sysctl,
)
from hybrid_gateway.resolve import check_devices, resolve
from tests.unit.site import BRIDGE_MAC, CONFIG, GATEWAY, NAT, OBSERVED, OUTSIDE, without

INSIDE = IPv4Address("192.168.110.10")


def nat(**changes: object) -> Config:
    return replace(CONFIG, nat44=replace(NAT, **changes))  # type: ignore[arg-type]


def test_a_site_with_a_bridge() -> None:
    wanted = resolve(CONFIG, OBSERVED)

    assert wanted.attachments == (
        Attachment(4, "wan0", outside=True),  # its guard stands before anything is sent there
        Attachment(2, "lan0"),
        Attachment(3, "lan1"),
    )
    assert wanted.devices == (
        Device(2, "lan0", 5, BRIDGE_MAC, port=True, inside=True),
        Device(3, "lan1", 5, BRIDGE_MAC, port=True, inside=True),
        Device(
            4, "wan0", 4, bytes.fromhex("020000000004"), port=True, outside=True, address=OUTSIDE
        ),
        Device(5, "br-lan", 5, BRIDGE_MAC, inside=True, bridge=True),
    )
    assert wanted.prefixes == (IPv4Network("192.168.110.0/24"),)
    assert wanted.managed == {NextHop(4, GATEWAY)}
    assert wanted.settings.enabled
    assert not wanted.warnings


def test_the_interface_means_its_first_address() -> None:
    assert resolve(CONFIG, OBSERVED).settings.addresses == (OUTSIDE,)


def test_without_an_address_nat_waits() -> None:
    link_local = (Address(4, IPv4Interface("169.254.3.4/16")),)
    wanted = resolve(CONFIG, replace(OBSERVED, addresses=link_local))

    assert not wanted.settings.enabled
    assert wanted.warnings == ("wan0 has no IPv4 address: NAT waits for one",)


def test_an_inside_device_without_a_bridge() -> None:
    config = nat(inside=("lan0",), inside_lines=(7,))
    links = tuple(replace(link, master=0) for link in OBSERVED.links)
    wanted = resolve(config, replace(OBSERVED, links=links))

    own = bytes.fromhex("020000000002")
    assert Device(2, "lan0", 2, own, port=True, inside=True) in wanted.devices
    assert [port.name for port in wanted.attachments] == ["wan0", "lan0"]
    assert "lan1" in wanted.warnings[0]


@pytest.mark.parametrize(
    ("device", "state", "warning"),
    [
        ("wan0", {"up": False, "carrier": False}, "port wan0: wan0 is down"),
        ("lan1", {"carrier": False}, "port lan1: lan1 has no carrier"),
        ("br-lan", {"up": False}, "inside device br-lan is down"),
    ],
)
def test_what_moves_no_frames_is_told(device: str, state: dict[str, Any], warning: str) -> None:
    links = [replace(k, **state) if k.name == device else k for k in OBSERVED.links]
    wanted = resolve(CONFIG, replace(OBSERVED, links=tuple(links)))

    assert wanted.warnings == (warning,)
    assert len(wanted.attachments) == 3


def test_a_missing_device_is_a_warning_while_running() -> None:
    wanted = resolve(CONFIG, without("lan1"))

    assert [port.name for port in wanted.attachments] == ["wan0", "lan0"]
    assert wanted.warnings == ("port lan1: device lan1 does not exist at the moment",)


def test_nat_is_off_without_its_outside_device() -> None:
    wanted = resolve(CONFIG, without("wan0"))

    assert not wanted.settings.enabled
    assert wanted.settings.addresses == ()
    assert wanted.managed == frozenset()


@pytest.mark.parametrize(
    ("device", "where"),
    [
        ("lan1", "/etc/gw/gateway.yaml:4: ports.lan1.device"),
        ("br-lan", "/etc/gw/gateway.yaml:7: nat44.inside"),
    ],
)
def test_a_missing_device_is_an_error_when_asked(device: str, where: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_devices(CONFIG, without(device))

    assert str(caught.value) == f"{where}: there is no network device {device}"


def test_an_outside_port_of_a_bridge_is_an_error() -> None:
    links = tuple(replace(link, master=5) for link in OBSERVED.links if link.name == "wan0")
    with pytest.raises(ConfigError, match="port of a bridge"):
        check_devices(
            replace(CONFIG, ports=(Port("wan0", "wan0", line=5),)),
            replace(OBSERVED, links=(*links, Link(5, "br-lan", kind="bridge"))),
        )


def test_static_entries_follow_the_pool() -> None:
    one_to_one = OneToOne(IPv4Address("203.0.113.9"), INSIDE)
    config = nat(
        addresses=(IPv4Address("203.0.113.4"), IPv4Address("203.0.113.5")),
        static=(PortForward(Protocol.TCP, None, 2222, INSIDE, 22), one_to_one),
    )
    wanted = resolve(config, OBSERVED)

    found = [(s.protocol, str(s.outside), s.outside_port) for s in wanted.statics]
    assert found == [(6, "203.0.113.4", 2222), (6, "203.0.113.5", 2222), (0, "203.0.113.9", 0)]
    assert [str(address) for address in wanted.addresses] == [
        "203.0.113.2",  # the device's own: what the owner translates to them may leave, too
        "203.0.113.3",
        "203.0.113.4",
        "203.0.113.5",
        "203.0.113.9",
    ]
    assert wanted.sizes
    assert wanted.sizes.pool == 2


def test_ranges_and_backends_follow_the_pool() -> None:
    backends = (Backend(INSIDE, 443, 2), Backend(IPv4Address("192.168.110.11"), 443))
    ranged = PortForward(Protocol.UDP, None, 5000, INSIDE, 6000, ports=100)
    shared = PortForward(Protocol.TCP, OUTSIDE, 443, INSIDE, 443, backends=backends)

    assert resolve(nat(static=(ranged, shared)), OBSERVED).statics == (
        StaticMapping(17, OUTSIDE, 5000, INSIDE, 6000, ports=100),
        StaticMapping(6, OUTSIDE, 443, INSIDE, 443, backends=backends),
    )


@pytest.mark.parametrize(
    ("address", "host"),
    [("192.168.110.30", False), ("203.0.113.2", True), ("203.0.113.3", True), ("10.7.7.7", True)],
)
def test_an_identity_mapping_of_the_gateways_own_address(address: str, host: bool) -> None:
    """Of whichever device, secondary ones too; all others are inside."""
    elsewhere = Address(9, IPv4Interface("10.7.7.7/24"))
    observed = replace(OBSERVED, addresses=(*OBSERVED.addresses, elsewhere))
    where = IPv4Address(address)
    wanted = resolve(nat(static=(Identity(Protocol.UDP, where, 4789),)), observed)

    assert wanted.statics == (StaticMapping(17, where, 4789, where, 4789, host=host),)
    assert wanted.addresses == (OUTSIDE, IPv4Address("203.0.113.3"))
    assert not wanted.warnings


def test_an_identity_mapping_of_a_stranger_is_told() -> None:
    entry = Identity(Protocol.UDP, IPv4Address("10.1.2.3"), 4789, line=12)

    assert resolve(nat(static=(entry,)), OBSERVED).warnings == (
        "nat44.static, line 12: 10.1.2.3 is neither inside nor an address of this host",
    )


def test_of_two_entries_for_one_endpoint_the_first_counts() -> None:
    """With `addresses: [interface]` only the device's address shows that there are two."""
    ranged = PortForward(Protocol.TCP, None, 5000, INSIDE, 6000, line=8, ports=10)
    within = PortForward(Protocol.TCP, OUTSIDE, 5009, INSIDE, 22, line=9)
    wanted = resolve(nat(static=(ranged, within)), OBSERVED)

    assert wanted.statics == (StaticMapping(6, OUTSIDE, 5000, INSIDE, 6000, ports=10),)
    assert wanted.warnings == (
        "nat44.static, line 9: left out for 203.0.113.2, whose port is used already, on line 8",
    )


def test_the_address_that_all_share_is_nobodys_alone() -> None:
    """A forward beside it stays; and the address may have come after the configuration."""
    forward = PortForward(Protocol.TCP, None, 2222, INSIDE, 22, line=8)
    config = nat(static=(forward, OneToOne(OUTSIDE, INSIDE, line=9)))
    wanted = resolve(config, OBSERVED)

    assert [entry.outside_port for entry in wanted.statics] == [2222]
    assert wanted.table
    assert wanted.table.static == (replace(forward, line=0),)
    text = "203.0.113.2 is the address that all inside hosts share"
    assert wanted.warnings == (f"nat44.static, line 9: left out: {text}",)
    with pytest.raises(ConfigError) as caught:
        check_devices(config, OBSERVED)
    assert str(caught.value) == f"/etc/gw/gateway.yaml:9: nat44.static[1].outside: {text}"
    check_devices(config, replace(OBSERVED, addresses=()))


@pytest.mark.parametrize("shared", [False, True])
def test_a_forward_to_the_gateway_itself(shared: bool) -> None:
    backends = (Backend(INSIDE, 443), Backend(OUTSIDE, 443)) if shared else ()
    inside = INSIDE if shared else OUTSIDE
    config = nat(static=(PortForward(Protocol.TCP, None, 443, inside, 443, 8, 1, backends),))
    text = "203.0.113.2 is an address of this host, not of one inside"

    assert resolve(config, OBSERVED).warnings == (f"nat44.static, line 8: {text}",)
    with pytest.raises(ConfigError) as caught:
        check_devices(config, OBSERVED)
    assert str(caught.value) == f"/etc/gw/gateway.yaml:8: nat44.static[0].inside: {text}"


def test_outside_addresses_that_are_inside_are_told() -> None:
    address = IPv4Address("192.168.110.77")
    text = (
        "192.168.110.77 is to be an outside address, and lies in 192.168.110.0/24, which is inside"
    )

    assert resolve(nat(addresses=(address,)), OBSERVED).warnings == (text,)
    assert resolve(nat(static=(OneToOne(address, INSIDE),)), OBSERVED).warnings == (text,)


@pytest.mark.parametrize(
    ("address", "told"), [("203.0.113.9", True), ("203.0.113.3", False), ("198.51.100.9", False)]
)
def test_an_address_that_nobody_answers_arp_for_is_told(address: str, told: bool) -> None:
    """Beyond the outside network somebody has to route it here anyway."""
    wanted = resolve(nat(addresses=(IPv4Address(address),)), OBSERVED)

    assert bool(wanted.warnings) == told
    if told:
        assert wanted.warnings[0].startswith(
            "203.0.113.9 is in the network of wan0, and this host does not answer ARP for it"
        )


@pytest.mark.parametrize(
    ("clamp", "mss"), [(None, 0), (1400, 1400), ("pmtu", 1460), ("pmtu@1492", 1452)]
)
def test_the_mss_follows_the_mtu_outside(clamp: Any, mss: int) -> None:
    observed = OBSERVED
    if clamp == "pmtu@1492":
        links = [replace(k, mtu=1492) if k.name == "wan0" else k for k in OBSERVED.links]
        clamp, observed = "pmtu", replace(OBSERVED, links=tuple(links))
    wanted = resolve(nat(mss_clamp=clamp), observed)

    assert wanted.settings.mss == mss
    assert wanted.table
    assert wanted.table.mss == mss


@pytest.mark.parametrize(
    ("log", "flags"),
    [
        (NatLog(), 0),
        (NatLog(sessions=True), LOG_SESSIONS),
        (NatLog(mappings=True, destinations=True), LOG_MAPPINGS),
        (NatLog(ipfix=(INSIDE, 4739)), LOG_SESSIONS),
        (NatLog(mappings=True, ipfix=(INSIDE, 4739)), LOG_SESSIONS | LOG_MAPPINGS),
    ],
)
def test_what_the_data_plane_reports(log: NatLog, flags: int) -> None:
    assert resolve(nat(log=log), OBSERVED).settings.log == flags


def test_the_flags_are_those_of_the_data_plane() -> None:
    assert (LOG_SESSIONS, LOG_MAPPINGS) == (lib.GW_LOG_SESSIONS, lib.GW_LOG_MAPPINGS)


def test_ports_of_a_bridge_answer_from_its_address() -> None:
    inside = Address(5, IPv4Interface("192.168.110.1/24"))
    second = Address(5, IPv4Interface("192.168.110.2/24"), secondary=True)
    wanted = resolve(CONFIG, replace(OBSERVED, addresses=(*OBSERVED.addresses, second, inside)))

    assert {device.name: str(device.address) for device in wanted.devices} == {
        "lan0": "192.168.110.1",
        "lan1": "192.168.110.1",
        "br-lan": "192.168.110.1",
        "wan0": "203.0.113.2",
    }


def test_reserved_ports_are_added_to_the_owners() -> None:
    assert resolve(CONFIG, OBSERVED).sysctls == (
        Sysctl("net.ipv4.ip_forward", "1", "0"),
        Sysctl("net.ipv4.ip_local_reserved_ports", "8080,20000-49999", "8080"),
    )


def test_forwarded_ports_are_reserved_too() -> None:
    """The gateway's own connection from one of them would have its answers go inside."""
    static = (
        PortForward(Protocol.TCP, None, 50000, INSIDE, 22),
        PortForward(Protocol.UDP, OUTSIDE, 55000, INSIDE, 55000, ports=100),
        Identity(Protocol.UDP, OUTSIDE, 60000),
    )
    assert resolve(nat(static=static), OBSERVED).sysctls[1] == Sysctl(
        "net.ipv4.ip_local_reserved_ports", "8080,20000-50000,55000-55099", "8080"
    )


def test_a_default_route_inwards_says_nothing_about_sources() -> None:
    routes = (*OBSERVED.routes, Route(IPv4Network("0.0.0.0/0"), 5, INSIDE))
    wanted = resolve(CONFIG, replace(OBSERVED, routes=routes))
    assert wanted.prefixes == (IPv4Network("192.168.110.0/24"),)


def test_without_nat_xdp_has_no_work() -> None:
    wanted = resolve(replace(CONFIG, nat44=None), OBSERVED)
    assert wanted.sizes is None
    assert not wanted.attachments
    assert wanted.table is None


def test_an_inside_address_without_a_route_is_inside() -> None:
    """A /32, or one that was added with noprefixroute: the guard has to know it."""
    bridge = next(link for link in OBSERVED.links if link.name == "br-lan")
    alone = Address(bridge.ifindex, IPv4Interface("10.9.9.1/32"))
    wanted = resolve(CONFIG, replace(OBSERVED, addresses=(*OBSERVED.addresses, alone)))

    assert wanted.prefixes == (IPv4Network("10.9.9.1/32"), IPv4Network("192.168.110.0/24"))
