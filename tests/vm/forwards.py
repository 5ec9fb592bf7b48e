# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs in the guest: static mappings in kernel mode, with connections through them.

Prints a JSON object: the ports that answered on the inside by the outside ones that were called,
and whether the table is listed as it was written.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import socket
import subprocess
from contextlib import ExitStack
from ipaddress import IPv4Address
from pathlib import Path

from hybrid_gateway.model import Backend, FallbackTable, Identity, PortForward, Protocol
from hybrid_gateway.nft import Nft

HOST, OUTSIDE, CLIENT = "10.9.0.2", "203.0.113.2", "203.0.113.1"
TCP = Protocol.TCP
SECONDS = 60
NETWORK = """
set -e
echo 1 >/proc/sys/net/ipv4/ip_forward
for side in in out; do
    ip netns add $side
    ip link add $side type veth peer name eth0 netns $side
    ip link set $side up
    ip -n $side link set lo up
    ip -n $side link set eth0 up
done
ip addr add 10.9.0.1/24 dev in
ip addr add 203.0.113.2/24 dev out
ip -n in addr add 10.9.0.2/24 dev eth0
ip -n in route add default via 10.9.0.1
ip -n out addr add 203.0.113.1/24 dev eth0
ip -n out route add 10.9.0.0/24 via 203.0.113.2
"""
STATIC = (
    PortForward(TCP, None, 5000, IPv4Address(HOST), 6000, ports=100),
    PortForward(
        TCP,
        None,
        443,
        IPv4Address(HOST),
        443,
        backends=(Backend(IPv4Address(HOST), 443, 2), Backend(IPv4Address(HOST), 8443)),
    ),
    Identity(TCP, IPv4Address(HOST), 4789),
)
INSIDE = (6000, 6042, 6099, 443, 8443, 4789)
CALLED = ((OUTSIDE, 5000), (OUTSIDE, 5042), (OUTSIDE, 5099), (HOST, 4789))


def enter(name: str) -> None:
    """The namespace of that name; os.setns came with Python 3.12."""
    handle = os.open(Path("/run/netns", name), os.O_RDONLY)
    if ctypes.CDLL(None, use_errno=True).setns(handle, 0):
        raise OSError(ctypes.get_errno(), "setns")
    os.close(handle)


def answered(servers: dict[int, socket.socket], to: tuple[str, int]) -> int:
    """The inside port that a connection to this outside endpoint comes out at."""
    with socket.create_connection(to, timeout=SECONDS) as client:
        ready, _, _ = select.select(servers.values(), [], [], SECONDS)
        for port, server in servers.items():
            if server in ready:
                accepted, peer = server.accept()
                accepted.close()
                assert peer == client.getsockname()
                return port
    raise AssertionError(f"a connection to {to} that nobody accepted")


def main() -> None:
    subprocess.run(["sh", "-c", NETWORK], check=True)
    try:
        print(json.dumps(found()))
    finally:
        for name in ("in", "out"):
            subprocess.run(["ip", "netns", "delete", name], check=True)


def found() -> dict[str, object]:
    """What is printed."""
    table = FallbackTable(("in",), "out", static=STATIC, hairpin=(IPv4Address(OUTSIDE),), mss=1400)
    nft = Nft()
    written = nft.write(table)
    stable = nft.fingerprint() == written == nft.write(table)
    with ExitStack() as stack:
        enter("in")
        servers = {port: socket.create_server((HOST, port), backlog=64) for port in INSIDE}
        for server in servers.values():
            stack.enter_context(server)
        enter("out")
        ports = {
            f"{address}:{port}": answered(servers, (address, port)) for address, port in CALLED
        }
        shared = [answered(servers, (OUTSIDE, 443)) for _ in range(60)]
    return {"stable": stable, "ports": ports, "shared": shared}


if __name__ == "__main__":
    main()
