# SPDX-License-Identifier: GPL-2.0-or-later
"""Whoever configures the TAPs configures the worker: `ip` at run time, and the cables."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from scapy.layers.inet import ICMP
from scapy.layers.inet6 import ICMPv6EchoReply, ICMPv6EchoRequest
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from hybrid_gateway.lab import EAST, SFP0, SFP1, WEST
from tests.forward.fibre import Fibre
from tests.forward.test_worker_routing import HOSTS, families
from tests.lib.fibre import EAST6, datagram, from_east, header, is_marked, to_west
from tests.lib.gateway import eventually
from tests.lib.packets import PAYLOAD, same

CARRIER_SECONDS = 5.0
"""Both the worker and the kernel look once a second."""
OTHER_MAC = "02:00:c6:12:00:77"


def forwarded(fibre: Fibre, family: int = 4) -> None:
    east, west = HOSTS[family]
    got = fibre.send(from_east(datagram(east, west)), at="east", to="west")
    same(got, to_west(datagram(east, west, ttl=63)))


def is_reply(packet: Packet) -> bool:
    reply = ICMPv6EchoReply in packet or (ICMP in packet and packet[ICMP].type == 0)
    return reply and PAYLOAD in bytes(packet)


@families
def test_an_address_comes_and_goes(fibre: Fibre, family: int) -> None:
    """At once ours, and then anybody's."""
    address = {4: "198.18.1.77", 6: "2001:db8:f::77"}[family]
    if family == 4:
        request = header(EAST.ip, address) / ICMP(id=9, seq=1) / Raw(PAYLOAD)
    else:
        request = header(EAST6, address) / ICMPv6EchoRequest(id=9, seq=1, data=PAYLOAD)
    prefix = {4: 32, 6: 128}[family]
    counts = fibre.counting()
    with fibre.given(f"addr add {address}/{prefix} dev sfp0"):
        fibre.send(from_east(request), at="east", to="east", wanted=is_reply)
        counts.expect(PUNT_LOCAL=1)
    neighbour = f"neigh add {address} lladdr {WEST.mac} dev sfp1 nud permanent"
    with fibre.given(neighbour):
        got = fibre.send(from_east(request), at="east", to="west")
        assert got.dst == WEST.mac
    counts.expect(**{"PUNT_LOCAL": 1, f"FORWARD_IP{family}": 1})


@families
def test_a_network_comes_and_goes(fibre: Fibre, family: int) -> None:
    network = {4: "192.0.2.1/24", 6: "2001:db8:2::1/64"}[family]
    host = {4: "192.0.2.10", 6: "2001:db8:2::10"}[family]
    sent = from_east(datagram(HOSTS[family][0], host))
    with fibre.given(
        f"addr add {network} dev sfp1",
        f"neigh add {host} lladdr {WEST.mac} dev sfp1 nud permanent",
    ):
        got = fibre.send(sent, at="east", to="west")
        same(got, to_west(datagram(HOSTS[family][0], host, ttl=63)))
    fibre.wires.send_and_expect_nothing(sent, at="east", to="west", wanted=is_marked)


def test_mtu(fibre: Fibre) -> None:
    """`ip link set mtu`: the port's, too, as far as its device can."""
    fibre.ip("link set sfp1 mtu 1400")
    try:
        eventually(lambda: fibre.status().ports["sfp1"].mtu == 1400, "the port has the MTU")
        sent = from_east(datagram(size=1401, flags="DF"))
        fibre.wires.send_and_expect_nothing(sent, at="east", to="west", wanted=is_marked)
    finally:
        fibre.ip("link set sfp1 mtu 1500")
    eventually(lambda: fibre.status().ports["sfp1"].mtu == 1500, "it has it back")
    fibre.send(from_east(datagram(size=1500)), at="east", to="west")


