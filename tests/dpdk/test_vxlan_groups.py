# SPDX-License-Identifier: GPL-2.0-or-later
"""What an access port has for everybody or a group: to each VTEP, each port and the host, once."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from scapy.contrib.igmp import IGMP
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import (
    ICMPv6MLQuery,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    IPv6,
    IPv6ExtHdrHopByHop,
    RouterAlert,
)
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet, Raw

from tests.dpdk.flooded import HEARS, Site, changed, cutting, listening, target, unknown
from tests.dpdk.pieces import fitting, number_of
from tests.dpdk.vxlan import FAR, HERE, NOBODY, PEER, stretch
from tests.lib.gateway import eventually

pytestmark = pytest.mark.dpdk

EVERYBODY = "ff:ff:ff:ff:ff:ff"
STRANGER = "02:00:00:00:09:77"
UNREACHABLE = {4: "192.0.2.9", 6: "2001:db8:1::9"}
BURST = 60
SENT = frozenset({"FROM_KERNEL"})
"""Noise: what the gateway's kernel says by itself."""
QUIET = ("flood", "mcast_flood", "bcast_flood", "neigh_suppress", "mcast_to_unicast")


@pytest.fixture(scope="module", params=(4, 6))
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    with Site.running("vg", request.param) as running:
        yield running


def ether(to: str = EVERYBODY, source: str = HERE.mac) -> Packet:
    return Ether(src=source, dst=to)


def ip4(address: str, **fields: object) -> Packet:
    """For that group, in a frame for it."""
    low = [int(part) for part in address.split(".")][1:]
    mac = f"01:00:5e:{low[0] & 127:02x}:{low[1]:02x}:{low[2]:02x}"
    return ether(mac) / IP(src=HERE.ip, dst=address, ttl=1, **fields)


def ip6(address: str, **fields: object) -> Packet:
    low = int.from_bytes(IPv6(dst=address).build()[36:40], "big").to_bytes(4, "big")
    mac = ":".join(f"{byte:02x}" for byte in b"\x33\x33" + low)
    return ether(mac) / IPv6(src="fe80::1", dst=address, hlim=255, **fields)


def broadcast(length: int = 100) -> Packet:
    """As DHCP has them."""
    head = ether() / IP(src="0.0.0.0", dst="255.255.255.255") / UDP(sport=68, dport=67)
    return head / Raw(bytes(length - 28))


def question(source: str = HERE.mac) -> Packet:
    asks = ARP(op=1, hwsrc=source, psrc=HERE.ip, hwdst=NOBODY, pdst="10.9.0.99")
    return ether(source=source) / asks / Raw(bytes(18))


SPEECH = {
    "DHCP": broadcast(),
    "ARP": question(),
    "OSPF": ip4("224.0.0.5", proto=89) / Raw(bytes(44)),
    "all nodes": ip6("ff02::1") / UDP(sport=1, dport=2),
    "solicitation": ip6("ff02::1:ff00:40") / ICMPv6ND_NS(tgt="fd00::40"),
    "no IP": ether() / Raw(bytes(46)),
}
"""For everybody, whoever looks into IGMP and MLD."""
ROUTER_ALERT = IPv6ExtHdrHopByHop(options=[RouterAlert()])
GROUPS = {
    "group": ip4("239.1.2.3") / UDP(sport=1, dport=2),
    "with the MAC address of 224.0.0.5": ip4("239.0.0.5") / UDP(sport=1, dport=2),
    "IGMP": ip4("224.0.0.1", proto=2) / IGMP(type=0x11),
    "PIM": ip4("224.0.0.13", proto=103) / Raw(bytes(26)),
    "with options": ip4("224.0.0.5", proto=89, options=b"\x94\x04\0\0") / Raw(bytes(26)),
    "longer than it is": ip4("224.0.0.5", proto=89, len=90) / Raw(bytes(26)),
    "shorter than its header": ip4("224.0.0.5", proto=89, len=19) / Raw(bytes(26)),
    "group of IPv6": ip6("ff05::1:3") / UDP(sport=1, dport=2),
    "all nodes of a site": ip6("ff05::1") / UDP(sport=1, dport=2),
    "MLD": ip6("ff02::1") / ROUTER_ALERT / ICMPv6MLQuery(),
    "IPv6, longer than it is": ip6("ff02::1", plen=90) / UDP(sport=1, dport=2),
    "IPv6 around nothing": ip6("ff02::1", plen=0) / UDP(sport=1, dport=2),
    "IPv6 of another version": ip6("ff02::1", version=4) / UDP(sport=1, dport=2),
    "neither": ether("03:00:00:00:00:05") / Raw(bytes(46)),
}
"""For those who have asked for it, where the bridge knows them."""


