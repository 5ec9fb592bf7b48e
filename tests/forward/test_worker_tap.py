# SPDX-License-Identifier: GPL-2.0-or-later
"""The TAP: what is not for the worker gets there as it came, and what the kernel sends leaves."""

import pytest
from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Raw

from hybrid_gateway.lab import EAST, SFP0, WEST
from tests.forward.fibre import Fibre
from tests.lib.fibre import EAST6, datagram, from_east, is_marked
from tests.lib.packets import PAYLOAD

FRAMES = {
    "ospf": (
        Ether(src=EAST.mac, dst="01:00:5e:00:00:05")
        / IP(src=EAST.ip, dst="224.0.0.5", ttl=1, proto=89)
        / Raw(PAYLOAD),
        "PUNT_MULTICAST",
    ),
    "ipv6 group": (
        Ether(src=EAST.mac, dst="33:33:00:00:00:05")
        / IPv6(src=EAST6, dst="ff02::5", hlim=1, nh=89)
        / Raw(PAYLOAD),
        "PUNT_MULTICAST",
    ),
    "broadcast": (
        Ether(src=EAST.mac, dst="ff:ff:ff:ff:ff:ff") / datagram(EAST.ip, "255.255.255.255"),
        "PUNT_MULTICAST",
    ),
    "arp": (
        Ether(src=EAST.mac, dst="ff:ff:ff:ff:ff:ff")
        / ARP(hwsrc=EAST.mac, psrc=EAST.ip, pdst=SFP0.ip),
        "PUNT_ARP",
    ),
    "lldp": (
        Ether(src=EAST.mac, dst="01:80:c2:00:00:0e", type=0x88CC) / Raw(PAYLOAD),
        "PUNT_MULTICAST",
    ),
    "somebody's own": (
        Ether(src=EAST.mac, dst=SFP0.mac, type=0x88B5) / Raw(PAYLOAD),
        "PUNT_ETHERTYPE",
    ),
    "tagged": (
        Ether(src=EAST.mac, dst=SFP0.mac) / Dot1Q(vlan=42, prio=3) / datagram(EAST.ip, WEST.ip),
        "PUNT_VLAN",
    ),
    "link-local": (
        Ether(src=EAST.mac, dst=SFP0.mac) / datagram("fe80::10", "fe80::c6ff:fe12:1"),
        "PUNT_LINK_LOCAL",
    ),
    "loopback source": (from_east(datagram("127.0.0.1", WEST.ip)), "PUNT_SOURCE"),
    "no source": (from_east(datagram("0.0.0.0", WEST.ip)), "PUNT_SOURCE"),
    "group source": (from_east(datagram("224.0.0.9", WEST.ip)), "PUNT_SOURCE"),
}


@pytest.mark.parametrize("name", FRAMES)
def test_it_reaches_the_kernel_as_it_came(fibre: Fibre, name: str) -> None:
    """Seen on the TAP, where a routing daemon, lldpd or a VLAN device would get it."""
    frame, counter = FRAMES[name]
    sent = bytes(frame)
    counts = fibre.counting()
    with fibre.tap("sfp0") as tap:
        fibre.wires.send(sent, at="east")
        fibre.arrives(tap, sent)
    counts.expect_some(**{counter: 1})
    assert not [name for name in counts.now() if name.startswith(("FORWARD", "DROP"))]


@pytest.mark.parametrize("name", ["tagged", "lldp", "somebody's own"])
def test_what_the_kernel_sends_leaves_as_it_is(fibre: Fibre, name: str) -> None:
    sent = bytes(FRAMES[name][0])
    counts = fibre.counting()
    with fibre.tap("sfp1") as tap:
        tap.send(sent)
        for packet in fibre.wires.arriving("west", lambda seen: bytes(seen) == sent, 2.0):
            assert bytes(packet) == sent
            break
        else:
            raise AssertionError("it did not leave")
    counts.expect_some(FROM_KERNEL=1)


def test_another_hosts_frame_is_dropped(fibre: Fibre) -> None:
    """As a switch floods it: the kernel never sees it, unless somebody listens."""
    sent = Ether(src=EAST.mac, dst="02:00:00:00:00:99") / datagram()
    counts = fibre.counting()
    fibre.wires.send_and_expect_nothing(sent, at="east", to="west", wanted=is_marked)
    counts.expect(DROP_NOT_FOR_US=1)
    fibre.ip("link set sfp0 promisc on")
    try:
        with fibre.tap("sfp0") as tap:
            fibre.wires.send(sent, at="east")
            fibre.arrives(tap, bytes(sent))
    finally:
        fibre.ip("link set sfp0 promisc off")
    counts.expect(DROP_NOT_FOR_US=1, PUNT_PROMISCUOUS=1)
