# SPDX-License-Identifier: GPL-2.0-or-later
"""What is counted against a host, and what is written down about it."""

import errno
import socket
import struct
import time
from collections import Counter
from contextlib import ExitStack
from ipaddress import IPv4Address

from ..services import ECHO_PORT
from ..stage import SERVER, SETTLE_SECONDS, Row, Stage, answered
from ..topology import GW_INSIDE, LAN, LAN2, ROUTER, WAN

SHARE, TRIED = 8, 12
IPFIX_PORT, IPFIX_VERSION = 4739, 10


def share_used(stage: Stage) -> Row:
    stage.gwctl("clear", "sessions")
    with stage.configured(f"per-host: {{sessions: {SHARE}}}"), ExitStack() as stack:
        before = stage.counters()
        clients = [stack.enter_context(stage.udp_socket("lan")) for _ in range(TRIED)]
        for client in clients:
            client.connect((SERVER, ECHO_PORT))
            client.send(b"question")
        # On a veth device an answer by XDP_TX waits until another frame pushes it.
        stage.ping("lan", GW_INSIDE.ip, 2)
        told = Counter(_what_came(client) for client in clients)
        other = answered(stack.enter_context(stage.udp_socket("lan2")))
        moved = stage.moved(before)
    return Row(
        "A host that has used its share",
        f"{TRIED} sockets of {LAN.ip} ask, which may hold {SHARE} sessions; then one of {LAN2.ip}",
        f"{told['']} answers, {told['EHOSTUNREACH']} times 'no route to host' (ICMP 3/13); "
        f"the other host is answered as {other}",
        moved,
        told == {"": SHARE, "EHOSTUNREACH": TRIED - SHARE}
        and other.startswith(WAN.ip)
        and moved.get("NAT_REFUSAL") == TRIED - SHARE,
    )


def _what_came(client: socket.socket) -> str:
    """Empty for an answer, otherwise the name of the error."""
    try:
        client.recv(200)
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, type(error).__name__)
    return ""


def session_log(stage: Stage) -> Row:
    with ExitStack() as stack:
        syslog = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        syslog.bind(str(stage.syslog))
        stack.callback(stage.syslog.unlink)
        collector = stack.enter_context(stage.udp_socket("wan"))
        collector.bind((ROUTER.ip, IPFIX_PORT))
        stack.enter_context(
            stage.configured(f'log: {{sessions: true, ipfix: "{ROUTER.ip}:{IPFIX_PORT}"}}')
        )
        before = stage.counters()
        client = stack.enter_context(stage.udp_socket("lan"))
        endpoint = answered(client)
        inside = client.getsockname()[1]
        line = _line(syslog, f"open udp inside={LAN.ip}:{inside} outside={endpoint}")
        exported = _exported(collector, inside, int(endpoint.partition(":")[2]))
        moved = stage.moved(before)
    return Row(
        "Session log",
        "a UDP session, with a syslog daemon and an IPFIX collector",
        f"syslog: {line or 'NOTHING'}; IPFIX: {'the same' if exported else 'NOTHING'}",
        moved,
        bool(line) and exported and endpoint.startswith(WAN.ip),
    )


def _line(syslog: socket.socket, wanted: str) -> str:
    """The log's line that has this in it, without what syslog puts before it and the time."""
    syslog.settimeout(SETTLE_SECONDS)
    deadline = time.monotonic() + SETTLE_SECONDS
    while time.monotonic() < deadline:
        line = syslog.recv(2000).decode()
        if wanted in line:
            return line[line.index("nat44") :].partition(" time=")[0]
    return ""


def _exported(collector: socket.socket, inside: int, outside: int) -> bool:
    """Whether an IPFIX message came that has both endpoints in it, as they are on the wire."""
    addresses = IPv4Address(LAN.ip).packed + IPv4Address(WAN.ip).packed
    wanted = addresses + struct.pack("!HH", inside, outside)
    deadline = time.monotonic() + SETTLE_SECONDS
    while time.monotonic() < deadline:
        message = collector.recv(65536)
        version, length = struct.unpack_from("!HH", message)
        if (version, length) != (IPFIX_VERSION, len(message)):
            return False
        if wanted in message:
            return True
    return False
