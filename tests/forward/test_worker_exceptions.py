# SPDX-License-Identifier: GPL-2.0-or-later
"""What the worker leaves to the kernel: it gets there as it came, and what the kernel makes of it
gets to the host it is for."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from scapy.layers.inet import ICMP, IP, IPOption_RR
from scapy.layers.inet6 import (
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6NDOptDstLLAddr,
    IPv6,
    IPv6ExtHdrHopByHop,
    RouterAlert,
)
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet, Raw

from hybrid_gateway.lab import EAST, LAN, SFP0, SFP1, WEST
from tests.forward.fibre import Fibre
from tests.forward.test_worker_routing import AWAY, HOSTS, families
from tests.lib.fibre import (
    EAST6,
    SFP0_6,
    SFP1_6,
    WEST6,
    datagram,
    from_east,
    header,
    is_error,
    is_marked,
    to_west,
)
from tests.lib.packets import PAYLOAD, SERVER, same
from tests.lib.programs import pinged
from tests.lib.sockets import bound, connected
from tests.lib.traffic import ARRIVES_SECONDS, Wanted

OURS = {4: SFP0.ip, 6: SFP0_6}
STATION = "02:00:c6:12:01:33"
STATION_IP = {4: "198.18.1.33", 6: "2001:db8:f::33"}


@families
def test_time_exceeded(fibre: Fibre, family: int) -> None:
    """RFC 1812, 4.3.3 and 5.3.1: the kernel's error, from the port that the packet came in by."""
    sent = datagram(*HOSTS[family], ttl=1)
    counts = fibre.counting()
    error = fibre.send(from_east(sent), at="east", to="east", wanted=is_error)
    counts.expect(PUNT_TTL=1)
    assert error.payload.src == OURS[family]
    assert error.payload.payload.type == {4: 11, 6: 3}[family]
    assert bytes(sent) in bytes(error)


@families
def test_a_ttl_of_zero_is_not_forwarded(fibre: Fibre, family: int) -> None:
    sent = from_east(datagram(*HOSTS[family], ttl=0))
    fibre.wires.send_and_expect_nothing(sent, at="east", to="west", wanted=is_marked)


@contextmanager
def narrow(fibre: Fibre) -> Iterator[None]:
    fibre.ip("link set sfp1 mtu 1400")
    try:
        yield
    finally:
        fibre.ip("link set sfp1 mtu 1500")


@families
def test_too_big(fibre: Fibre, family: int) -> None:
    """RFC 1191 and RFC 8201: the error says what would fit, and what fits is forwarded."""
    sent = datagram(*HOSTS[family], size=1401)
    with narrow(fibre):
        counts = fibre.counting()
        error = fibre.send(from_east(sent), at="east", to="east", wanted=is_error)
        counts.expect(PUNT_TOO_BIG=1)
        if family == 4:
            assert (error[ICMP].type, error[ICMP].code, error[ICMP].nexthopmtu) == (3, 4, 1400)
        else:
            assert (error[IPv6].payload.type, error[IPv6].payload.mtu) == (2, 1400)
        fits = datagram(*HOSTS[family], size=1400)
        got = fibre.send(from_east(fits), at="east", to="west")
        same(got, to_west(datagram(*HOSTS[family], size=1400, ttl=63)))
        counts.expect(**{"PUNT_TOO_BIG": 1, f"FORWARD_IP{family}": 1})


@families
def test_the_mtu_of_a_route(fibre: Fibre, family: int) -> None:
    sent = datagram(HOSTS[family][0], AWAY[family], size=1301)
    route = f"-{family} route add {AWAY[family]} via {HOSTS[family][1]} mtu lock 1300"
    with fibre.given(route):
        counts = fibre.counting()
        error = fibre.send(from_east(sent), at="east", to="east", wanted=is_error)
        counts.expect(PUNT_TOO_BIG=1)
    said = error[ICMP].nexthopmtu if family == 4 else error[IPv6].payload.mtu
    assert said == 1300


def test_the_kernel_fragments(fibre: Fibre) -> None:
    """Without DF; its fragments leave by the worker's port."""
    sent = datagram(size=1500, flags=0)
    with narrow(fibre):
        counts = fibre.counting()
        fibre.wires.forget("west")
        fibre.wires.send(from_east(sent), at="east")
        pieces = []
        for piece in fibre.wires.arriving("west", is_marked, ARRIVES_SECONDS):
            pieces.append(piece)
            if not piece[IP].flags.MF:
                break
        counts.expect(PUNT_TOO_BIG=1)
    assert all(len(piece[IP]) <= 1400 and piece[IP].ttl == 63 for piece in pieces)
    joined = b"".join(bytes(piece[IP].payload) for piece in pieces)
    assert joined == bytes(sent[IP].payload)


