# SPDX-License-Identifier: GPL-2.0-or-later
"""Frames of 1500 bytes over an underlay of 1500: cut by the gateway, made whole by a kernel."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from scapy.layers.inet import ICMP, IP, defragment
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment, defragment6
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from hybrid_gateway.lab.namespaces import entered, write_sysctl
from hybrid_gateway.lab.second import (
    BRIDGE,
    NEAR_CONFIGURATION,
    NEAR_ROUTER,
    RIGHT,
    Underlay,
)
from hybrid_gateway.lab.services import servers
from tests.forward.sites import Sites
from tests.lib.packets import same
from tests.lib.programs import blob_digest, curl
from tests.lib.vxlan import BROADCAST, full, is_marked, leaving

RECEIVE, WINDOW = Path("/proc/sys/net/ipv4/tcp_rmem"), 131072
UPLOAD = 10_000_000
GATEWAY6 = "2001:db8:cb::1"


def reassembled(sites: Sites, host: str = "gw2") -> int:
    """Packets that the kernel there has put together."""
    if sites.underlay is Underlay.IPV6:
        rows = dict(
            line.split() for line in sites.lab.run(host, ["cat", "/proc/net/snmp6"]).splitlines()
        )
        return int(rows["Ip6ReasmOKs"])
    names, values = [
        line.split()
        for line in sites.lab.run(host, ["cat", "/proc/net/snmp"]).splitlines()
        if line.startswith("Ip:")
    ]
    return int(values[names.index("ReasmOKs")])


def is_fragment(packet: Packet) -> bool:
    if packet[Ether].dst != NEAR_ROUTER.mac:
        return False
    outer = packet.payload
    return IPv6ExtHdrFragment in packet or (
        isinstance(outer, IP) and bool(outer.flags.MF or outer.frag)
    )


def whole(pieces: list[Packet]) -> Packet:
    """The frame that was cut into these."""
    head = Ether(src=pieces[0].src, dst=pieces[0].dst)
    if isinstance(pieces[0].payload, IP):
        (packet,) = defragment([piece[IP] for piece in pieces])
        packet = IP(bytes(packet))
        packet.flags, packet.frag = 0, 0
        del packet.len, packet.chksum
        return Ether(bytes(head / packet))
    packet = IPv6(bytes(defragment6([piece[IPv6] for piece in pieces])))
    return Ether(bytes(head / packet))


def test_two_pieces_are_the_packet(sites: Sites) -> None:
    """Each fits the link; together they are what an uncut packet would have been."""
    frame = full()
    counts = sites.counting()
    first = sites.wires.send_and_expect(frame, at="left", to="router", wanted=is_fragment)
    second = next(sites.wires.arriving("router", is_fragment, 1))
    assert max(len(piece.payload) for piece in (first, second)) <= 1500
    for piece in (first, second):
        same(piece, rebuilt(piece))
    seen = whole([first, second])
    same(seen, leaving(sites.underlay, frame, seen))
    counts.expect(PUNT_TUNNEL_CUT=1, HANDED_OVER=1, VXLAN_ENCAP=1, VXLAN_CUT=1)


def rebuilt(piece: Packet) -> Packet:
    """With its lengths and header checksum computed anew."""
    packet = Ether(bytes(piece))
    # The payload: scapy may look into VXLAN, where another IP header is.
    if isinstance(packet.payload, IP):
        del packet.payload.len, packet.payload.chksum
    else:
        del packet[IPv6].plen
    return packet


@pytest.mark.parametrize("df", [True, False], ids=["df", "without df"])
def test_a_kernel_makes_it_whole(sites: Sites, df: bool) -> None:
    frame, before = full(df=df), reassembled(sites)
    counts = sites.counting()
    same(sites.wires.send_and_expect(frame, at="left", to="right", wanted=is_marked), frame)
    counts.expect(PUNT_TUNNEL_CUT=1, HANDED_OVER=1, VXLAN_ENCAP=1, VXLAN_CUT=1)
    assert reassembled(sites) == before + 1


def test_flooded(sites: Sites) -> None:
    """By way of the kernel's bridge and its VXLAN device, which alone would not take it."""
    frame, before = full(dst=BROADCAST), reassembled(sites)
    counts = sites.agent.counting()
    same(sites.wires.send_and_expect(frame, at="left", to="right", wanted=is_marked), frame)
    counts.expect_some(PUNT_FLOOD=1, VXLAN_CUT=1)
    assert reassembled(sites) == before + 1


