# SPDX-License-Identifier: GPL-2.0-or-later
"""Who may send VXLAN, judged by the nftables table after reassembly: with real packets."""

import json
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from ipaddress import ip_address
from itertools import count

import pytest
from scapy.layers.inet6 import UDP, IPv6, IPv6ExtHdrFragment
from scapy.packet import Raw

from hybrid_gateway.errors import KernelError
from hybrid_gateway.lab import namespaces
from hybrid_gateway.lab.namespaces import run
from hybrid_gateway.model import FallbackTable, IPAddress, SourceFilter
from hybrid_gateway.nft import Nft

PORT = 4789
VNI, MIRRORED_VNI, OTHER_VNI = 0x010203, 0x030201, 551
HERE = {4: "10.9.0.1", 6: "fd00:9::1"}
FRIEND = {4: "10.9.0.2", 6: "fd00:9::2"}
STRANGER = {4: "10.9.0.3", 6: "fd00:9::3"}
FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
FILTERS = tuple(SourceFilter(9, VNI, PORT, family) for family in FAMILIES)
TABLE = FallbackTable(sources=FILTERS)
FRIENDS = {of: frozenset({ip_address(FRIEND[of.family])}) for of in FILTERS}
NOBODY = {of: frozenset[IPAddress]() for of in FILTERS}

Send = Callable[[str, int, int], bytes]
"""Sends VXLAN with so many bytes inside, from an address, to a VNI; returns the UDP payload."""


def vxlan(vni: int, content: bytes) -> bytes:
    """RFC 7348 section 5."""
    return struct.pack("!B3xI", 0x08, vni << 8) + content


@pytest.fixture
def receivers(site: str) -> Iterator[dict[int, socket.socket]]:
    """By IP version: what arrives at the gateway's VXLAN port, whole."""
    namespaces.ip_batch(site, [f"addr add {HERE[6]}/64 dev br0 nodad"])
    there = [f"{STRANGER[4]}/24", f"{FRIEND[6]}/64", f"{STRANGER[6]}/64"]
    namespaces.ip_batch(
        f"{site}-h", [f"addr add {one} dev h0{' nodad' * (':' in one)}" for one in there]
    )
    with ExitStack() as stack:
        found = {}
        for version, family in FAMILIES.items():
            found[version] = stack.enter_context(socket.socket(family, socket.SOCK_DGRAM))
            found[version].settimeout(5)
            found[version].bind((HERE[version], PORT))
        yield found


@pytest.fixture
def send(site: str, receivers: dict[int, socket.socket]) -> Iterator[Send]:
    """From the host; what is longer than its link is fragmented there."""
    assert receivers
    number = count()
    with ExitStack() as stack, namespaces.entered(f"{site}-h"):
        senders = {}
        for version, family in FAMILIES.items():
            for source in (FRIEND[version], STRANGER[version]):
                senders[source] = stack.enter_context(socket.socket(family, socket.SOCK_DGRAM))
                senders[source].bind((source, 0))

        def sent(source: str, vni: int, size: int) -> bytes:
            payload = vxlan(vni, next(number).to_bytes(4) + bytes(size))
            senders[source].sendto(payload, (HERE[ip_address(source).version], PORT))
            return payload

        with namespaces.entered(site):
            yield sent


def dropped(version: int) -> int:
    """By the rule for the VNI and this family."""
    name = f"vni-{VNI}-{PORT}-ip{'6' * (version == 6)}"
    listing = json.loads(run(["nft", "-j", "list", "chain", "inet", "gw", name]))["nftables"]
    rule = next(item["rule"] for item in listing if "rule" in item)
    return next(int(part["counter"]["packets"]) for part in rule["expr"] if "counter" in part)


@pytest.mark.parametrize("size", [50, 3000])
@pytest.mark.parametrize("version", [4, 6])
def test_strangers_are_dropped(
    receivers: dict[int, socket.socket], send: Send, version: int, size: int
) -> None:
    Nft().write(TABLE, FRIENDS)
    expected = []
    for vni in (VNI, OTHER_VNI, MIRRORED_VNI):
        stranger = send(STRANGER[version], vni, size)
        expected += [stranger] * (vni != VNI) + [send(FRIEND[version], vni, size)]
    assert [receivers[version].recv(9000) for _ in expected] == expected
    assert dropped(version) == 1


def fragments(source: str, payload: bytes, first: int) -> list[bytes]:
    """An IPv6 packet in two, the first with so many bytes of what follows the IPv6 header."""
    whole = bytes(IPv6(src=source, dst=HERE[6]) / UDP(sport=5000, dport=PORT) / Raw(payload))[40:]
    parts = [(0, 1, whole[:first]), (first // 8, 0, whole[first:])]
    return [
        bytes(
            IPv6(src=source, dst=HERE[6], nh=44)
            / IPv6ExtHdrFragment(nh=17, offset=offset, m=more, id=first)
            / Raw(part)
        )
        for offset, more, part in parts
    ]


@pytest.mark.parametrize("first", [8, 16, 24])
def test_the_vni_may_be_in_the_second_fragment(
    site: str, receivers: dict[int, socket.socket], first: int
) -> None:
    Nft().write(TABLE, FRIENDS)
    with (
        namespaces.entered(f"{site}-h"),
        socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW) as sender,
    ):
        for source in (STRANGER[6], FRIEND[6]):
            for fragment in fragments(source, vxlan(VNI, source.encode() + bytes(100)), first):
                sender.sendto(fragment, (HERE[6], 0))
    assert receivers[6].recv(9000) == vxlan(VNI, FRIEND[6].encode() + bytes(100))
    assert dropped(6) == 1


@pytest.mark.usefixtures("site")
def test_the_table_with_and_without_translation() -> None:
    nft = Nft()
    for table in (TABLE, FallbackTable(("br0",), "wan0", sources=FILTERS)):
        written = nft.write(table, FRIENDS)
        assert written == nft.fingerprint() == nft.write(table, FRIENDS)
    listing = run(["nft", "list", "table", "inet", "gw"])
    assert "masquerade" in listing
    assert FRIEND[6] in listing


def test_a_set_changes_without_the_table(receivers: dict[int, socket.socket], send: Send) -> None:
    nft = Nft()
    first = nft.write(TABLE)
    send(FRIEND[4], VNI, 50)
    second = nft.change(NOBODY, FRIENDS)
    expected = send(FRIEND[4], VNI, 50)
    assert receivers[4].recv(9000) == expected
    assert dropped(4) == 1  # counted since the table was written
    assert first != second == nft.fingerprint()
    assert nft.change(FRIENDS, NOBODY) == first


@pytest.mark.usefixtures("site")
def test_sets_that_somebody_changed() -> None:
    nft = Nft()
    written = nft.write(TABLE, FRIENDS)
    run(["nft", "flush", "set", "inet", "gw", f"vteps-{VNI}-{PORT}-ip6"])
    assert nft.fingerprint() != written
    with pytest.raises(KernelError, match="changing sets"):
        nft.change(FRIENDS, NOBODY)


@pytest.mark.usefixtures("site")
def test_many_vnis() -> None:
    """One rule for each port, so that the last one costs no more than the first."""
    filters = tuple(SourceFilter(9, vni, PORT, 6) for vni in range(1, 1001))
    sets = {of: frozenset({ip_address(FRIEND[6])}) for of in filters}
    nft = Nft()
    assert nft.write(FallbackTable(sources=filters), sets) == nft.fingerprint()
    chain = run(["nft", "list", "chain", "inet", "gw", "input"])
    assert chain.count("udp dport") == 1