def test_ipv4_options(fibre: Fibre) -> None:
    """Record route: the kernel writes its address into it."""
    sent = datagram()
    sent[IP].options = [IPOption_RR(pointer=4, routers=["0.0.0.0"] * 3)]
    counts = fibre.counting()
    got = fibre.send(from_east(sent), at="east", to="west")
    counts.expect(PUNT_OPTIONS=1)
    assert got[IP].ttl == 63
    assert got[IP].options[0].routers[0] == SFP1.ip


def test_hop_by_hop_options(fibre: Fibre) -> None:
    options = IPv6ExtHdrHopByHop(options=[RouterAlert()])
    packet = header(EAST6, WEST6) / options / Raw(PAYLOAD)
    packet[IPv6ExtHdrHopByHop].nh = 59
    counts = fibre.counting()
    got = fibre.send(from_east(packet), at="east", to="west")
    counts.expect(PUNT_OPTIONS=1)
    packet[IPv6].hlim = 63
    same(got, to_west(packet))


@families
def test_our_own_addresses(fibre: Fibre, family: int) -> None:
    """Of either port, by the port that the host is behind: an answer of the kernel's."""
    for ours in {4: (SFP0.ip, SFP1.ip), 6: (SFP0_6, SFP1_6)}[family]:
        counts = fibre.counting()
        if family == 4:
            sent = header(EAST.ip, ours) / ICMP(id=7, seq=1) / Raw(PAYLOAD)
        else:
            sent = header(EAST6, ours) / ICMPv6EchoRequest(id=7, seq=1, data=PAYLOAD)
        got = fibre.send(from_east(sent), at="east", to="east", wanted=_is_reply)
        assert (got.payload.src, got.dst) == (ours, EAST.mac)
        counts.expect(PUNT_LOCAL=1)


def _is_reply(packet: Packet) -> bool:
    reply = ICMPv6EchoReply in packet or (ICMP in packet and packet[ICMP].type == 0)
    return reply and PAYLOAD in bytes(packet)


@pytest.mark.parametrize("speaker", ["gateway", "host"])
def test_tcp_with_the_gateway_itself(fibre: Fibre, speaker: str) -> None:
    """Both ways through the TAP, checksums and all; a megabyte each way."""
    places = ("gw", "east") if speaker == "gateway" else ("east", "gw")
    server = SFP0.ip if speaker == "host" else EAST.ip
    data = bytes(range(256)) * 4096
    with (
        bound(fibre.lab, places[1], server, 5001, socket.SOCK_STREAM) as listener,
        connected(fibre.lab, places[0], server, 5001) as client,
    ):
        accepted, _ = listener.accept()
        with accepted:
            for one, other in ((client, accepted), (accepted, client)):
                assert transferred(one, other, data) == data


def transferred(one: socket.socket, other: socket.socket, data: bytes) -> bytes:
    """What of `data` arrives; sent in pieces that fit the sockets' buffers."""
    got = b""
    for begin in range(0, len(data), 16384):
        piece = data[begin : begin + 16384]
        one.sendall(piece)
        while len(got) < begin + len(piece):
            part = other.recv(65536)
            assert part, "the connection ended"
            got += part
    return got


@families
def test_a_neighbour_is_resolved_by_the_kernel(fibre: Fibre, family: int) -> None:
    """The first packet waits there, and is not lost; the next ones are the worker's."""
    target = STATION_IP[family]
    sent = datagram(HOSTS[family][0], target)
    counts = fibre.counting()
    fibre.wires.forget("west")
    question = fibre.send(from_east(sent), at="east", to="west", wanted=_asks_for(target))
    fibre.wires.send(_answer(question, target), at="west")
    wanted = to_west(datagram(HOSTS[family][0], target, ttl=63), STATION)
    for packet in fibre.wires.arriving("west", is_marked, ARRIVES_SECONDS):
        same(packet, wanted)
        break
    else:
        raise AssertionError("what waited for its neighbour did not come")
    counts.expect(PUNT_NEIGHBOUR=1)
    fibre.mirrored()
    same(fibre.send(from_east(sent), at="east", to="west"), wanted)
    counts.expect(**{"PUNT_NEIGHBOUR": 1, f"FORWARD_IP{family}": 1})
    # Which is forgotten as the kernel forgets it.
    fibre.ip(f"neigh del {target} dev sfp1")
    fibre.send(from_east(sent), at="east", to="west", wanted=_asks_for(target))
    counts.expect(**{"PUNT_NEIGHBOUR": 2, f"FORWARD_IP{family}": 1})


