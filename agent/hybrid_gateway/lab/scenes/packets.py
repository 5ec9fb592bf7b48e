# SPDX-License-Identifier: GPL-2.0-or-later
"""What is not just a packet of a flow: ICMP errors, path-MTU discovery, fragments."""

import hashlib
import re
import socket
import struct
from ipaddress import IPv4Address

from ..checksums import UDP, folded
from ..extension import EDGE, FAR, FAR_MTU
from ..peers import blob
from ..services import ECHO_PORT
from ..stage import SERVER, Row, Stage
from ..topology import GW_INSIDE, LAN, ROUTER

UPLOAD = 1_000_000
SEGMENT_MAX = 1200
PIECE = 1480
"""Bytes of payload in every fragment but the last, as over Ethernet."""
MORE_FRAGMENTS = 0x2000


def traceroute(stage: Stage) -> Row:
    before = stage.counters()
    said = stage.lab.run("lan", ["traceroute", "-n", "-q", "1", "-w", "2", FAR])
    moved = stage.moved(before)
    hops = re.findall(r"^ *\d+  ([0-9.]+)  ", said, re.MULTILINE)
    return Row(
        "ICMP errors",
        f"traceroute {FAR} (UDP) from {LAN.ip}",
        f"hops: {', '.join(hops)}",
        moved,
        hops == [GW_INSIDE.ip, ROUTER.ip, EDGE, FAR] and moved.get("NAT_ICMP_ERROR", 0) >= 2,
    )


def path_mtu(stage: Stage) -> Row:
    data = blob(UPLOAD)
    file = stage.lab.directory / "upload"
    file.write_bytes(data)
    before = stage.counters()
    said = stage.curl("lan", f"http://{FAR}/", "-T", str(file)).decode()
    moved = stage.moved(before)
    learned = re.search(r"mtu (\d+)", stage.lab.run("lan", ["ip", "route", "get", FAR]))
    right = said == hashlib.sha256(data).hexdigest()
    return Row(
        "Path-MTU discovery",
        f"curl of 1 MB to {FAR}, behind a link of {FAR_MTU} bytes that only {ROUTER.ip} knows of",
        f"the LAN host learned an MTU of {learned[1] if learned else 'nothing'}; the SHA-256 is "
        f"{'right' if right else 'WRONG'}",
        moved,
        right
        and learned is not None
        and int(learned[1]) == FAR_MTU
        and moved.get("NAT_ICMP_ERROR", 0) >= 1,
    )


def mss_clamp(stage: Stage) -> Row:
    with stage.configured(f"mss-clamp: {SEGMENT_MAX}"):
        before = stage.counters()
        with stage.socket("lan", socket.SOCK_STREAM) as client:
            client.connect((SERVER, 80))
            size = client.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)
        moved = stage.moved(before)
    return Row(
        "MSS clamping",
        f"`mss-clamp: {SEGMENT_MAX}`; {LAN.ip} connects to {SERVER}:80",
        f"TCP sends segments of {size} bytes",
        moved,
        # Less 12 bytes of timestamps.
        SEGMENT_MAX - 12 <= size <= SEGMENT_MAX and moved.get("NAT_MSS_CLAMPED") == 2,
    )


def fragments(stage: Stage) -> Row:
    before = stage.counters()
    count = stage.ping("lan", SERVER, 5, "-s", "4000")
    moved = stage.moved(before)
    return Row(
        "Fragments",
        f"ping -c 5 -s 4000 {SERVER}: three fragments each",
        f"{count} answers of three fragments got back",
        moved,
        count == 5 and moved.get("FORWARD", 0) >= 30 and "PUNT_FRAGMENT" not in moved,
    )


def fragments_backwards(stage: Stage) -> Row:
    payload = blob(4000)
    with (
        stage.udp_socket("lan") as client,
        stage.socket("lan", socket.SOCK_RAW, socket.IPPROTO_RAW) as raw,
    ):
        client.bind((LAN.ip, 0))
        before = stage.counters()
        for piece in reversed(_pieces(client.getsockname()[1], payload)):
            raw.sendto(piece, (SERVER, 0))
        echoed = client.recv(8192).partition(b" ")[2]
        moved = stage.moved(before)
    right = echoed == payload
    return Row(
        "Fragments, the last one first",
        f"a UDP datagram of 4000 bytes to {SERVER}:{ECHO_PORT}",
        f"the echo of all 4000 bytes is {'right' if right else 'WRONG'}",
        moved,
        right and moved.get("FRAGMENT_REPLAYED") == 2,
    )


def _pieces(port: int, payload: bytes) -> list[bytes]:
    """IPv4 packets from the LAN host's port to the echo; a raw socket adds their checksums."""
    source, target = IPv4Address(LAN.ip).packed, IPv4Address(SERVER).packed
    length = 8 + len(payload)
    ports = struct.pack("!HH", port, ECHO_PORT)
    pseudo = source + target + struct.pack("!HH", UDP, length)
    unsummed = ports + struct.pack("!HH", length, 0) + payload
    checksum = folded(pseudo + unsummed) ^ 0xFFFF or 0xFFFF
    datagram = ports + struct.pack("!HH", length, checksum) + payload
    made = []
    for begin in range(0, length, PIECE):
        part = datagram[begin : begin + PIECE]
        place = begin // 8 | (MORE_FRAGMENTS if begin + PIECE < length else 0)
        head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(part), port, place, 64, UDP, 0)
        made.append(head + source + target + part)
    return made