def is_heard(site: Site, frame: Packet, *vteps: str) -> None:
    """By all that there are, once; and the kernel gets nothing by the port."""
    counting = site.bench.counting("p0", noise=SENT)
    for end in site.ends:
        end.forget()
    site.flooded(frame, *vteps)
    (seen,) = site.heard.expect(1)
    assert bytes(seen) == bytes(frame)
    counting.expect(VXLAN_FLOOD=1, VXLAN_COPY=len(vteps), VXLAN_HEARD=1)
    assert site.is_silent()


def is_punted(frame: Packet) -> str:
    return "PUNT_ARP" if ARP in frame else "PUNT_MULTICAST"


# ---- who hears --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SPEECH)
def test_everybody(site: Site, name: str) -> None:
    assert site.status.floods_here
    is_heard(site, SPEECH[name], *site.vteps)


@pytest.mark.parametrize("name", GROUPS)
def test_groups(site: Site, name: str) -> None:
    is_heard(site, GROUPS[name], *site.vteps)


def test_what_concerns_one_link(site: Site) -> None:
    """Spanning tree and the like, in every state."""
    site.left_to_the_kernel(ether("01:80:c2:00:00:00") / Raw(bytes(46)), "PUNT_MULTICAST")


def test_a_bridge_that_knows_who_listens(site: Site) -> None:
    command = f"ip link set {site.segment.bridge} type bridge mcast_snooping"
    with changed(site, *command.split(), "1", back=f"{command} 0"):
        for frame in SPEECH.values():
            is_heard(site, frame, *site.vteps)
        for frame in GROUPS.values():
            site.left_to_the_kernel(frame, "PUNT_MULTICAST")
    is_heard(site, GROUPS["group"], *site.vteps)


def test_a_burst(site: Site) -> None:
    counting = site.bench.counting("p0", noise=SENT)
    site.heard.forget()
    frames = [bytes(broadcast(100 + number)) for number in range(BURST)]
    seen = site.to_core(frames, 2 * BURST)
    assert [bytes(one) for one in site.heard.expect(BURST)] == frames
    counting.expect(VXLAN_FLOOD=BURST, VXLAN_COPY=2 * BURST, VXLAN_HEARD=BURST)
    for vtep in site.vteps:
        inner = [bytes(packet[UDP].payload)[8:] for packet in seen if target(packet) == vtep]
        assert sorted(inner) == sorted(frames)


def test_a_long_one(site: Site) -> None:
    """Is cut for each VTEP, and whole for the others; or the kernel's."""
    frame = broadcast(1500 - 20)
    site.left_to_the_kernel(frame, "PUNT_MULTICAST")
    with cutting(site):
        counting = site.bench.counting("p0", noise=SENT)
        for end in (site.heard, site.other.far):
            end.forget()
        seen = site.to_core([frame], 4)
        for end in (site.heard, site.other.far):
            assert [bytes(one) for one in end.expect(1)] == [bytes(frame)]
        counting.expect(VXLAN_FLOOD=1, VXLAN_COPY=2, VXLAN_CUT=2, VXLAN_HEARD=1)
    start = 34 if site.segment.family == 4 else 62
    for first, second in (seen[:2], seen[2:]):
        sport = int.from_bytes(bytes(first)[start : start + 2], "big")
        whole = site.segment.leaving(frame, target=target(first), sport=sport)
        wanted = fitting(whole, 1500, number_of(first))
        assert [bytes(first), bytes(second)] == [bytes(packet) for packet in wanted]
    assert {target(packet) for packet in seen} == set(site.vteps)