def _asks_for(target: str) -> Wanted:
    def wanted(packet: Packet) -> bool:
        if ARP in packet:
            return bool(packet[ARP].op == 1 and packet[ARP].pdst == target)
        return ICMPv6ND_NS in packet and packet[ICMPv6ND_NS].tgt == target

    return wanted


def _answer(question: Packet, target: str) -> Packet:
    if ARP in question:
        asked = question[ARP]
        told = ARP(op=2, hwsrc=STATION, psrc=target, hwdst=asked.hwsrc, pdst=asked.psrc)
        return Ether(src=STATION, dst=SFP1.mac) / told
    advertisement = ICMPv6ND_NA(tgt=target, R=0, S=1, O=1) / ICMPv6NDOptDstLLAddr(lladdr=STATION)
    answer = IPv6(src=target, dst=question[IPv6].src, hlim=255) / advertisement
    return Ether(src=STATION, dst=SFP1.mac) / answer


def test_between_an_sfp_host_and_the_internet(fibre: Fibre) -> None:
    """One side is the worker's, the other the kernel's."""
    counts = fibre.counting()
    assert pinged(fibre.lab, "east", SERVER) == 3
    counts.expect_some(PUNT_OTHER_DEVICE=3)


def test_between_an_sfp_host_and_the_lan(fibre: Fibre) -> None:
    counts = fibre.counting()
    assert pinged(fibre.lab, "lan", EAST.ip) == 3
    assert pinged(fibre.lab, "west", LAN.ip) == 3
    counts.expect_some(PUNT_OTHER_DEVICE=6)


def test_the_kernels_forwarding_switch_is_obeyed(fibre: Fibre) -> None:
    """`sysctl net.ipv4.conf.sfp0.forwarding=0`: the kernel, to which it is left, drops it."""
    sent = from_east(datagram())
    setting = "net.ipv4.conf.sfp0.forwarding"
    fibre.lab.run("gw", ["sysctl", "-q", "-w", f"{setting}=0"])
    try:
        fibre.mirrored()
        counts = fibre.counting()
        fibre.wires.send_and_expect_nothing(sent, at="east", to="west", wanted=is_marked)
        counts.expect(PUNT_NOT_FORWARDING=1)
    finally:
        fibre.lab.run("gw", ["sysctl", "-q", "-w", f"{setting}=1"])
    fibre.mirrored()
    same(fibre.send(sent, at="east", to="west"), to_west(datagram(ttl=63)))


@pytest.mark.parametrize(("mode", "passes"), [(1, False), (2, True)], ids=["strict", "loose"])
def test_reverse_path_filter(fibre: Fibre, mode: int, passes: bool) -> None:
    """RFC 3704: by strict mode only who is reached by the port may send there."""
    neighbour, strange = datagram(), datagram("198.18.1.99")
    setting = "net.ipv4.conf.sfp0.rp_filter"
    fibre.lab.run("gw", ["sysctl", "-q", "-w", f"{setting}={mode}"])
    try:
        fibre.mirrored()
        counts = fibre.counting()
        fibre.send(from_east(neighbour), at="east", to="west")
        counts.expect(FORWARD_IP4=1)
        if passes:
            fibre.send(from_east(strange), at="east", to="west")
            counts.expect(FORWARD_IP4=2)
        else:
            fibre.wires.send_and_expect_nothing(
                from_east(strange), at="east", to="west", wanted=is_marked
            )
            counts.expect(FORWARD_IP4=1, PUNT_RP_FILTER=1)
    finally:
        fibre.lab.run("gw", ["sysctl", "-q", "-w", f"{setting}=0"])
    fibre.mirrored()


def test_policy_routing_is_the_kernels(fibre: Fibre) -> None:
    """A rule decides by more than the destination."""
    sent = from_east(datagram())
    with fibre.given(
        f"rule add from {EAST.ip} table 77", f"route add blackhole {WEST.ip} table 77"
    ):
        counts = fibre.counting()
        fibre.wires.send_and_expect_nothing(sent, at="east", to="west", wanted=is_marked)
        counts.expect(PUNT_POLICY=1)
    counts = fibre.counting()
    fibre.send(sent, at="east", to="west")
    counts.expect(FORWARD_IP4=1)
