# SPDX-License-Identifier: GPL-2.0-or-later
"""What EVPN wrote, by the frames that the kernel forwards with it: whole packets compared."""

import json
import time
from contextlib import ExitStack
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.inet6 import (
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptSrcLLAddr,
    IPv6,
)
from scapy.layers.l2 import ARP, Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet, Raw

from hybrid_gateway.evpn.entries import Binding, FloodEntry, PrefixEntry, RemoteMac
from hybrid_gateway.lab.sniff import PacketSocket
from hybrid_gateway.model import IPAddress
from tests.system.evpn_site import FAR, HERE, OTHER, ROUTED, VNI, VNI6, Follower, Site, mac

STATION, HOST_MAC, ROUTER = "02:00:00:00:00:99", "02:00:00:00:00:98", "02:00:00:00:0a:01"
NEXT_HOP = "02:00:00:00:0f:02"
HOST, HOST6 = "10.55.0.9", "2001:db8:55::9"
ASKER, ASKER6 = "10.55.0.2", "2001:db8:55::2"
BROADCAST = "ff:ff:ff:ff:ff:ff"
SECONDS = 5.0


@pytest.fixture
def site(stack: ExitStack) -> Site:
    """With an underlay, u0, whose far end u1 has every VTEP."""
    site = Site(stack)
    site.ip("link add u0 type veth peer name u1")
    for end in ("u0", "u1"):
        site.ip(f"link set {end} addrgenmode none up")
    site.ip(
        "route add 192.0.2.0/24 dev u0",
        "route add 2001:db8::/40 dev u0",
        *(
            f"neigh add {vtep} lladdr {NEXT_HOP} dev u0 nud permanent"
            for vtep in (*FAR.values(), *OTHER.values())
        ),
        "addr add 2001:db8:55::1/64 dev br550",
    )
    return site


@pytest.fixture
def follower(site: Site, stack: ExitStack, tmp_path: Path) -> Follower:
    opened = Follower(stack, tmp_path / "floods")
    opened.follow(site.segments())
    return opened


class Wire:
    """The far end of a port."""

    def __init__(self, site: Site, stack: ExitStack, device: str) -> None:
        self._socket = PacketSocket(site.name, device)
        stack.callback(self._socket.close)

    def send(self, frame: Packet) -> None:
        self._socket.send(bytes(frame))

    def expect(self, layer: type[Packet], count: int = 1, source: str = "") -> list[Packet]:
        """The next frames that have it, around one of the source's if there is one; what else there
        is does not matter: a bridge speaks of its memberships when it likes."""
        found: list[Packet] = []
        for frame in self._socket.frames_until(time.monotonic() + SECONDS):
            packet = Ether(frame.data)
            if packet.haslayer(layer) and source in ("", packet[layer].payload.fields.get("src")):
                found.append(packet)
            if len(found) == count:
                return found
        raise AssertionError(f"{len(found)} of {count}: {found}")


def underlay_mac(site: Site) -> str:
    [link] = json.loads(site.run("ip", "-j", "link", "show", "u0"))
    return str(link["address"])


def encapsulated(site: Site, inner: Packet, vtep: IPAddress, vni: int, like: Packet) -> bytes:
    """What is to be on the wire; what the kernel chooses is taken from `like`."""
    outer: Packet
    if vtep.version == 4:
        outer = IP(src=str(HERE[4]), dst=str(vtep), id=like[IP].id, flags=like[IP].flags, ttl=64)
        udp = UDP(sport=like[UDP].sport, dport=4789, chksum=like[UDP].chksum)
    else:
        outer = IPv6(src=str(HERE[6]), dst=str(vtep), fl=like[IPv6].fl, hlim=64)
        # Linux leaves checksums to devices, which veth has none of.
        udp = UDP(sport=like[UDP].sport, dport=4789, chksum=like[UDP].chksum)
    header = Ether(src=underlay_mac(site), dst=NEXT_HOP)
    return bytes(header / outer / udp / VXLAN(vni=vni, flags="Instance") / inner)


@pytest.mark.parametrize(("vni", "port", "family"), [(VNI, "h0", 4), (VNI6, "h6", 6)])
def test_a_frame_goes_to_the_vtep_of_its_station(
    site: Site, stack: ExitStack, follower: Follower, vni: int, port: str, family: int
) -> None:
    far, core = FAR[family], Wire(site, stack, "u1")
    follower.kernel.put([RemoteMac(vni, mac(STATION), far), FloodEntry(vni, OTHER[family])])
    frame = Ether(src=HOST_MAC, dst=STATION, type=0x88B5) / Raw(b"to one" * 10)
    Wire(site, stack, port).send(frame)
    [seen] = core.expect(VXLAN, source=HOST_MAC)
    assert bytes(seen) == encapsulated(site, frame, far, vni, seen)