def test_of_the_gateway_itself(sites: Sites) -> None:
    """With an address in the segment it is a host there like others."""
    before = reassembled(sites)
    sites.lab.run("gw", ["ip", "addr", "add", f"{GATEWAY6}/64", "dev", BRIDGE, "nodad"])
    try:
        argv = ["ping", "-n", "-i", "0.05", "-W", "1", "-c", "5", "-s", "1452", "2001:db8:cb::14"]
        said = sites.lab.run("gw", argv, check=False)
    finally:
        sites.lab.run("gw", ["ip", "addr", "delete", f"{GATEWAY6}/64", "dev", BRIDGE])
    # The kernel at the other end cannot cut its answers: it is told that they are too big.
    assert reassembled(sites) >= before + 5, said


def test_upload(sites: Sites) -> None:
    """TCP at full size, without loss; what is under way at a time fits the ring of a veth."""
    frames = UPLOAD // 1460
    counts = sites.agent.counting()
    before, lost_before = reassembled(sites), lost(sites)
    with small_window(sites), servers(sites.lab, "right", http=[f"{RIGHT.ip}:80"]):
        path = sites.lab.directory / "upload"
        path.write_bytes(curl(sites.lab, "right", f"http://{RIGHT.ip}/blob/{UPLOAD}"))
        said = curl(sites.lab, "left", "-T", str(path), f"http://{RIGHT.ip}/")
    assert said.decode() == blob_digest(UPLOAD)
    assert reassembled(sites) >= before + frames
    counts.expect_some(PUNT_TUNNEL_CUT=frames, VXLAN_CUT=frames)
    assert lost(sites) == lost_before


@contextmanager
def small_window(sites: Sites) -> Iterator[None]:
    """The receiver asks for no more at a time than so many bytes (half of them are its own)."""
    right = sites.lab.namespace("right")
    with entered(right):
        before = RECEIVE.read_text()
    write_sysctl(right, "net/ipv4/tcp_rmem", f"4096 {WINDOW} {WINDOW}")
    try:
        yield
    finally:
        write_sysctl(right, "net/ipv4/tcp_rmem", before)


def lost(sites: Sites) -> int:
    """Segments that were sent twice, without those that had arrived (the receiver says so, RFC
    2883): on a busy machine answers are late at times."""
    return _counter(sites, "snmp", "RetransSegs") - _counter(sites, "netstat", "TCPDSACKRecv")


def _counter(sites: Sites, table: str, name: str) -> int:
    rows = sites.lab.run("left", ["cat", f"/proc/net/{table}"]).splitlines()
    for names, values in zip(rows[::2], rows[1::2], strict=True):
        if name in names.split():
            return int(values.split()[names.split().index(name)])
    raise AssertionError(name)


def test_not_to_be_cut(sites: Sites) -> None:
    """`fragment: false`: a VTEP as RFC 7348 wants it; the kernel tells the station."""
    device = "{device: vni100, vni: 100}"
    strict = NEAR_CONFIGURATION.replace(device, device.replace("}", ", fragment: false}"))
    assert strict != NEAR_CONFIGURATION
    sites.agent.apply(strict)
    counts = sites.counting()
    told = sites.wires.send_and_expect(
        full(), at="left", to="left", wanted=lambda p: ICMP in p and p[ICMP].type == 3
    )
    assert told[ICMP].code == 4
    overhead = 50 if sites.underlay is Underlay.IPV4 else 70
    assert told[ICMP].nexthopmtu == 1500 - overhead
    counts.expect(PUNT_TOO_BIG=1)
