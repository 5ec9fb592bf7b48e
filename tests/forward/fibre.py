# SPDX-License-Identifier: GPL-2.0-or-later
"""The lab with two ports of the DPDK worker, and the real agent and worker in it."""

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from scapy.packet import Packet

from hybrid_gateway.lab import (
    EAST,
    SFP0,
    SFP1,
    WEST,
    Lab,
    WorkerProcess,
    leftovers,
    namespaces,
)
from hybrid_gateway.lab.sfp import SFP_IPV6, configured, stand
from hybrid_gateway.lab.sniff import LeakWatch, PacketSocket
from hybrid_gateway.worker_client import WorkerClient
from hybrid_gateway.worker_values import WorkerStatus
from tests.lib.fibre import is_marked
from tests.lib.gateway import BASE, Counting, Gateway, eventually
from tests.lib.traffic import ARRIVES_SECONDS, Places, Wanted, Wires

PLACES: Places = {
    "east": ("east", "eth0"),
    "west": ("west", "eth0"),
    "lan": ("lan", "eth0"),
    "wan": ("wan", "eth0"),
}
FIBRES = frozenset({"fibre", "fresh_fibre"})
"""Fixtures: a test takes one of them."""
CHATTER = frozenset({"PUNT_ARP", "PUNT_MULTICAST", "PUNT_LINK_LOCAL", "FROM_KERNEL"})
"""Of hosts and of the kernel, at any time."""
CONFIGURATION = configured(BASE)
PORTS = ("sfp0", "sfp1")
TAKEN_SECONDS = 10.0
"""A port is taken, or given back, within a second or two; the machine may be busy."""

SILENT = """
table ip quiet {
    chain prerouting {
        type filter hook prerouting priority raw; policy accept;
        ip id 0x1234 drop
    }
}
table ip6 quiet {
    chain prerouting {
        type filter hook prerouting priority raw; policy accept;
        ip6 flowlabel 0x1234 drop
    }
    chain output {
        type filter hook output priority raw; policy accept;
        icmpv6 type { mld-listener-report, mld2-listener-report, nd-router-solicit } drop
    }
}
"""
"""The hosts do not answer what a test sends, nor say anything by multicast of their own accord."""


