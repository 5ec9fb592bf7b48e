# SPDX-License-Identifier: GPL-2.0-or-later
"""The judge of the forwarding tests is itself judged: it finds what it must find."""

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet, Raw

from hybrid_gateway.lab.checksums import faults, folded, source_of

GOOD = {
    "udp": IP(src="203.0.113.2", dst="198.51.100.10") / UDP(sport=1, dport=2) / Raw(b"odd"),
    "tcp": IP(src="203.0.113.2", dst="198.51.100.10") / TCP(sport=1, dport=2) / Raw(b"even"),
    "icmp": IP(src="203.0.113.2", dst="198.51.100.10") / ICMP(id=7) / Raw(b"x" * 99),
    "no udp checksum": IP(src="203.0.113.2", dst="198.51.100.10") / UDP(chksum=0),
    "other protocol": IP(src="203.0.113.2", dst="198.51.100.10", proto=253) / Raw(b"x"),
    "arp": ARP(psrc="203.0.113.2", pdst="203.0.113.1"),
}


def found(packet: Packet) -> list[str]:
    return list(faults(bytes(Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / packet)))


@pytest.mark.parametrize("name", GOOD)
def test_right_frames_pass(name: str) -> None:
    assert found(GOOD[name]) == []


@pytest.mark.parametrize("layer", [IP, UDP, TCP, ICMP])
def test_a_wrong_checksum_is_found(layer: type[Packet]) -> None:
    name = {IP: "udp", UDP: "udp", TCP: "tcp", ICMP: "icmp"}[layer]
    wrong = Ether(bytes(Ether() / GOOD[name]))
    wrong[layer].chksum ^= 0x0100
    assert ["checksum" in fault for fault in faults(bytes(wrong))] == [True]


@pytest.mark.parametrize("source", ["192.168.110.10", "10.0.0.1", "172.31.255.255"])
def test_an_inside_source_is_found(source: str) -> None:
    assert "inside source" in found(IP(src=source, dst="198.51.100.10") / UDP())[0]
    assert "ARP from" in found(ARP(psrc=source, pdst="203.0.113.1"))[0]


def test_padding_is_no_part_of_the_packet() -> None:
    frame = bytes(Ether() / GOOD["udp"])
    assert list(faults(frame + b"\xff" * 20)) == []
    assert "bytes of a packet of" in next(iter(faults(frame[:-1])))


@pytest.mark.parametrize(
    ("data", "total"), [(b"", 0), (b"\0\0", 0), (b"\xff\xff", 0xFFFF), (b"\xff\xff\0\1", 1)]
)
def test_one_s_complement_sum(data: bytes, total: int) -> None:
    assert folded(data) == total


def test_source_of() -> None:
    assert source_of(bytes(Ether() / GOOD["udp"])) == "203.0.113.2"
    assert source_of(bytes(Ether() / GOOD["arp"])) is None
