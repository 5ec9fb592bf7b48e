# SPDX-License-Identifier: GPL-2.0-or-later
"""The gateway in a guest with ports of the DPDK worker: what there is to see of it, and traffic."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from scapy.layers.l2 import Ether
from scapy.packet import Packet

from hybrid_gateway.lab import EAST, WEST
from hybrid_gateway.lab.sfp import SFP_IPV6
from tests.lib.fibre import is_marked
from tests.lib.traffic import Wanted, Wires
from tests.vm.dpdk.setup import KERNEL, NETDEVS, PORTS, TAKEN, Function, Netdev, configured
from tests.vm.gateway import GuestGateway
from tests.vm.machine import Guest, Nic
from tests.vm.site import BARE, BARE_PORT

Found = TypeVar("Found")

SECONDS = 120.0
"""For whatever has to become so: an emulated CPU starts the worker in five to ten seconds, and
the host of it may be twice as slow."""
FRAME_SECONDS = 30.0
"""For a frame to arrive."""


class Fibre(GuestGateway):
    """The gateway with ports of the worker, and the hosts behind them."""

    def __init__(self, guest: Guest, wires: Wires) -> None:
        super().__init__(guest)
        self._wires = wires

    # ---- what there is ----------------------------------------------------------------

    def netdev(self, name: str) -> Netdev:
        [found] = self._ip("-details", "address", "show", "dev", name)
        addresses = (
            f"{one['local']}/{one['prefixlen']}"
            for one in found["addr_info"]
            if one["scope"] == "global"
        )
        routes = (
            f"{route['dst']} via {route.get('gateway')}"
            for family in ("-4", "-6")
            for route in self._ip(family, "route", "show", "dev", name)
            if route.get("protocol") != "kernel"
        )
        up = "UP" in found["flags"]
        return Netdev(found["address"], found["mtu"], up, frozenset(addresses), frozenset(routes))

    def is_tap(self, name: str) -> bool:
        found = self._ip("-details", "link", "show", "dev", name)
        return bool(found[0].get("linkinfo", {}).get("info_kind") == "tun")

    def _ip(self, *arguments: str) -> Any:
        return json.loads(self.guest.check("ip", "-json", *arguments) or "[]")

    def function(self, nic: Nic) -> Function:
        place = f"/sys/bus/pci/devices/{nic.pci}"
        said = self.guest.check(
            "sh", "-c", f"basename $(readlink {place}/driver); cat {place}/driver_override"
        )
        driver, override = said.split()
        return Function(driver, override)

    def netdevs(self) -> dict[str, Netdev]:
        return {name: self.netdev(nic.device) for name, nic in TAKEN.items()}

    def functions(self) -> dict[str, Function]:
        return {name: self.function(nic) for name, nic in TAKEN.items()}

    def returned(self) -> None:
        """The kernel has its devices again, as they were, or soon has."""
        self.becomes(lambda: (self.functions(), self.netdevs()), (KERNEL, NETDEVS))

    def hugepages(self) -> int:
        return int(self.guest.check("cat", "/proc/sys/vm/nr_hugepages"))

    # ---- the agent and the worker -----------------------------------------------------

    def configure(self, text: str) -> None:
        self.guest.write("/etc/gw/gateway.yaml", text.encode())

    def apply(self, text: str, *options: str) -> None:
        self.configure(text)
        self.guest.check("gwctl", "apply", *options, seconds=SECONDS)

    def refusal(self, text: str, *, code: int) -> str:
        """What `apply` says when it does not do it."""
        self.configure(text)
        result = self.guest.run("gwctl", "apply", seconds=SECONDS)
        assert result.code == code, result
        return result.stderr

    def start_worker(self) -> None:
        self.guest.check("systemctl", "start", "gw-worker", seconds=SECONDS)

    def ready(self) -> None:
        """The worker has the first two ports, whatever was before, and their hosts are known."""
        if self.serves() != tuple(TAKEN):
            self.apply(configured(PORTS))
        for host in (EAST.ip, WEST.ip, SFP_IPV6[EAST], SFP_IPV6[WEST]):
            self.reach(host)

    def reach(self, host: str) -> None:
        """Until it answers: a link takes a moment to come up."""
        self.guest.check("ping", "-c", "1", "-i", "0.5", "-w", "60", host, seconds=SECONDS)

    def worker(self) -> dict[str, Any]:
        return dict(self.ctl("status")["worker"])

    def port(self, name: str) -> dict[str, Any]:
        return next(
            dict(port) for port in self.ctl("show", "ports")["ports"] if port["name"] == name
        )

    def serves(self) -> tuple[str, ...]:
        """The ports that the worker has; none when there is no worker."""
        worker = self.ctl("status")["worker"]
        return tuple(worker["ports"]) if worker and worker["state"] == "running" else ()

    def kill(self) -> None:
        """The worker, as a crash would; returns when the agent knows."""
        pid = self.worker()["pid"]
        self.guest.check("kill", "-KILL", str(pid))
        self.becomes(lambda: self.worker()["pid"] == pid, False)

    def busy(self) -> float:
        """Seconds of CPU that the worker has used."""
        said = self.guest.check("systemctl", "show", "--value", "-p", "CPUUsageNSec", "gw-worker")
        return int(said) / 1e9

    def becomes(self, read: Callable[[], Found], wanted: Found) -> None:
        """Each question takes a while, so this does not spin."""
        deadline = time.monotonic() + SECONDS
        while (found := read()) != wanted:
            if time.monotonic() >= deadline:
                raise AssertionError(
                    f"after {SECONDS:.0f} s still {found}\nnot {wanted}\n{self.log()}"
                )

    def log(self) -> str:
        units = [word for unit in ("gw-agent", "gw-worker") for word in ("-u", unit)]
        return self.guest.run("journalctl", "--no-pager", "-n", "60", *units).stdout

    # ---- traffic ----------------------------------------------------------------------

    def send(self, frame: Packet, *, at: str, to: str, wanted: Wanted = is_marked) -> Packet:
        """The first wanted frame to reach host `to` after this one was sent from host `at`."""
        self._wires.forget(to)
        self._wires.send(frame, at=at)
        for packet in self._wires.arriving(to, wanted, FRAME_SECONDS):
            return packet
        raise AssertionError(f"nothing arrived at {to}: {frame!r}\n{self.log()}")

    def until_counted(self, counter: str, frame: Packet, *, at: str, to: str) -> None:
        """Sends the frame until the worker counts it so: it follows the kernel in a moment."""

        def counted() -> bool:
            before = self.counters()
            self._wires.send(frame, at=at)
            for _ in self._wires.arriving(to, is_marked, 1.0):
                break
            return self.moved(before).get(counter, 0) > 0

        self.becomes(counted, True)

    def moved(self, before: dict[str, int]) -> dict[str, int]:
        """How the counters of all ports have moved."""
        after = self.counters()
        return {name: count - before.get(name, 0) for name, count in after.items()}

    @contextmanager
    def counts(self, **least: int) -> Iterator[None]:
        """Counters that move by at least so much meanwhile."""
        before = self.counters()
        yield
        moved = self.moved(before)
        assert all(moved.get(name, 0) >= count for name, count in least.items()), moved


def to_bare(packet: Packet) -> Packet:
    """In the frame that the gateway sends to the host that the IOMMU has no business with."""
    return Ether(src=BARE_PORT.mac, dst=BARE.mac) / packet
