# SPDX-License-Identifier: GPL-2.0-or-later
"""What is made on a port's TAP: VLANs and bridges that filter them, which the worker leaves to the
kernel, and another MTU, which it takes over."""

from collections.abc import Iterator

import pytest
from scapy.layers.inet import ICMP, IP
from scapy.layers.inet6 import ICMPv6PacketTooBig
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Packet, Raw

from hybrid_gateway.lab import EAST, SFP0, WEST
from tests.lib.fibre import EAST6, SFP0_6, WEST6, datagram, from_east, from_west, to_east, to_west
from tests.lib.fibre import is_error as is_icmp_error
from tests.lib.packets import PAYLOAD, same
from tests.vm.dpdk.box import Fibre
from tests.vm.dpdk.setup import NETDEVS, NICS, TAKEN
from tests.vm.site import Site

pytestmark = pytest.mark.vm

VLAN = 7
NEAR, FAR = "198.51.100.1", "198.51.100.10"
"""Of the gateway and of the host, in the VLAN or behind the bridge."""
BRIDGE, BRIDGE_MAC = "fibre0", "02:00:c6:33:64:01"
JUMBO = 9000


def run(fibre: Fibre, *lines: str) -> None:
    fibre.guest.check("sh", "-ec", "\n".join(lines))


@pytest.fixture
def vlan(fibre: Fibre) -> Iterator[Fibre]:
    """VLAN 7 of the first port, with an address."""
    device = f"{NICS['sfp0'].device}.{VLAN}"
    try:
        run(
            fibre,
            f"ip link add link {NICS['sfp0'].device} name {device} type vlan id {VLAN}",
            f"ip addr add {NEAR}/24 dev {device}",
            f"ip link set {device} up",
        )
        yield fibre
    finally:
        run(fibre, f"ip link delete {device}")


def tagged(packet: Packet, dst: str = SFP0.mac) -> Packet:
    return Ether(src=EAST.mac, dst=dst) / Dot1Q(vlan=VLAN) / packet


def test_a_vlan_of_the_gateway_itself(vlan: Fibre) -> None:
    """Both ways through the worker, which does not look into the tag."""
    asks = ARP(op="who-has", hwsrc=EAST.mac, psrc=FAR, pdst=NEAR)
    with vlan.counts(PUNT_MULTICAST=1, PUNT_VLAN=1, FROM_KERNEL=2):
        got = vlan.send(
            tagged(asks, "ff:ff:ff:ff:ff:ff"), at="east", to="east", wanted=lambda p: ARP in p
        )
        answer = ARP(op="is-at", hwsrc=SFP0.mac, psrc=NEAR, hwdst=EAST.mac, pdst=FAR)
        wanted = Ether(src=SFP0.mac, dst=EAST.mac) / Dot1Q(vlan=VLAN) / answer
        assert bytes(got)[: len(wanted)] == bytes(wanted)

        ping = IP(src=FAR, dst=NEAR) / ICMP(id=7, seq=1) / Raw(PAYLOAD)
        got = vlan.send(tagged(ping), at="east", to="east", wanted=lambda p: ICMP in p)
        pong = IP(src=NEAR, dst=FAR, id=got[IP].id) / ICMP(type=0, id=7, seq=1) / Raw(PAYLOAD)
        same(got, Ether(src=SFP0.mac, dst=EAST.mac) / Dot1Q(vlan=VLAN) / pong)


@pytest.fixture
def bridged(fibre: Fibre) -> Iterator[Fibre]:
    """The second port in a bridge that has an address, with a host that is known."""
    device = NICS["sfp1"].device
    try:
        run(
            fibre,
            f"ip link add {BRIDGE} address {BRIDGE_MAC} type bridge forward_delay 0 "
            "mcast_snooping 0",
            f"ip link set {device} master {BRIDGE}",
            f"ip link set {BRIDGE} up",
            f"ip addr add {NEAR}/24 dev {BRIDGE}",
            f"ip neigh replace {FAR} lladdr {WEST.mac} dev {BRIDGE} nud permanent",
            f"bridge fdb replace {WEST.mac} dev {device} master static",
        )
        yield fibre
    finally:
        run(fibre, f"ip link delete {BRIDGE}")


