# SPDX-License-Identifier: GPL-2.0-or-later
"""The namespace of the mirror's tests, and what is to be mirrored of it."""

import os
import socket
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from ipaddress import ip_address

from hybrid_gateway.bpf.stations import FdbMirror
from hybrid_gateway.lab import namespaces
from hybrid_gateway.model import MirrorPort, Segment, Stations
from tests.lib.gateway import eventually

LOCAL, LOCAL6 = "192.0.2.1", "2001:db8:1::1"
FAR, FAR2 = "198.51.100.1", "198.51.100.2"
FAR6 = "2001:db8:2::1"
ALL_ZERO = "00:00:00:00:00:00"


class Wires:
    """A namespace with p0, p1 and p6, each a veth whose peer is h0, h1 or h6; up and running.

    Made once: the kernel takes up to a second to see that a link is up.
    """

    def __init__(self, stack: ExitStack) -> None:
        self.name = f"gwmir{os.getpid()}"
        stack.callback(namespaces.delete, self.name)
        namespaces.add(self.name)
        namespaces.ip_batch(
            self.name,
            [
                "link set lo up",
                f"addr add {LOCAL}/32 dev lo",
                f"addr add {LOCAL6}/128 dev lo",
                *(f"link add p{i} type veth peer name h{i}" for i in "016"),
                # Nobody says anything that a test does not know of.
                *(f"link set {end}{i} addrgenmode none" for i in "016" for end in "hp"),
                *(f"link set {end}{i} up" for i in "016" for end in "hp"),
            ],
        )
        eventually(lambda: self._running() == 6, "the links are up")

    def _running(self) -> int:
        return namespaces.run(["ip", "-n", self.name, "link"]).count("state UP")


class Site:
    """In the wires' namespace: br0 with p0 (XDP), p1 (not) and vx4; br6 with p6 (XDP) and vx6."""

    def __init__(self, wires: Wires, stack: ExitStack) -> None:
        self.name = wires.name
        stack.callback(self._remove)
        namespaces.ip_batch(
            self.name,
            [
                "link add br0 type bridge",
                "link add br6 type bridge",
                f"link add vx4 type vxlan id 100 local {LOCAL} dstport 4789",
                f"link add vx6 type vxlan id 600 local {LOCAL6} dstport 4789",
                *(f"link set {device} up" for device in ("br0", "br6", "vx4", "vx6")),
                *(f"link set {port} master br0" for port in ("p0", "p1", "vx4")),
                *(f"link set {port} master br6" for port in ("p6", "vx6")),
            ],
        )

    def _remove(self) -> None:
        """Those that are still there."""
        for device in ("br0", "br6", "vx4", "vx6"):
            namespaces.run(["ip", "-n", self.name, "link", "del", device], check=False)
        namespaces.run(["ip", "-n", self.name, "nexthop", "flush"], check=False)

    def index(self, device: str) -> int:
        return socket.if_nametoindex(device)

    def bridge(self, *lines: str) -> None:
        """`bridge` commands, all in one process."""
        namespaces.run(["bridge", "-batch", "-"], stdin="\n".join(lines) + "\n")

    def ip(self, *lines: str) -> None:
        namespaces.ip_batch(self.name, lines)

    def station(self, mac: str, port: str = "p0", how: str = "dynamic") -> None:
        self.bridge(f"fdb replace {mac} dev {port} master {how}")

    def remote(self, mac: str, vtep: str, device: str = "vx4", more: str = "") -> None:
        """As FRR does it: the VXLAN device knows the VTEP, the bridge the device."""
        self.bridge(
            f"fdb replace {mac} dev {device} dst {vtep} self {more}",
            f"fdb replace {mac} dev {device} master static",
        )

    # ---- what is mirrored -------------------------------------------------------------

    def port(self, device: str, bridge: str = "br0", *, xdp: bool = False) -> MirrorPort:
        tunnel = device.startswith("vx")
        return MirrorPort(
            self.index(device), self.index(bridge), device, xdp=xdp, tunnel=tunnel, ageing=300
        )

    def segment(self) -> Segment:
        return Segment(
            ifindex=self.index("vx4"),
            name="vx4",
            vni=100,
            bridge=self.index("br0"),
            bridge_name="br0",
            port=4789,
            family=4,
            local=ip_address(LOCAL),
            learns=True,
        )

    def segment6(self) -> Segment:
        return replace(
            self.segment(),
            ifindex=self.index("vx6"),
            name="vx6",
            vni=600,
            bridge=self.index("br6"),
            bridge_name="br6",
            family=6,
            local=ip_address(LOCAL6),
        )

    def ports(self) -> tuple[MirrorPort, ...]:
        return (
            self.port("p0", xdp=True),
            self.port("p1"),
            self.port("vx4"),
            self.port("p6", "br6", xdp=True),
            self.port("vx6", "br6"),
        )

    def wanted(self, *segments: Segment) -> Stations:
        return Stations(self.ports(), segments or (self.segment(), self.segment6()))

    def neighbours(self, device: str) -> Sequence[str]:
        return namespaces.run(["ip", "neigh", "show", "dev", device]).splitlines()

    def fdb(self, device: str) -> dict[str, str]:
        """First word of a line of `bridge fdb` (the MAC address) and the rest, by MAC address."""
        lines = namespaces.run(["bridge", "-s", "fdb", "show", "dev", device]).splitlines()
        return {line.split()[0]: line for line in lines}


def settled(mirror: FdbMirror) -> None:
    """What has happened until now is in the maps."""
    events = mirror.read()
    while events.more or events.syncing:
        events = mirror.read()
    assert not events.failed
