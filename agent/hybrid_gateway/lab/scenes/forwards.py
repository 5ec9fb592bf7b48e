# SPDX-License-Identifier: GPL-2.0-or-later
"""From the Internet, and from the LAN itself, to what is mapped statically."""

import socket
from contextlib import ExitStack

from ..stage import SEGMENT, SERVER, Row, Stage, same_blob
from ..topology import LAN, LAN2, ONE_TO_ONE, WAN

RANGE = f'  - {{protocol: tcp, outside: ":5000-5099", inside: "{LAN.ip}:6000-6099"}}'
SHARED = (
    f'  - {{protocol: tcp, outside: ":443", inside: [{{to: "{LAN.ip}:443", weight: 2}}, '
    f'{{to: "{LAN2.ip}:443"}}]}}'
)
CLIENTS = 300
FEWEST, MOST = 159, 241
"""Of these for the first of two, by two to one: five deviations around 200."""


def port_forward(stage: Stage) -> Row:
    before = stage.counters()
    size = 1_000_000
    right = same_blob(stage.curl("wan", f"http://{WAN.ip}:8080/blob/{size}"), size)
    moved = stage.moved(before)
    return Row(
        "Port forward",
        f"curl of 1 MB from the Internet to {WAN.ip}:8080",
        f"{LAN.ip}:80 answered; the SHA-256 is {'right' if right else 'WRONG'}",
        moved,
        right and moved.get("FORWARD", 0) > size / SEGMENT,
    )


def port_range(stage: Stage) -> Row:
    taken = []
    with stage.configured(RANGE), stage.socket("wan", socket.SOCK_STREAM) as client:
        client.bind((SERVER, 0))
        before = stage.counters()
        with stage.socket("lan", socket.SOCK_STREAM) as listener:
            listener.bind((LAN.ip, 6042))
            listener.listen()
            client.connect((WAN.ip, 5042))
            accepted, caller = listener.accept()
            with accepted:
                taken = [*accepted.getsockname(), *caller]
        moved = stage.moved(before)
    return Row(
        "Range of ports",
        f"ports 5000 to 5099 lead to {LAN.ip}:6000 and on; {SERVER} calls {WAN.ip}:5042",
        f"{taken[0]}:{taken[1]} accepted a call from {taken[2]}",
        moved,
        taken[:3] == [LAN.ip, 6042, SERVER] and moved.get("NAT_NEW_SESSION") == 1,
    )


def shared(stage: Stage) -> Row:
    with stage.configured(SHARED), ExitStack() as stack:
        listeners = []
        for host in ("lan", "lan2"):
            listener = stack.enter_context(stage.socket(host, socket.SOCK_STREAM))
            listener.bind(("", 443))
            listener.listen(CLIENTS)
            listeners.append(listener)
        before = stage.counters()
        for _ in range(CLIENTS):
            client = stack.enter_context(stage.socket("wan", socket.SOCK_STREAM))
            client.connect((WAN.ip, 443))
        first, second = (_accepted(listener) for listener in listeners)
        moved = stage.moved(before)
    return Row(
        "Load-shared forward",
        f"{CLIENTS} connections to {WAN.ip}:443, two servers by two to one",
        f"{LAN.ip} got {first}, {LAN2.ip} got {second}",
        moved,
        first + second == CLIENTS
        and FEWEST <= first <= MOST
        and moved.get("NAT_NEW_SESSION") == CLIENTS,
    )


def _accepted(listener: socket.socket) -> int:
    """How many connections wait at it."""
    listener.setblocking(False)
    count = 0
    while True:
        try:
            listener.accept()[0].close()
        except BlockingIOError:
            return count
        count += 1


def one_to_one(stage: Stage) -> Row:
    with stage.configured(f'  - {{outside: "{ONE_TO_ONE}", inside: "{LAN2.ip}"}}'):
        before = stage.counters()
        who = stage.curl("lan2", f"http://{SERVER}/whoami").decode()
        count = stage.ping("wan", str(ONE_TO_ONE), 5)
        moved = stage.moved(before)
    return Row(
        "1:1 mapping",
        f"curl from {LAN2.ip}; ping -c 5 {ONE_TO_ONE} from the Internet",
        f"a client at {who}; {count} answers got back",
        moved,
        who.startswith(f"{ONE_TO_ONE}:") and count == 5 and moved.get("FORWARD", 0) >= 18,
    )


def hairpin(stage: Stage) -> Row:
    before = stage.counters()
    who = stage.curl("lan2", f"http://{WAN.ip}:8080/whoami").decode()
    moved = stage.moved(before)
    return Row(
        "Hairpin",
        f"curl from the second LAN host to {WAN.ip}:8080",
        f"{LAN.ip} saw a client at {who}",
        moved,
        who.startswith(f"{WAN.ip}:") and moved.get("FORWARD", 0) >= 8,
    )