def test_a_bridge_that_filters_vlans(bridged: Fibre) -> None:
    """What was learned before stands in its FDB without a VLAN; a port's own says how to send."""
    sent = from_east(datagram(EAST.ip, FAR))
    wanted = Ether(src=BRIDGE_MAC, dst=WEST.mac) / datagram(EAST.ip, FAR, ttl=63)
    bridged.until_counted("FORWARD_IP4", sent, at="east", to="west")
    same(bridged.send(sent, at="east", to="west"), wanted)

    device = NICS["sfp1"].device
    run(
        bridged,
        f"ip link set {BRIDGE} type bridge vlan_filtering 1 vlan_default_pvid 0",
        f"bridge vlan add dev {BRIDGE} vid {VLAN} pvid untagged self",
        f"bridge vlan add dev {device} vid {VLAN}",
        f"bridge fdb replace {WEST.mac} dev {device} master static vlan {VLAN}",
    )
    bridged.until_counted("PUNT_VLAN", sent, at="east", to="west")
    # The kernel's, who knows that this port is tagged.
    wanted = Ether(src=BRIDGE_MAC, dst=WEST.mac) / Dot1Q(vlan=VLAN) / wanted.payload
    before = bridged.counters()
    same(bridged.send(sent, at="east", to="west", wanted=lambda p: Dot1Q in p), wanted)
    assert bridged.moved(before).get("FORWARD_IP4", 0) == 0


@pytest.fixture
def jumbo(fibre: Fibre, site: Site) -> Iterator[Fibre]:
    """Both ports and both hosts take frames of 9000 bytes."""

    def mtu(size: int) -> None:
        for host in ("east", "west"):
            site.run(host, ["ip", "link", "set", "eth0", "mtu", str(size)])
        run(fibre, *(f"ip link set {nic.device} mtu {size}" for nic in TAKEN.values()))
        fibre.becomes(lambda: {fibre.port(name)["dpdk"]["mtu"] for name in TAKEN}, {size})

    try:
        mtu(JUMBO)
        fibre.reach(EAST.ip)
        fibre.reach(WEST.ip)
        yield fibre
    finally:
        mtu(1500)
        assert fibre.netdevs() == NETDEVS


def test_jumbo_frames(jumbo: Fibre, site: Site) -> None:
    """Forwarded whole, both ways, to the gateway itself, and refused where they do not fit."""
    sizes = (1501, JUMBO)
    with jumbo.counts(FORWARD_IP4=2 * len(sizes)):
        for size in sizes:
            got = jumbo.send(from_east(datagram(size=size)), at="east", to="west")
            same(got, to_west(datagram(size=size, ttl=63)))
            sent = datagram(WEST.ip, EAST.ip, size=size)
            got = jumbo.send(from_west(sent), at="west", to="east")
            same(got, to_east(datagram(WEST.ip, EAST.ip, size=size, ttl=63)))
    with jumbo.counts(PUNT_LOCAL=3, FROM_KERNEL=3):
        whole = ["-M", "do", "-s", str(JUMBO - 28)]
        site.run("east", ["ping", "-c", "3", "-i", "0.2", "-W", "5", *whole, SFP0.ip])

    run(jumbo, f"ip link set {NICS['sfp1'].device} mtu 1500")
    jumbo.becomes(lambda: jumbo.port("sfp1")["dpdk"]["mtu"], 1500)
    big = from_east(datagram(EAST6, WEST6, size=JUMBO))
    with jumbo.counts(PUNT_TOO_BIG=1):
        error = jumbo.send(big, at="east", to="east", wanted=is_icmp_error)
    assert error[ICMPv6PacketTooBig].mtu == 1500
    assert error.payload.src == SFP0_6