@dataclass(frozen=True, slots=True)
class Fibre:
    """The gateway with its worker, and the hosts on its fibres."""

    lab: Lab
    wires: Wires
    gateway: Gateway
    worker: WorkerProcess

    def counters(self, *ports: str) -> dict[str, int]:
        """Of these ports together, or of both fibres."""
        total: dict[str, int] = {}
        for port in self.gateway.call("show.counters")["ports"]:
            if port["name"] in (ports or PORTS):
                for name, count in port["counters"].items():
                    total[name] = total.get(name, 0) + count
        return total

    def counting(self) -> Counting:
        return Counting(self.counters, CHATTER)

    def status(self) -> WorkerStatus:
        """What the worker says of itself."""
        with WorkerClient(self.gateway.instance.worker_socket) as client:
            return client.status()

    def mirrored(self) -> None:
        """What the kernel knows now is in the worker's tables."""
        with WorkerClient(self.gateway.instance.worker_socket) as client:
            client.wait_for_mirror()

    def ip(self, *lines: str) -> None:
        """`ip` in the gateway, line by line; its tables are the worker's, too, afterwards."""
        for line in lines:
            self.lab.run("gw", ["ip", *line.split()])
        self.mirrored()

    @contextmanager
    def given(self, *lines: str) -> Iterator[None]:
        """`ip … add …` in the gateway, and the same with `del` when the block ends."""
        with ExitStack() as stack:
            for line in lines:
                undo = line.replace(" add ", " del ", 1)
                self.lab.run("gw", ["ip", *line.split()])
                stack.callback(self.lab.run, "gw", ["ip", *undo.split()])
            self.mirrored()
            yield
        self.mirrored()

    def send(
        self, frame: Packet | bytes, *, at: str, to: str, wanted: Wanted = is_marked
    ) -> Packet:
        """The first wanted frame to reach host `to` after this one was sent from host `at`."""
        return self.wires.send_and_expect(frame, at=at, to=to, wanted=wanted)

    @contextmanager
    def tap(self, device: str) -> Iterator[PacketSocket]:
        """What the kernel gets there, and a way to send as the kernel does."""
        opened = PacketSocket(self.lab.namespace("gw"), device)
        try:
            yield opened
        finally:
            opened.close()

    def arrives(self, at: PacketSocket, frame: bytes) -> None:
        """Just this one, byte for byte."""
        deadline = time.monotonic() + ARRIVES_SECONDS
        seen = []
        for got in at.frames_until(deadline):
            if got.data == frame:
                return
            seen.append(got.data.hex())
        raise AssertionError(f"not {frame.hex()}, but {seen}")

    def meet(self) -> None:
        """Addresses, and neighbours that nobody has to ask for; whatever earlier tests did."""
        lines = []
        for port, host in ((SFP0, EAST), (SFP1, WEST)):
            device = port.device
            lines += [
                f"link set {device} up mtu 1500",
                f"addr replace {port.network} dev {device}",
                f"addr replace {SFP_IPV6[port]}/64 dev {device} nodad",
                f"neigh replace {host.ip} lladdr {host.mac} dev {device} nud permanent",
                f"neigh replace {SFP_IPV6[host]} lladdr {host.mac} dev {device} nud permanent",
            ]
            back = [
                f"neigh replace {address} lladdr {port.mac} dev eth0 nud permanent"
                for address in (port.ip, SFP_IPV6[port])
            ]
            namespaces.ip_batch(self.lab.namespace(host.host), back)
        namespaces.ip_batch(self.lab.namespace("gw"), lines)
        self.mirrored()

    def port(self, name: str) -> dict[str, Any]:
        """As `show ports` has it."""
        ports = self.gateway.call("show.ports")["ports"]
        return next(dict(port) for port in ports if port["name"] == name)

    def taken(self, *names: str) -> bool:
        """Whether the worker has these ports, or both."""
        there = self.status().ports
        return all(name in there for name in names or PORTS)

    def ready(self) -> None:
        """Forwarding, with the base configuration, whatever was before."""
        if not self.worker.running:
            self.worker.start()
        self.gateway.ready()
        eventually(self.taken, "the worker has its ports", TAKEN_SECONDS)
        self.meet()


@contextmanager
def standing(name: str, directory: Path) -> Iterator[Fibre]:
    """Built, and removed with all that it holds, also when building it fails."""
    lab = Lab(name, directory)
    with ExitStack() as stack:
        stack.callback(leftovers.remove, lab)
        lab.up()
        stand(lab)
        for host in ("east", "west", "lan", "wan"):
            lab.run(host, ["nft", SILENT])
        worker = WorkerProcess(lab)
        worker.start()
        stack.callback(worker.stop)
        gateway = Gateway(lab, CONFIGURATION)
        gateway.start()
        yield Fibre(lab, Wires(lab, stack, PLACES), gateway, worker)


@pytest.fixture(scope="session")
def session_fibre(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fibre]:
    with standing(f"w{os.getpid()}", tmp_path_factory.mktemp("fibre")) as built:
        yield built


@pytest.fixture
def fibre(session_fibre: Fibre) -> Fibre:
    """The one that stands to the end; a test leaves it as it was."""
    session_fibre.ready()
    return session_fibre


@pytest.fixture
def fresh_fibre(tmp_path: Path) -> Iterator[Fibre]:
    """One of its own, for what cannot be put back."""
    with standing(f"x{os.getpid()}", tmp_path / "lab") as built:
        built.ready()
        yield built


@pytest.fixture
def fibre_watch(request: pytest.FixtureRequest) -> Iterator[None]:
    """What the gateway sends to the two hosts has right checksums; they are no outside, so that
    addresses of the LAN may be seen there."""
    (name,) = FIBRES.intersection(request.fixturenames)
    fibre: Fibre = request.getfixturevalue(name)
    with ExitStack() as stack:
        watches = [LeakWatch(fibre.lab, host) for host in (EAST, WEST)]
        for watch in watches:
            stack.callback(watch.close)
        yield
        faults = [fault for watch in watches for fault in watch.findings().faults]
        assert not [fault for fault in faults if "inside" not in fault]
