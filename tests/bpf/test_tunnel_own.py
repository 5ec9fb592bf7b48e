# SPDX-License-Identifier: GPL-2.0-or-later
"""gw_tunnel and what the host itself sends: the checksums of that are left to a device."""

import socket
import subprocess
from collections.abc import Iterator

import pytest

from hybrid_gateway.lab import namespaces

from .tunnelling import STATION, Tunnelling
from .underlay import MTU, UNDERLAY_ROW

NETWORKS = {socket.AF_INET: "10.9.0.{}", socket.AF_INET6: "fd09::{}"}
HEADERS = {socket.AF_INET: 20, socket.AF_INET6: 40}
TIMESTAMPS = 12
OWN = "02:00:00:00:00:b0"
WAITS = 3.0


@pytest.fixture(autouse=True)
def _hosts(tunnelling: Tunnelling) -> Iterator[None]:
    """An address at either end of the tunnel, in the bridge and in the other VXLAN device."""
    ends = (
        (tunnelling.underlay.gateway, "br0", 1),
        (tunnelling.underlay.peer, tunnelling.device, 2),
    )
    namespaces.ip_batch(ends[0][0], [f"link set br0 address {OWN}"])
    namespaces.ip_batch(ends[1][0], [f"link set {tunnelling.device} address {STATION}"])
    for namespace, device, number in ends:
        lines = []
        for family, network in NETWORKS.items():
            nodad = "nodad" if family == socket.AF_INET6 else ""
            prefix = 24 if family == socket.AF_INET else 64
            lines.append(f"addr add {network.format(number)}/{prefix} dev {device} {nodad}")
            mac = STATION if number == 1 else OWN
            lines.append(f"neigh replace {network.format(3 - number)} lladdr {mac} dev {device}")
        namespaces.ip_batch(namespace, lines)
    fdb = f"bridge fdb replace {STATION} dev {tunnelling.device} master static"
    with namespaces.entered(tunnelling.underlay.gateway):
        subprocess.run(fdb.split(), check=True)
    yield
    for namespace, device, _ in ends:
        namespaces.ip_batch(namespace, [f"addr flush dev {device}"])


@pytest.fixture(params=["on", "off"], autouse=True)
def _underlay_offload(tunnelling: Tunnelling, request: pytest.FixtureRequest) -> Iterator[None]:
    """Whether the underlay's device does checksums: else the kernel does, in what it sends."""
    with namespaces.entered(tunnelling.underlay.gateway):
        subprocess.run(["ethtool", "-K", "und0", "tx", request.param], check=True)
    yield
    with namespaces.entered(tunnelling.underlay.gateway):
        subprocess.run(["ethtool", "-K", "und0", "tx", "on"], check=True)


@pytest.mark.parametrize("family", NETWORKS)
def test_datagrams(tunnelling: Tunnelling, family: socket.AddressFamily) -> None:
    target = (NETWORKS[family].format(2), 7000)
    with namespaces.entered(tunnelling.underlay.peer):
        server = socket.socket(family, socket.SOCK_DGRAM)
    with namespaces.entered(tunnelling.underlay.gateway):
        client = socket.socket(family, socket.SOCK_DGRAM)
    with server, client:
        server.bind(target)
        server.settimeout(WAITS)
        longest = MTU - HEADERS[family] - 8
        for size in (longest - 1, longest):
            data = bytes(i % 251 for i in range(size))
            client.sendto(data, target)
            assert server.recv(MTU) == data
    assert (tunnelling.whole, tunnelling.cut(UNDERLAY_ROW)) == (2, 2)


@pytest.mark.parametrize("family", NETWORKS)
def test_one_full_segment(tunnelling: Tunnelling, family: socket.AddressFamily) -> None:
    """No GSO packet, which the VXLAN device would answer with a smaller path MTU."""
    target = (NETWORKS[family].format(2), 7001)
    with namespaces.entered(tunnelling.underlay.peer):
        server = socket.create_server(target, family=family)
        server.settimeout(WAITS)
    with namespaces.entered(tunnelling.underlay.gateway):
        client = socket.socket(family)
    with server, client:
        client.connect(target)
        accepted, _ = server.accept()
        with accepted:
            accepted.settimeout(WAITS)
            data = bytes(i % 251 for i in range(MTU - HEADERS[family] - 20 - TIMESTAMPS))
            client.sendall(data)
            assert accepted.recv(MTU) == data
    assert tunnelling.whole >= 1