def test_an_unknown_station(site: Site) -> None:
    """The host hears of it when somebody listens on its bridge."""
    counting = site.bench.counting("p0")
    site.heard.forget()
    site.flooded(unknown(), *site.vteps)
    counting.expect(VXLAN_FLOOD=1, VXLAN_COPY=2)
    assert not site.heard.arrived()
    command = f"ip link set {site.segment.bridge} promisc"
    with changed(site, *command.split(), "on", back=f"{command} off"):
        is_heard(site, unknown(), *site.vteps)


def test_a_station_that_has_to_be_learned(site: Site) -> None:
    """The kernel sees it once, and floods that; the next is flooded from here."""
    site.left_to_the_kernel(question(STRANGER), "PUNT_ARP")
    bridge = ["bridge", "fdb", "show", "br", site.segment.bridge]
    eventually(lambda: STRANGER in site.bench.run(*bridge), "it is learned")
    site.bench.settle()
    try:
        is_heard(site, question(STRANGER), *site.vteps)
    finally:
        site.segment.fdb("del", STRANGER, "dev", "p0", "master")
        site.bench.settle()


def test_a_station_that_is_somewhere_else(site: Site) -> None:
    frame = ether(source=FAR.mac) / Raw(bytes(46))
    site.left_to_the_kernel(frame, "PUNT_MULTICAST")
    # The kernel has seen it move; EVPN would say where it is.
    site.segment.station(FAR, PEER[site.segment.family])
    site.bench.settle()


def test_what_is_answered_in_a_tunnels_stead(site: Site) -> None:
    """Who hears a question then, or that somebody has moved, is the kernel's bridge's to say."""
    command = f"bridge link set dev {site.segment.device} neigh_suppress"
    told = ip6("ff02::1") / ICMPv6ND_NA(tgt="fd00::10", S=0)
    with changed(site, *command.split(), "on", back=f"{command} off"):
        for frame in (question(), SPEECH["solicitation"], told):
            site.left_to_the_kernel(frame, is_punted(frame))
        is_heard(site, broadcast(), *site.vteps)
        is_heard(site, SPEECH["all nodes"], *site.vteps)
    is_heard(site, told, *site.vteps)


# ---- when it is the kernel's --------------------------------------------------------------------


def is_the_kernels(site: Site, problem: str) -> None:
    site.left_to_the_kernel(broadcast(), "PUNT_MULTICAST")
    site.left_to_the_kernel(question(), "PUNT_ARP")
    assert not site.status.floods_here
    assert site.status.flood_problem == problem


def test_a_port_of_the_kernel(site: Site) -> None:
    site.bench.ip("link add kernel0 type veth peer name kernel1")
    join = f"ip link set kernel0 master {site.segment.bridge}"
    with changed(site, *join.split(), back="ip link del kernel0"):
        is_the_kernels(site, "port kernel0 of its bridge is not the worker's")
    is_heard(site, broadcast(), *site.vteps)


@pytest.mark.parametrize("option", QUIET)
def test_a_port_that_does_not_get_all(site: Site, option: str) -> None:
    command = f"bridge link set dev p1 {option}"
    words = ("off", "on") if "flood" in option else ("on", "off")
    with changed(site, *command.split(), words[0], back=f"{command} {words[1]}"):
        is_the_kernels(site, "port p1 of its bridge does not get all that is flooded")
    assert site.status.floods_here


