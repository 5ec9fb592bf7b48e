# SPDX-License-Identifier: GPL-2.0-or-later
"""NAT44 and VXLAN on one gateway: one bridge is both's inside, one port both's outside."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from hybrid_gateway.lab import Interface, Lab, leftovers
from hybrid_gateway.lab.branch import BRANCH, HOME, SECTION, VNI, VTEP, VXLAN
from hybrid_gateway.lab.extension import ExtendedLab, extended
from hybrid_gateway.lab.services import servers
from tests.forward.fixtures import QUIET, watch_over
from tests.lib.gateway import BASE, NOISE, Gateway, eventually
from tests.lib.packets import (
    GW_INSIDE,
    LAN,
    ROUTER,
    SERVER,
    WAN,
    from_wan,
    same,
    to_wan,
    udp,
)
from tests.lib.programs import blob_digest, curl, digest, pinged
from tests.lib.traffic import PLACES, Wires
from tests.lib.vxlan import header, is_marked, segment, source_port

SIZE = 5_000_000
UDP_TRACE = ("--protocol", "udp")


@dataclass(frozen=True, slots=True)
class Branch:
    """The LAN, its branch, and the gateway between them and the Internet."""

    lab: ExtendedLab
    wires: Wires
    gateway: Gateway


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Branch]:
    lab = Lab(f"n{os.getpid()}", tmp_path_factory.mktemp("nat"))
    with ExitStack() as stack:
        stack.callback(leftovers.remove, lab)
        lab.up()
        wide = stack.enter_context(extended(lab, BRANCH))
        for host in ("lan", "lan2", "wan", "home"):
            wide.run(host, ["nft", QUIET])
        # Multicast of the branch's bridge comes at any time.
        gateway = Gateway(wide, BASE + SECTION, NOISE | {"PUNT_FLOOD"})
        stack.callback(gateway.process.stop)
        gateway.start()
        wires = Wires(wide, stack, {**PLACES, "home": ("home", "eth0")})
        yield Branch(wide, wires, gateway)


@pytest.fixture
def branch(built: Branch) -> Branch:
    built.gateway.ready()
    built.gateway.meet_hosts()
    for target in (GW_INSIDE.ip, LAN.ip):
        assert pinged(built.lab, "home", target, count=1) == 1

    def all_by_xdp() -> bool:
        counts = built.gateway.counting()
        assert pinged(built.lab, "home", LAN.ip, count=2) == 2
        return not any(name.startswith("PUNT_") for name in counts.now())

    eventually(all_by_xdp, "XDP knows the stations")
    return built


@pytest.fixture
def gateway(branch: Branch) -> Gateway:
    return branch.gateway


@pytest.fixture
def leak_watch(branch: Branch) -> Iterator[None]:
    """Nothing of the inside, not even of the branch, is seen outside but in VXLAN."""
    with watch_over(branch.lab):
        yield


def tunnelled(inner: Packet, seen: Packet | None = None) -> Packet:
    """To the branch as the gateway sends it, or from there as the Internet's router does."""
    if seen is not None:
        head = Ether(src=WAN.mac, dst=ROUTER.mac)
        path = IP(src=WAN.ip, dst=VTEP, ttl=64, id=seen[IP].id)
        port = source_port(seen)
    else:
        head = Ether(src=ROUTER.mac, dst=WAN.mac)
        path = IP(src=VTEP, dst=WAN.ip, ttl=63)
        port = 50000
    return head / path / UDP(sport=port, dport=4789) / Raw(header(VNI) + bytes(inner))


def from_home(packet: Packet) -> Packet:
    return Ether(src=HOME.mac, dst=GW_INSIDE.mac) / packet


def to_home(packet: Packet) -> Packet:
    return Ether(src=GW_INSIDE.mac, dst=HOME.mac) / packet


def test_out_of_the_tunnel_and_translated(branch: Branch) -> None:
    """In by VXLAN and out by NAT, on the same port, in one go."""
    counts = branch.gateway.counting()
    sent = tunnelled(from_home(udp(HOME.ip, SERVER, 4000, 53)))
    seen = branch.wires.send_and_expect(sent, at="wan", to="wan", wanted=is_marked)
    same(seen, to_wan(udp(WAN.ip, SERVER, seen[UDP].sport, 53, ttl=63)))
    counts.expect(FORWARD=1, VXLAN_DECAP=1, NAT_NEW_MAPPING=1, NAT_NEW_SESSION=1)

    counts = branch.gateway.counting()
    answer = from_wan(udp(SERVER, WAN.ip, 53, seen[UDP].sport))
    back = branch.wires.send_and_expect(answer, at="wan", to="wan", wanted=is_marked)
    same(back, tunnelled(to_home(udp(SERVER, HOME.ip, 53, 4000, ttl=63)), back))
    counts.expect(FORWARD=1, VXLAN_ENCAP=1)


def test_the_hosts_of_both_ends_are_one_segment(branch: Branch) -> None:
    frame = segment(LAN, HOME, udp(LAN.ip, HOME.ip, 4000, 53))
    counts = branch.gateway.counting()
    seen = branch.wires.send_and_expect(frame, at="lan", to="wan", wanted=is_marked)
    same(seen, tunnelled(frame, seen))
    counts.expect(BRIDGE=1, VXLAN_ENCAP=1)

    frame = segment(HOME, LAN, udp(HOME.ip, LAN.ip, 53, 4000))
    counts = branch.gateway.counting()
    same(
        branch.wires.send_and_expect(tunnelled(frame), at="wan", to="lan", wanted=is_marked), frame
    )
    counts.expect(BRIDGE=1, VXLAN_DECAP=1)