def test_jumbo_frames_do_not_disturb(fibre: Fibre) -> None:
    """Larger than the port was made for: a counted drop or the kernel's answer, and it goes on."""
    with larger_cable(fibre, "east"):
        for size in (1501, 1600, 2000, 4000, 8999):
            sent = from_east(datagram(size=size))
            fibre.wires.send_and_expect_nothing(sent, at="east", to="west", wanted=is_marked)
        forwarded(fibre)


@contextmanager
def larger_cable(fibre: Fibre, host: str) -> Iterator[None]:
    """The host may send more than the gateway takes."""
    fibre.lab.run(host, ["ip", "link", "set", "eth0", "mtu", "9000"])
    fibre.lab.run("gw", ["ip", "link", "set", "sfp0-wire", "mtu", "9000"])
    try:
        yield
    finally:
        fibre.lab.run("gw", ["ip", "link", "set", "sfp0-wire", "mtu", "1500"])
        fibre.lab.run(host, ["ip", "link", "set", "eth0", "mtu", "1500"])


def test_mac_address(fibre: Fibre) -> None:
    """`ip link set address`: what is for the old one is another host's from then on."""
    fibre.ip(f"link set sfp0 address {OTHER_MAC}")
    try:
        counts = fibre.counting()
        fibre.wires.send_and_expect_nothing(
            from_east(datagram()), at="east", to="west", wanted=is_marked
        )
        counts.expect(DROP_NOT_FOR_US=1)
        sent = Ether(src=EAST.mac, dst=OTHER_MAC) / datagram()
        same(fibre.send(sent, at="east", to="west"), to_west(datagram(ttl=63)))
        back = Ether(src=WEST.mac, dst=SFP1.mac) / datagram(WEST.ip, EAST.ip)
        assert fibre.send(back, at="west", to="east").src == OTHER_MAC
    finally:
        fibre.ip(f"link set sfp0 address {SFP0.mac}")
    forwarded(fibre)


@pytest.mark.parametrize("device", ["sfp0", "sfp1"])
def test_down_and_up(fibre: Fibre, device: str) -> None:
    """`ip link set down`: nothing passes the port in either direction."""
    fibre.ip(f"link set {device} down")
    fibre.wires.send_and_expect_nothing(
        from_east(datagram()), at="east", to="west", wanted=is_marked
    )
    assert not fibre.status().ports[device].admin_up
    fibre.ip(f"link set {device} up")
    fibre.meet()
    for family in (4, 6):
        forwarded(fibre, family)


@pytest.mark.parametrize(("host", "device"), [("east", "sfp0"), ("west", "sfp1")])
def test_the_cable_is_pulled(fibre: Fibre, host: str, device: str) -> None:
    """The TAP loses its carrier, which routing daemons and networkd look at, and has it again."""
    assert carrier(fibre, device)
    fibre.lab.run(host, ["ip", "link", "set", "eth0", "down"])
    try:
        eventually(lambda: not carrier(fibre, device), "no carrier", CARRIER_SECONDS)
        assert not fibre.status().ports[device].link_up
    finally:
        fibre.lab.run(host, ["ip", "link", "set", "eth0", "up"])
        _addresses_again(fibre, host)
    eventually(lambda: carrier(fibre, device), "the carrier is back", CARRIER_SECONDS)
    fibre.meet()
    # Its packet socket says that the device was down, once.
    fibre.wires.forget(host)
    for family in (4, 6):
        forwarded(fibre, family)


def carrier(fibre: Fibre, device: str) -> bool:
    return "LOWER_UP" in fibre.lab.run("gw", ["ip", "link", "show", device])


def _addresses_again(fibre: Fibre, host: str) -> None:
    """A device that goes down loses its IPv6 addresses and its routes."""
    port, six = {"east": (SFP0, HOSTS[6][0]), "west": (SFP1, HOSTS[6][1])}[host]
    via6 = {"east": "2001:db8:e::1", "west": "2001:db8:f::1"}[host]
    for line in (
        f"addr replace {six}/64 dev eth0 nodad",
        f"route replace default via {port.ip}",
        f"route replace default via {via6}",
    ):
        fibre.lab.run(host, ["ip", *line.split()])