@pytest.mark.parametrize(("vni", "port", "family"), [(VNI, "h0", 4), (VNI6, "h6", 6)])
def test_a_broadcast_goes_to_the_whole_flood_list(
    site: Site, stack: ExitStack, follower: Follower, vni: int, port: str, family: int
) -> None:
    vteps, core = [FAR[family], OTHER[family]], Wire(site, stack, "u1")
    follower.kernel.put([FloodEntry(vni, vtep) for vtep in vteps])
    frame = Ether(src=HOST_MAC, dst=BROADCAST, type=0x88B5) / Raw(b"to all" * 10)
    Wire(site, stack, port).send(frame)
    seen = core.expect(VXLAN, count=2, source=HOST_MAC)
    layer = IP if family == 4 else IPv6
    found = {one[layer].dst: one for one in seen}
    for vtep in vteps:
        one = found[str(vtep)]
        assert bytes(one) == encapsulated(site, frame, vtep, vni, one)


def test_the_kernel_answers_arp_from_a_binding(
    site: Site, stack: ExitStack, follower: Follower
) -> None:
    follower.kernel.put(
        [
            RemoteMac(VNI, mac(STATION), FAR[4]),
            Binding(VNI, ip_address(HOST), mac(STATION)),
        ]
    )
    site.bridge("link set dev vx550 neigh_suppress on")
    port = Wire(site, stack, "h0")
    asked = ARP(op=1, hwsrc=HOST_MAC, psrc=ASKER, pdst=HOST)
    port.send(Ether(src=HOST_MAC, dst=BROADCAST) / asked)
    [seen] = port.expect(ARP)
    answer = ARP(op=2, hwsrc=STATION, psrc=HOST, hwdst=HOST_MAC, pdst=ASKER)
    assert bytes(seen) == bytes(Ether(src=STATION, dst=HOST_MAC) / answer)


def test_the_kernel_answers_nd_from_a_binding(
    site: Site, stack: ExitStack, follower: Follower
) -> None:
    follower.kernel.put(
        [
            RemoteMac(VNI, mac(STATION), FAR[4]),
            Binding(VNI, ip_address(HOST6), mac(STATION), router=True),
        ]
    )
    site.bridge("link set dev vx550 neigh_suppress on")
    port = Wire(site, stack, "h0")
    asked = IPv6(src=ASKER6, dst="ff02::1:ff00:9", hlim=255) / ICMPv6ND_NS(tgt=HOST6)
    port.send(
        Ether(src=HOST_MAC, dst="33:33:ff:00:00:09") / asked / ICMPv6NDOptSrcLLAddr(lladdr=HOST_MAC)
    )
    [seen] = port.expect(ICMPv6ND_NA)
    answer = ICMPv6ND_NA(tgt=HOST6, R=1, S=1, O=1) / ICMPv6NDOptDstLLAddr(lladdr=STATION)
    header = Ether(src=STATION, dst=HOST_MAC) / IPv6(src=HOST6, dst=ASKER6, hlim=255)
    assert bytes(seen) == bytes(header / answer)


@pytest.mark.parametrize("far", [4, 6])
def test_a_packet_goes_to_the_router_of_its_prefix(
    site: Site, stack: ExitStack, follower: Follower, far: int
) -> None:
    """Also one of IPv4 over a VXLAN of IPv6."""
    vni, bridge = (ROUTED, "br5000") if far == 4 else (VNI6, "br660")
    core = Wire(site, stack, "u1")
    entry = PrefixEntry(ip_network("10.77.0.0/16"), vni, FAR[far], mac(ROUTER))
    assert follower.kernel.put([entry]) == []
    [link] = json.loads(site.run("ip", "-j", "link", "show", bridge))
    [gateway] = json.loads(site.run("ip", "-j", "link", "show", "br550"))
    packet = IP(src=ASKER, dst="10.77.1.1", id=7) / ICMP(id=1, seq=1) / Raw(b"routed")
    port = Wire(site, stack, "h0")
    port.send(Ether(src=HOST_MAC, dst=gateway["address"]) / packet)
    [seen] = core.expect(VXLAN)
    forwarded = packet.copy()
    forwarded.ttl = 63
    inner = Ether(src=link["address"], dst=ROUTER) / forwarded
    assert bytes(seen) == encapsulated(site, inner, FAR[far], vni, seen)