def test_downloads_of_both_ends(branch: Branch) -> None:
    """The branch's kernel cannot cut what it sends; TCP learns that from it."""
    url = f"http://{SERVER}/blob/{SIZE}"
    with servers(branch.lab, "wan", http=[f"{SERVER}:80"]):
        for host, counter in (("home", "VXLAN_ENCAP"), ("lan", "FORWARD")):
            counts = branch.gateway.counting()
            assert digest(curl(branch.lab, host, url)) == blob_digest(SIZE)
            counts.expect_some(**{counter: SIZE // 1500})


def test_ping_of_the_internet(branch: Branch) -> None:
    counts = branch.gateway.counting()
    assert pinged(branch.lab, "home", SERVER, count=10) == 10
    counts.expect(FORWARD=20, VXLAN_DECAP=10, VXLAN_ENCAP=10, NAT_NEW_MAPPING=1, NAT_NEW_SESSION=1)


def test_what_the_gateway_answers(branch: Branch) -> None:
    """Its own address is the host's, by way of the VXLAN device."""
    counts = branch.gateway.counting()
    assert pinged(branch.lab, "home", GW_INSIDE.ip, count=5) == 5
    counts.expect_some(PUNT_HOST=5)


def test_an_expired_packet_of_the_branch(branch: Branch) -> None:
    """Time exceeded goes back into the tunnel."""
    sent = tunnelled(from_home(udp(HOME.ip, SERVER, 4000, 53, ttl=1)))
    seen = branch.wires.send_and_expect(
        sent, at="wan", to="home", wanted=lambda p: IP in p and p[IP].proto == 1
    )
    assert (seen[IP].src, seen[IP].dst) == (GW_INSIDE.ip, HOME.ip)
    assert (seen["ICMP"].type, seen["ICMP"].code) == (11, 0)


def test_a_stranger_cannot_use_the_nat(branch: Branch) -> None:
    """VXLAN from elsewhere, with an inner packet that NAT would gladly translate."""
    counts = branch.gateway.counting()
    sent = tunnelled(from_home(udp(HOME.ip, SERVER, 4001, 53)))
    sent[IP].src = SERVER
    branch.wires.send_and_expect_nothing(sent, at="wan", to="wan", wanted=is_marked)
    counts.expect(DROP_VTEP=1)


def test_vxlan_in_vxlan_to_ourselves(branch: Branch) -> None:
    """The inner packet is the gateway's own, and its sender no VTEP: nftables says so."""
    frame = segment(HOME, LAN, udp(HOME.ip, LAN.ip, 53, 4000))
    for _ in range(3):
        datagram = UDP(sport=50000, dport=4789) / Raw(header(VNI) + bytes(frame))
        frame = from_home(IP(src=HOME.ip, dst=WAN.ip) / datagram)
    counts = branch.gateway.counting()
    branch.wires.send_and_expect_nothing(tunnelled(frame), at="wan", to="lan", wanted=is_marked)
    counts.expect(PUNT_HOST=1)
    assert pinged(branch.lab, "home", LAN.ip) == 3


def test_a_forged_source_in_the_tunnel(branch: Branch) -> None:
    """No session for it, and it does not leave as it came: the tunnel changes nothing in that."""
    counts = branch.gateway.counting()
    sent = tunnelled(from_home(udp("10.99.0.1", SERVER, 4000, 53)))
    branch.wires.send_and_expect_nothing(
        sent, at="wan", to="wan", wanted=lambda p: IP in p and p[IP].src == "10.99.0.1"
    )
    counts.expect_some(PUNT_SOURCE=1)


def test_a_moved_host_keeps_its_sessions(branch: Branch) -> None:
    """A host of the LAN that goes to the branch: answers follow it there."""
    mover = Interface("lan2", "eth0", "02:00:c0:a8:6e:77", LAN.network)
    first = Ether(src=mover.mac, dst=GW_INSIDE.mac) / udp("192.168.110.77", SERVER, 4000, 53)
    known = f"ip neigh replace 192.168.110.77 lladdr {mover.mac} dev br-lan nud permanent"
    branch.lab.run("gw", known.split())
    branch.wires.send(first, at="lan2")
    seen = branch.wires.send_and_expect(first, at="lan2", to="wan", wanted=is_marked)
    answer = from_wan(udp(SERVER, WAN.ip, 53, seen[UDP].sport))
    plain = Ether(src=GW_INSIDE.mac, dst=mover.mac) / udp(
        SERVER, "192.168.110.77", 53, 4000, ttl=63
    )
    same(branch.wires.send_and_expect(answer, at="wan", to="lan2", wanted=is_marked), plain)
    branch.wires.send(tunnelled(first), at="wan")

    def follows() -> bool:
        back = branch.wires.send_and_expect(answer, at="wan", to="home", wanted=is_marked)
        same(back, plain)
        return True

    eventually(follows, "the answers go to the branch")


def test_the_trace_knows_the_tunnel(branch: Branch) -> None:
    """Both ways of a session between the branch and the Internet, told before they are gone."""
    gateway = branch.gateway
    out = gateway.ctl_json("nat", "trace", f"{HOME.ip}:4000", "--to", f"{SERVER}:53", *UDP_TRACE)
    assert out["verdict"] == "FORWARD"
    branch.wires.send(tunnelled(from_home(udp(HOME.ip, SERVER, 4000, 53))), at="wan")
    (session,) = gateway.sessions()

    outside = f"{WAN.ip}:{session['outside'][1]}"
    back = gateway.ctl_json("nat", "trace", outside, "--from", f"{SERVER}:53", *UDP_TRACE)
    assert back["verdict"] == "FORWARD"
    hop = {step["step"]: step["text"] for step in back["steps"]}["next hop"]
    assert hop == f"by VXLAN ({VXLAN}) to {VTEP}, for {HOME.ip} ({HOME.mac}) there"
