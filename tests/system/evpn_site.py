# SPDX-License-Identifier: GPL-2.0-or-later
"""The namespace of the tests of EVPN's side of the kernel, and what there is in it."""

import json
import os
import select
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from hybrid_gateway.evpn.entries import (
    EntryRefused,
    KernelEntry,
    LocalChange,
    LocalFact,
    RemoteMac,
)
from hybrid_gateway.evpn.kernel import EvpnKernel
from hybrid_gateway.lab import namespaces
from hybrid_gateway.model import IPAddress, Segment

VNI, VNI6, ROUTED = 550, 660, 5000
HERE = {4: ip_address("192.0.2.1"), 6: ip_address("2001:db8:0:1::11")}
FAR = {4: ip_address("192.0.2.2"), 6: ip_address("2001:db8:0:2::11")}
OTHER = {4: ip_address("192.0.2.3"), 6: ip_address("2001:db8:0:3::11")}
DEVICES = {VNI: ("vx550", "br550"), VNI6: ("vx660", "br660"), ROUTED: ("vx5000", "br5000")}
SMALL = 4096
"""Bytes."""
ALL = "00:00:00:00:00:00"


def mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


class Site:
    """br550 (10.55.0.1/24) with p0 and vx550 over IPv4, br660 with p6 and vx660 over IPv6, br5000
    with vx5000; the test runs inside."""

    def __init__(self, stack: ExitStack) -> None:
        self.name = f"gwevk{os.getpid()}"
        stack.callback(namespaces.delete, self.name)
        namespaces.add(self.name)
        namespaces.write_sysctl(self.name, "net/ipv6/conf/default/accept_dad", "0")
        namespaces.write_sysctl(self.name, "net/ipv4/ip_forward", "1")
        self.ip(
            "link set lo up",
            f"addr add {HERE[4]}/32 dev lo",
            f"addr add {HERE[6]}/128 dev lo",
            "link add p0 type veth peer name h0",
            "link add p6 type veth peer name h6",
        )
        for port in ("0", "6"):
            self.quiet(port)
        for vni in DEVICES:
            self.make(vni)
        self.ip("link set p0 master br550", "link set p6 master br660")
        self.ip("addr add 10.55.0.1/24 dev br550")
        stack.enter_context(namespaces.entered(self.name))
        eventually(lambda: "state UP" in self.run("ip", "link", "show", "br550"), "br550 is up")
        eventually(lambda: "state UP" in self.run("ip", "link", "show", "br660"), "br660 is up")

    def quiet(self, port: str) -> None:
        """Brings up a port and its far end, which say nothing that a test does not know of."""
        for end in (f"p{port}", f"h{port}"):
            namespaces.write_sysctl(self.name, f"net/ipv6/conf/{end}/disable_ipv6", "1")
            self.ip(f"link set {end} up")

    def make(self, vni: int) -> None:
        """The bridge, unless it is there, and the VXLAN device."""
        device, bridge = DEVICES[vni]
        local = HERE[6 if vni == VNI6 else 4]
        namespaces.run(
            ["ip", "-n", self.name, "link", "add", bridge, "type", "bridge"], check=False
        )
        self.ip(
            f"link set {bridge} addrgenmode none",
            f"link add {device} type vxlan id {vni} local {local} dstport 4789 nolearning",
            f"link set {device} master {bridge} addrgenmode none",
            f"link set {device} up",
            f"link set {bridge} up",
        )

    def ip(self, *lines: str, force: bool = False) -> None:
        self._batch("ip", lines, force=force)

    def bridge(self, *lines: str, force: bool = False) -> None:
        self._batch("bridge", lines, force=force)

    def _batch(self, tool: str, lines: Sequence[str], *, force: bool) -> None:
        """`force`: what fails does not matter."""
        argv = [tool, "-n", self.name, *(["-force"] if force else []), "-batch", "-"]
        if lines:
            namespaces.run(argv, stdin="\n".join(lines) + "\n", check=not force)

    def index(self, device: str) -> int:
        return socket.if_nametoindex(device)

    def run(self, *argv: str) -> str:
        return namespaces.run([argv[0], "-n", self.name, *argv[1:]])

    def fdb(self, device: str) -> list[dict[str, Any]]:
        """As `bridge` shows it, without what the kernel has put there itself."""
        rows: list[dict[str, Any]] = json.loads(
            self.run("bridge", "-j", "fdb", "show", "dev", device)
        )
        return [row for row in rows if not row["mac"].startswith(("33:33", "01:00"))]

    def macs(self, device: str, station: str) -> list[dict[str, Any]]:
        return [row for row in self.fdb(device) if row["mac"] == station]

    def floods(self, device: str) -> set[str]:
        return {row["dst"] for row in self.fdb(device) if row["mac"] == ALL and "dst" in row}

    def neighbours(self, device: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for family in ("-4", "-6"):
            show = ["neigh", "show", "dev", device, "nud", "all"]
            found += json.loads(self.run("ip", "-j", "-d", family, *show))
        return [row for row in found if not row["dst"].startswith(("ff02", "224."))]

    def routes(self, table: str = "main") -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for family in ("-4", "-6"):
            show = ["ip", "-n", self.name, "-j", "-d", family, "route", "show", "table", table]
            text = namespaces.run(show, check=False)
            found += [
                row
                for row in json.loads(text if text.strip().endswith("]") else "[]")
                if row.get("protocol") == "179"
            ]
        return found

    def segments(self, *vnis: int) -> list[Segment]:
        return [self.segment(vni) for vni in vnis or DEVICES]

    def segment(self, vni: int) -> Segment:
        device, bridge = DEVICES[vni]
        family = 6 if vni == VNI6 else 4
        return Segment(
            ifindex=socket.if_nametoindex(device),
            name=device,
            vni=vni,
            bridge=socket.if_nametoindex(bridge),
            bridge_name=bridge,
            port=4789,
            family=family,
            local=HERE[family],
        )


class Follower:
    """An EvpnKernel and what it told so far."""

    def __init__(self, stack: ExitStack, record: Path | None = None) -> None:
        self.kernel = EvpnKernel(record)
        stack.callback(self.kernel.close)
        self.changes: list[LocalChange] = []
        self.refused: list[EntryRefused] = []
        self.synced = 0

    def follow(self, segments: Iterable[Segment]) -> None:
        """Until all that there is was told."""
        before = self.synced
        self.kernel.follow(segments)
        self.until(lambda: self.synced > before, "it is synced")

    def put(self, entries: Iterable[KernelEntry]) -> list[EntryRefused]:
        """A station of this side that becomes a remote one is forgotten, without a word."""
        wanted = list(entries)
        refused = self.kernel.put(wanted)
        stations = {("station", one.vni, one.mac) for one in wanted if isinstance(one, RemoteMac)}
        self.changes += [
            LocalChange(fact, gone=True) for fact in self.facts() if fact.key in stations
        ]
        return refused

    def until(self, true: Callable[[], object], what: str, seconds: float = 10.0) -> None:
        """Reads whenever the descriptor says so, as a thread does that waits for it."""
        end = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < end, f"{what}: {self.changes}"
            if select.select([self.kernel], [], [], 0.05)[0]:
                news = self.kernel.read()
                self.changes += news.changes
                self.refused += news.refused
                self.synced += news.synced

    def facts(self) -> set[LocalFact]:
        """What is there by what was told."""
        there: dict[object, LocalFact] = {}
        for change in self.changes:
            if change.gone:
                assert there.pop(change.fact.key) == change.fact
            else:
                there[change.fact.key] = change.fact
        return set(there.values())


@contextmanager
def small_buffers(*, on: bool = True) -> Iterator[None]:
    """Netlink sockets that are made meanwhile have room for a few events, where there is for some
    ten thousand otherwise."""
    before = _netlink_sockets()
    yield
    for descriptor in _netlink_sockets() - before if on else ():
        with socket.socket(fileno=os.dup(descriptor)) as one:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)


def _netlink_sockets() -> set[int]:
    found = set()
    for path in Path("/proc/self/fd").iterdir():
        if not path.is_socket():
            continue
        with socket.socket(fileno=os.dup(int(path.name))) as one:
            if one.family == socket.AF_NETLINK:
                found.add(int(path.name))
    return found


def eventually(true: Callable[[], object], what: str, seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, what
        select.select([], [], [], 0.02)


def address(text: str) -> IPAddress:
    return ip_address(text)
