# SPDX-License-Identifier: GPL-2.0-or-later
"""What XDP leaves to the kernel: counted by reason, delivered, never with an inside source."""

import socket
from ipaddress import IPv4Interface

from scapy.layers.inet import IP, TCP, UDP, IPOption_NOP
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Raw

from hybrid_gateway.lab import Interface
from hybrid_gateway.model import FALLBACK_PORTS
from tests.lib.gateway import Gateway, eventually, nat44
from tests.lib.packets import (
    GW_INSIDE,
    LAN,
    LAN2,
    PAYLOAD,
    SERVER,
    WAN,
    from_lan,
    from_wan,
    ip,
    same,
    tcp,
    to_lan,
    to_wan,
    udp,
)
from tests.lib.sockets import bound
from tests.lib.traffic import Wires


def open_session(wires: Wires) -> int:
    first = from_lan(udp(LAN.ip, SERVER, 4000, 53))
    return int(wires.send_and_expect(first, at="lan", to="wan")[UDP].sport)


def test_tcp_without_a_session_belongs_to_conntrack(wires: Wires, gateway: Gateway) -> None:
    """It goes on through the kernel's translation, on the fallback's port range."""
    counts = gateway.counting()
    stray = from_lan(tcp(LAN.ip, SERVER, 4000, 80, "A", seq=5, ack=6))
    out = wires.send_and_expect(stray, at="lan", to="wan")
    assert out[IP].src == WAN.ip
    assert out[TCP].sport in FALLBACK_PORTS
    counts.expect(PUNT_NO_SESSION=1)


def test_frames_between_lan_hosts_are_bridged(wires: Wires, gateway: Gateway) -> None:
    counts = gateway.counting()
    frame = Ether(src=LAN.mac, dst=LAN2.mac) / udp(LAN.ip, LAN2.ip, 4000, 53)
    same(wires.send_and_expect(frame, at="lan", to="lan2"), frame)
    counts.expect()


def test_ipv4_options(wires: Wires, gateway: Gateway) -> None:
    counts = gateway.counting()
    packet = (
        ip(LAN.ip, SERVER, options=[IPOption_NOP()] * 4) / UDP(sport=4000, dport=53) / Raw(PAYLOAD)
    )
    out = wires.send_and_expect(from_lan(packet), at="lan", to="wan")
    assert out[IP].src == WAN.ip
    assert out[IP].ihl == 6
    assert out[Raw].load == PAYLOAD
    counts.expect(PUNT_OPTIONS=1)


def test_other_protocols_are_masqueraded(wires: Wires, gateway: Gateway) -> None:
    counts = gateway.counting()
    protocol = 253  # RFC 3692: for experiments
    sent = from_lan(ip(LAN.ip, SERVER, proto=protocol) / Raw(PAYLOAD))
    out = wires.send_and_expect(sent, at="lan", to="wan")
    same(out, to_wan(ip(WAN.ip, SERVER, ttl=63, proto=protocol) / Raw(PAYLOAD)))
    counts.expect(PUNT_PROTOCOL=1)


def test_gre_does_not_leak(wires: Wires, gateway: Gateway) -> None:
    counts = gateway.counting()
    gre = from_lan(ip(LAN.ip, SERVER, proto=47) / Raw(bytes.fromhex("00000800") + PAYLOAD))
    out = wires.send_and_expect(gre, at="lan", to="wan")
    assert out[IP].src == WAN.ip
    counts.expect(PUNT_PROTOCOL=1)


def test_a_vlan_tag_is_left_to_the_kernel(wires: Wires, gateway: Gateway) -> None:
    """br-lan has no VLAN device, so the kernel has no use for the frame either."""
    counts = gateway.counting()
    plain = bytes(from_lan(udp(LAN.ip, SERVER, 4000, 53)))
    tagged = plain[:12] + bytes.fromhex("81000005") + plain[12:]
    wires.send_and_expect_nothing(tagged, at="lan", to="wan")
    counts.expect(PUNT_VLAN=1)


