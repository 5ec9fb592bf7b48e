# SPDX-License-Identifier: GPL-2.0-or-later
"""A path to measure: generator, middle and sink, each a namespace of its own."""

import json
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Self

NETNS = Path("/run/netns")
INSIDE = "10.64.0.0/16"
INSIDE_ADDRESS = "10.64.0.1/16"
HOSTS = "10.64.1.0"
"""The generator's first address, and the next ones after it."""
OUTSIDE_ADDRESS = "203.0.113.2/24"
NEXT_HOP = "203.0.113.1"

# What the gateway is configured with, by the agent or without it.
ROOT = Path(__file__).resolve().parents[2]
SESSIONS = 1 << 18
MILLION = 1_000_000
PORTS = (20000, 49999)


def run(argv: Sequence[str], timeout: float = 60, stdin: str = "") -> str:
    """Standard output of a program that has to succeed."""
    done = subprocess.run(
        argv, input=stdin, capture_output=True, text=True, timeout=timeout, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(argv)}: {done.stderr.strip() or done.returncode}")
    return done.stdout


def inside_netns(netns: str, argv: Sequence[str]) -> list[str]:
    """`ip netns exec` would mount another /sys, which hides the BPF file system."""
    return ["nsenter", f"--net={NETNS / netns}", "--", *argv]


@dataclass(frozen=True)
class Names:
    generator: str
    middle: str
    sink: str


class MeasuredPath:
    """gen0 -- lan0 [middle] wan0 -- sink0; the middle forwards what a measurement puts there.

    With several queues, each core has its own all along the way.
    """

    def __init__(self, label: str, queues: int = 1) -> None:
        stem = f"gwbench{os.getpid()}-{label}"
        self.label = label
        self._queues = queues
        self.names = Names(f"{stem}-gen", f"{stem}-mid", f"{stem}-sink")

    def __enter__(self) -> Self:
        try:
            self._build()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    def remove(self) -> None:
        for netns in (self.names.generator, self.names.middle, self.names.sink):
            subprocess.run(["ip", "netns", "del", netns], capture_output=True, check=False)

    def middle(self, *argv: str) -> str:
        return run(inside_netns(self.names.middle, argv))

    def sysctl(self, name: str, value: int | str) -> None:
        self.middle("sysctl", "-qw", f"{name}={value}")

    def mac(self, netns: str, device: str) -> str:
        links = json.loads(run(["ip", "-j", "-n", netns, "link", "show", "dev", device]))
        return str(links[0]["address"])

    def resolve_next_hop(self) -> None:
        """The sink hands ARP and ICMP to its kernel, so the next hop is an ordinary neighbour."""
        self.middle("ping", "-q", "-c", "1", "-W", "2", NEXT_HOP)

    def resolve_inside(self, hosts: int) -> None:
        """Answers find their way to this many inside addresses from HOSTS on; nobody answers ARP
        for them."""
        mac, first = self.mac(self.names.generator, "gen0"), IPv4Address(HOSTS)
        lines = (f"neighbour replace {first + n} lladdr {mac} dev lan0" for n in range(hosts))
        run(["ip", "-n", self.names.middle, "-batch", "-"], stdin="\n".join(lines))

    def _build(self) -> None:
        names = self.names
        for netns in (names.generator, names.middle, names.sink):
            run(["ip", "netns", "add", netns])
            # Router solicitations and the like would be frames that nobody asked for.
            run(inside_netns(netns, ["sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1"]))
            run(inside_netns(netns, ["sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1"]))
        self._wire(names.generator, "gen0", "lan0")
        self._wire(names.sink, "sink0", "wan0")
        self.furnish()

    def furnish(self) -> None:
        """Addresses and routes; the devices are there and up."""
        middle, sink = self.names.middle, self.names.sink
        run(["ip", "-n", middle, "address", "add", INSIDE_ADDRESS, "dev", "lan0"])
        run(["ip", "-n", middle, "address", "add", OUTSIDE_ADDRESS, "dev", "wan0"])
        run(["ip", "-n", middle, "route", "add", "default", "via", NEXT_HOP])
        run(["ip", "-n", sink, "address", "add", f"{NEXT_HOP}/24", "dev", "sink0"])
        self.sysctl("net.ipv4.ip_forward", 1)

    def _wire(self, outer: str, outer_device: str, device: str) -> None:
        middle = self.names.middle
        queues = ["numrxqueues", str(self._queues), "numtxqueues", str(self._queues)]
        peer = ["peer", "name", outer_device, "netns", outer, *queues]
        run(["ip", "link", "add", device, "netns", middle, *queues, "type", "veth", *peer])
        for netns, name in ((middle, device), (outer, outer_device)):
            run(["ip", "-n", netns, "link", "set", name, "up"])
        # veth drops what is redirected to it unless the receiving end has GRO or an XDP program.
        self.middle("ethtool", "-K", device, "gro", "on")