def test_a_vxlan_device_that_does_not_get_all(site: Site) -> None:
    command = f"bridge link set dev {site.segment.device} bcast_flood"
    with changed(site, *command.split(), "off", back=f"{command} on"):
        is_the_kernels(site, "its VXLAN device does not get all that is flooded")


@pytest.mark.parametrize("option", ["isolated", "locked", "hairpin"])
def test_a_port_with_restrictions(site: Site, option: str) -> None:
    """The whole segment is the kernel's then."""
    command = f"bridge link set dev p1 {option}"
    with changed(site, *command.split(), "on", back=f"{command} off"):
        site.left_to_the_kernel(broadcast(), "PUNT_VLAN")
        assert not site.status.floods_here
        assert "isolated, locked or turn frames back" in site.status.problem
    assert site.status.floods_here


def test_a_vtep_that_is_not_to_be_reached(site: Site) -> None:
    """It depends on the frame, so the status does not say it."""
    device, vtep = site.segment.device, UNREACHABLE[site.segment.family]
    member = f"{NOBODY} dev {device} dst {vtep} self"
    add = f"bridge fdb append {member} permanent"
    with changed(site, *add.split(), back=f"bridge fdb del {member}"):
        site.left_to_the_kernel(broadcast(), "PUNT_MULTICAST")
        assert site.status.floods_here


def test_a_vtep_that_only_the_kernel_reaches(site: Site) -> None:
    device, vtep = site.segment.device, PEER[site.segment.family]
    member = f"{NOBODY} dev {device} dst {vtep} port 9999 via core self"
    add = f"bridge fdb append {member} permanent"
    with changed(site, *add.split(), back=f"bridge fdb del {member}"):
        is_the_kernels(site, "there is somebody on its flood list whom only the kernel reaches")


def test_a_second_vxlan_device(site: Site) -> None:
    site.bench.ip(f"link add vx9 master {site.segment.bridge} type vxlan id 9 dstport 4790")
    site.bench.settle()
    try:
        is_the_kernels(site, "port vx9 of its bridge is not the worker's")
    finally:
        site.bench.ip("link del vx9")
        site.bench.settle()


# ---- the TAP ------------------------------------------------------------------------------


def test_a_tap_that_is_down(site: Site) -> None:
    command = f"ip link set {HEARS}"
    with changed(site, *command.split(), "down", back=f"{command} up"):
        is_the_kernels(site, f"TAP {HEARS}: it is down")
    is_heard(site, broadcast(), *site.vteps)


def test_a_tap_that_goes_and_comes_back(site: Site) -> None:
    """It is another one then, which the worker opens when it is told again."""
    site.bench.ip(f"link del {HEARS}")
    site.bench.settle()
    is_the_kernels(site, f"TAP {HEARS}: it is not there any more")
    stretch(site.bench, site.segment)
    is_the_kernels(site, f"TAP {HEARS}: No such device")
    site.heard = listening(site.bench)
    stretch(site.bench, site.segment)
    is_heard(site, broadcast(), *site.vteps)


def test_a_tap_that_is_no_more_to_be_heard_by(site: Site) -> None:
    """It is let go, for others to open; nothing else changes, and nobody complains."""
    site.bench.client.set_segments([replace(site.segment.wanted, heard="")])
    site.bench.settle()
    site.left_to_the_kernel(broadcast(), "PUNT_MULTICAST")
    assert not site.status.floods_here
    assert site.status.flood_problem == ""
    assert "NO-CARRIER" in site.bench.run("ip", "link", "show", HEARS)
    site.flooded(unknown(), *site.vteps)
    stretch(site.bench, site.segment)
    is_heard(site, broadcast(), *site.vteps)


def test_a_device_of_another_kind(site: Site) -> None:
    site.bench.client.set_segments([replace(site.segment.wanted, heard="lo")])
    site.bench.settle()
    is_the_kernels(site, "TAP lo: Invalid argument")
    stretch(site.bench, site.segment)
    is_heard(site, broadcast(), *site.vteps)
