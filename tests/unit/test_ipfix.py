# SPDX-License-Identifier: GPL-2.0-or-later
"""IPFIX byte by byte, as a decoder reads it, and to a collector that comes and goes."""

import socket
from collections.abc import Iterator
from dataclasses import asdict
from ipaddress import IPv4Address

import pytest
from _gw_native import lib
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.layers.netflow import NetflowDataflowsetV9, NetflowHeader, netflowv9_defragment
from scapy.plist import PacketList

from hybrid_gateway.natlog import collector as collectors
from hybrid_gateway.natlog.collector import Collector, ExportCounts
from hybrid_gateway.natlog.ipfix import HEADER, MESSAGE_MAX, Encoder
from tests.unit.log_events import (
    CLOSED,
    INSIDE,
    MAPPED,
    OFFSET,
    OPENED,
    OUTSIDE,
    REMOTE,
    UNMAPPED,
    event,
)

WHEN = "0000018bcfe5687b"
"""1 700 000 000 123 ms."""
EXPORTED = 1_700_000_001


def hexed(text: str) -> bytes:
    return bytes.fromhex(text.replace(" ", "").replace("\n", ""))


MAPPING_TEMPLATE = """
    0100 0007  0143 0008  00e6 0001  0004 0001
               0008 0004  00e1 0004  0007 0002  00e3 0002
"""
OPENED_TEMPLATE = """
    0101 0008  0143 0008  00e6 0001  0004 0001  00e5 0001
               0008 0004  00e1 0004  0007 0002  00e3 0002
"""
CLOSED_TEMPLATE = """
    0102 000c  0143 0008  00e6 0001  0004 0001  00e5 0001
               0008 0004  00e1 0004  0007 0002  00e3 0002
               0002 0008  0001 0008  8002 0008 00007279  8001 0008 00007279
"""


def messages(encoder: Encoder, events: bytes, templates: bool = False) -> list[bytes]:
    made = encoder.messages(memoryview(events), OFFSET, EXPORTED, templates=templates)
    return [message.data for message in made]


def number(value: bytes) -> int:
    return int.from_bytes(value, "big")


def test_templates_byte_by_byte() -> None:
    """RFC 7011, 3.3.1 and 3.4.1: set header, template headers, field specifiers."""
    body = hexed(MAPPING_TEMPLATE + OPENED_TEMPLATE + CLOSED_TEMPLATE)
    assert Encoder(destinations=False).templates() == hexed(f"0002 {4 + len(body):04x}") + body


def test_a_session_byte_by_byte() -> None:
    """RFC 7011, 3.1: version 10, length, time of export, sequence, domain; then a set a template.

    natEvent 4 and 5 are NAT44 session create and delete (RFC 8158, 4.3).
    """
    encoder = Encoder(destinations=False)
    encoder.sequence = 7
    (message,) = messages(encoder, OPENED + CLOSED)
    who = "c0a86e0a cb007102 c738 5ba0"
    traffic = f"{10:016x} {1500:016x} {20:016x} {30000:016x}"
    assert message == hexed(
        f"""
        000a {16 + 0x1B + 0x3B:04x} {EXPORTED:08x} 00000007 00000001
        0101 001b {WHEN} 04 06 01 {who}
        0102 003b {WHEN} 05 06 01 {who} {traffic}
        """
    )
    assert encoder.sequence == 9


def test_a_mapping_byte_by_byte() -> None:
    """natEvent 8 and 9: NAT44 BIB create and delete. Records of one template share a set."""
    (message,) = messages(Encoder(destinations=True), MAPPED + UNMAPPED)
    who = "c0a86e0a cb007102 c738 5ba0"
    assert message == hexed(
        f"""
        000a {16 + 0x30:04x} {EXPORTED:08x} 00000000 00000001
        0100 0030 {WHEN} 08 11 {who} {WHEN} 09 11 {who}
        """
    )


def test_destinations_have_templates_of_their_own() -> None:
    """RFC 6888 REQ-12: only when asked for. A collector must not mistake one for the other."""
    told, private = Encoder(destinations=True), Encoder(destinations=False)
    remote = socket.inet_aton(REMOTE[0]) + REMOTE[1].to_bytes(2, "big")
    (with_them,) = messages(told, OPENED + CLOSED)
    (without,) = messages(private, OPENED + CLOSED)
    assert with_them.count(remote) == 2
    assert remote not in without
    assert socket.inet_aton(REMOTE[0]) not in without
    assert hexed("0103") in told.templates()
    assert hexed("0103") not in private.templates()


def test_a_session_from_outside_says_so() -> None:
    (message,) = messages(
        Encoder(destinations=False),
        event(lib.GW_LOG_SESSION_OPENED, flags=lib.GW_SESSION_INBOUND),
    )
    assert message[16 + 4 + 8 + 2] == 2  # natOriginatingAddressRealm: public