def test_no_neighbour_inside(wires: Wires, gateway: Gateway) -> None:
    """Translated, handed over, and sent by the kernel once it knows the MAC address."""
    port = open_session(wires)
    counts = gateway.counting()
    with gateway.frozen():  # the agent would learn of it and ask the neighbour itself
        gateway.lab.run("gw", ["ip", "neigh", "flush", "dev", "br-lan"])
        gateway.lab.run("gw", ["ip", "neigh", "flush", "dev", "br-lan", "nud", "permanent"])
        back = wires.send_and_expect(from_wan(udp(SERVER, WAN.ip, 53, port)), at="wan", to="lan")
    same(back, to_lan(udp(SERVER, LAN.ip, 53, 4000, ttl=63)))
    counts.expect(PUNT_NO_NEIGHBOUR=1, HANDED_OVER=1)
    gateway.meet_hosts()


def test_no_neighbour_outside(wires: Wires, gateway: Gateway) -> None:
    counts = gateway.counting()
    with gateway.frozen():
        gateway.lab.run("gw", ["ip", "neigh", "del", "203.0.113.1", "dev", "wan0"], check=False)
        out = wires.send_and_expect(from_lan(udp(LAN.ip, SERVER, 4000, 53)), at="lan", to="wan")
    same(out, to_wan(udp(WAN.ip, SERVER, out[UDP].sport, 53, ttl=63)))
    counts.expect(PUNT_NO_NEIGHBOUR=1, HANDED_OVER=1, NAT_NEW_MAPPING=1, NAT_NEW_SESSION=1)


def test_a_station_that_the_bridge_has_not_learnt(wires: Wires, gateway: Gateway) -> None:
    """Translated, handed over, flooded by the bridge; sent by XDP once the station has spoken."""
    station = Interface("lan2", "eth0", "02:00:c0:a8:6e:42", IPv4Interface("192.168.110.66/24"))
    gateway.apply(
        nat44("static:", f'  - {{protocol: udp, outside: ":6666", inside: "{station.ip}:53"}}')
    )
    run_ip = ["ip", "neigh", "replace", station.ip, "lladdr", station.mac, "dev", "br-lan"]
    gateway.lab.run("gw", [*run_ip, "nud", "permanent"])
    counts = gateway.counting()
    inbound = from_wan(udp(SERVER, WAN.ip, 4000, 6666))
    expected = to_lan(udp(SERVER, station.ip, 4000, 53, ttl=63), station)
    same(wires.send_and_expect(inbound, at="wan", to="lan"), expected)
    counts.expect(PUNT_FDB_MISS=1, HANDED_OVER=1, NAT_NEW_SESSION=1)

    # Any frame that XDP leaves to the bridge will do; hosts say something by ARP now and then.
    asks = ARP(hwsrc=station.mac, psrc=station.ip, pdst=GW_INSIDE.ip)
    wires.send(Ether(src=station.mac, dst="ff:ff:ff:ff:ff:ff") / asks, at="lan2")

    def sent_by_xdp() -> bool:
        before = counts.now()["PUNT_FDB_MISS"]
        same(wires.send_and_expect(inbound, at="wan", to="lan2"), expected)
        return counts.now()["PUNT_FDB_MISS"] == before

    eventually(sent_by_xdp, "the mirror has learnt the station")
    wires.send_and_expect_nothing(inbound, at="wan", to="lan")


def test_traffic_to_the_gateway_itself(wires: Wires, gateway: Gateway) -> None:
    """From inside to its inside address: the host's, untouched."""
    counts = gateway.counting()
    with bound(gateway.lab, "gw", "192.168.110.1", 5000, socket.SOCK_DGRAM) as service:
        wires.send(from_lan(udp(LAN.ip, "192.168.110.1", 4000, 5000)), at="lan")
        assert service.recvfrom(100) == (PAYLOAD, (LAN.ip, 4000))
    counts.expect(PUNT_HOST=1)


def test_a_source_that_does_not_live_inside(wires: Wires, gateway: Gateway) -> None:
    """A forged source gets no session, and does not leave as it came by the kernel either."""
    counts = gateway.counting()
    forged = from_lan(udp("10.99.0.1", SERVER, 4000, 53))
    wires.send_and_expect_nothing(
        forged, at="lan", to="wan", wanted=lambda p: IP in p and p[IP].src == "10.99.0.1"
    )
    counts.expect_some(PUNT_SOURCE=1)