def test_messages_are_cut_and_numbered() -> None:
    """Not one datagram is too long, and the sequence counts data records (RFC 7011, 3.1)."""
    encoder = Encoder(destinations=True)
    made = messages(encoder, (OPENED + CLOSED + MAPPED) * 100, templates=True)
    assert len(made) >= 10
    assert all(len(data) <= MESSAGE_MAX for data in made)
    assert all(HEADER.unpack_from(data)[1] == len(data) for data in made)
    assert encoder.sequence == 300
    assert HEADER.unpack_from(made[0])[3] == 0
    assert made[0][16:18] == b"\0\2"  # the templates come first, and once
    assert all(data[16:18] != b"\0\2" for data in made[1:])
    encoder.sequence = 0xFFFFFFFF
    messages(encoder, OPENED + OPENED)
    assert encoder.sequence == 1


def test_an_independent_decoder_reads_it() -> None:
    """Scapy names elements without their enterprise: the way back gets others for it.

    nfdump reads them as they are, see forward/test_log.py.
    """
    made = [
        data.replace(hexed("8002 0008"), hexed("8018 0008"), 1).replace(
            hexed("8001 0008"), hexed("8017 0008"), 1
        )
        for data in messages(Encoder(destinations=True), OPENED + CLOSED + MAPPED, templates=True)
    ]
    packets = [Ether() / IP() / UDP(dport=4739) / NetflowHeader(data) for data in made]
    read = netflowv9_defragment(PacketList(packets))
    records = [
        record
        for packet in read
        for part in packet[NetflowHeader].iterpayloads()
        if isinstance(part, NetflowDataflowsetV9)
        for record in part.records
    ]
    assert len(records) == 3
    opened, closed, mapped = records
    for record in records:
        assert record.observationTimeMilliseconds == 1_700_000_000_123
        assert (record.IPV4_SRC_ADDR, record.L4_SRC_PORT) == INSIDE
        assert record.postNATSourceIPv4Address == OUTSIDE[0]
        assert number(record.postNAPTSourceTransportPort) == OUTSIDE[1]
    for record in (opened, closed):
        assert (record.IPV4_DST_ADDR, record.L4_DST_PORT) == REMOTE
        assert number(record.natOriginatingAddressRealm) == 1
    assert [number(record.natEvent) for record in records] == [4, 5, 8]
    assert [record.PROTOCOL for record in records] == [6, 6, 17]
    counted = (closed.IN_PKTS, closed.IN_BYTES, closed.OUT_PKTS, closed.OUT_BYTES)
    assert tuple(map(number, counted)) == (10, 1500, 20, 30000)
    assert not hasattr(mapped, "IPV4_DST_ADDR")


# ---- the collector ------------------------------------------------------------------------


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
        opened.bind(("127.0.0.1", 0))
        opened.settimeout(2)
        yield opened


def collector(port: int) -> Collector:
    return Collector((IPv4Address("127.0.0.1"), port), ExportCounts(), destinations=False)


def test_templates_come_first_and_again(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collectors, "TEMPLATE_MESSAGES", 2)
    exporter = collector(listener.getsockname()[1])
    begins = []
    for _ in range(4):
        exporter.export(memoryview(OPENED))
        begins.append(listener.recv(2000)[16:18])
    exporter.close()
    assert begins == [b"\0\2", b"\1\1", b"\0\2", b"\1\1"]
    assert asdict(exporter.counts) == {"records": 4, "messages": 4, "lost": 0, "errors": 0}


def test_a_collector_that_is_away_is_counted_and_found_again(listener: socket.socket) -> None:
    """The kernel tells of a refusal with the next datagram, which goes out all the same."""
    address = listener.getsockname()
    listener.close()
    exporter = collector(address[1])
    for _ in range(3):
        exporter.export(memoryview(OPENED))
    assert exporter.counts.errors == 2
    assert exporter.counts.lost == 0

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
        again.bind(address)
        again.settimeout(2)
        exporter.export(memoryview(OPENED))
        first = again.recv(2000)
    exporter.close()
    assert first[16:18] == b"\0\2"  # it knows no templates
    assert HEADER.unpack_from(first)[3] == 3  # and sees by the sequence what it has missed


def test_no_way_to_the_collector() -> None:
    """A broadcast address is one that a plain socket may not connect to."""
    exporter = Collector((IPv4Address("255.255.255.255"), 4739), ExportCounts(), destinations=False)
    exporter.export(memoryview(OPENED * 3))
    exporter.export(memoryview(OPENED))
    assert asdict(exporter.counts) == {"records": 0, "messages": 0, "lost": 4, "errors": 1}
    exporter.close()
