# SPDX-License-Identifier: GPL-2.0-or-later
"""Ports of the DPDK worker in a guest: what is configured, and what there is to see of it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from scapy.layers.l2 import Ether
from scapy.packet import Packet

from hybrid_gateway.lab import EAST, SFP0, SFP1, WEST
from hybrid_gateway.lab.sfp import SFP_IPV6
from tests.lib.fibre import is_marked
from tests.lib.traffic import Wanted, Wires
from tests.vm.gateway import CONFIGURATION, GuestGateway
from tests.vm.machine import Guest, Nic
from tests.vm.site import BARE, BARE_PORT, CABLES

Found = TypeVar("Found")

SECONDS = 60.0
"""For whatever has to become so: an emulated CPU starts the worker in five to ten seconds."""

NICS = {"sfp0": CABLES[EAST], "sfp1": CABLES[WEST], "sfp2": CABLES[BARE]}
"""By the port that has it. sfp0 is an e1000e, sfp1 virtio; sfp2's the IOMMU does not cover."""
WORKER = "worker: {hugepages: 256M}\n"
HUGEPAGES = 128
PORTS = f"""\
  sfp0: {{device: {NICS["sfp0"].device}, plane: dpdk}}
  sfp1: {{device: {NICS["sfp1"].device}, plane: dpdk, polling: interrupt}}
"""

FAR = "192.0.2.0/24"
"""Beyond the first host: a route that is no device's own."""
BY_HAND = f"""\
link set {NICS["sfp0"].device} up
addr add {SFP0.network} dev {NICS["sfp0"].device}
addr add {SFP_IPV6[SFP0]}/64 dev {NICS["sfp0"].device} nodad
route add {FAR} via {EAST.ip} dev {NICS["sfp0"].device}
"""
NETPLAN_FILE = "/etc/netplan/50-fibre.yaml"
NETPLAN = f"""\
network:
  version: 2
  renderer: networkd
  ethernets:
    fibre:
      match: {{macaddress: "{SFP1.mac}"}}
      accept-ra: false
      addresses: [{SFP1.network}, "{SFP_IPV6[SFP1]}/64"]
"""
"""As cloud-init writes it: by the MAC address that is burnt in, which no TAP has."""
BARE_BY_HAND = f"""\
link set {NICS["sfp2"].device} up
addr add {BARE_PORT.network} dev {NICS["sfp2"].device}
"""
WINDOW = "/etc/systemd/system/gw-agent.service.d/window.conf"
PATIENT = """\
[Service]
Environment=PYTHONPATH=/gw/agent:/gw/build/lib GW_BPF_DIR=/gw/build/bpf
ExecStart=
ExecStart=/usr/bin/python3 -P -c "import runpy, hybrid_gateway.agent.worker as worker; \\
    worker.CRASHES_SECONDS = 900.0; runpy.run_module('hybrid_gateway.agent', run_name='__main__')"
"""
"""On an emulated CPU, three workers do not even start within a minute when the host is busy."""
PREPARE = f"""
set -e
cat >{WINDOW} <<'END'
{PATIENT}
END
systemctl daemon-reload
echo 1 >/proc/sys/net/ipv6/conf/all/forwarding
# What expires is answered each time, however soon after the last one.
echo 0 >/proc/sys/net/ipv4/icmp_ratelimit
echo 0 >/proc/sys/net/ipv6/icmp/ratelimit
ip -batch - <<'END'
{BY_HAND}
END
cat >{NETPLAN_FILE} <<'END'
{NETPLAN}
END
chmod 600 {NETPLAN_FILE}
netplan apply
"""
FORGET = f"""
rm -f {NETPLAN_FILE} {WINDOW}
systemctl daemon-reload
netplan apply
systemctl stop systemd-networkd.socket systemd-networkd gw-worker
for device in {" ".join(nic.device for nic in NICS.values())}; do
    ip addr flush dev $device scope global
    ip link set $device down
done
"""


def configured(ports: str, worker: str = WORKER) -> str:
    """The configuration of the other tests, with more ports; NAT44 stays XDP's."""
    return CONFIGURATION.replace("ports:\n", f"ports:\n{ports}", 1) + worker


@dataclass(frozen=True)
class Netdev:
    """What the kernel has configured on a device; addresses and routes that somebody put there."""

    mac: str
    mtu: int
    up: bool
    addresses: frozenset[str]
    routes: frozenset[str]


@dataclass(frozen=True)
class Function:
    """A PCI function: its driver, and what is written in driver_override."""

    driver: str
    override: str


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
        result = self.guest.run("gwctl", "apply")
        assert result.code == code, result
        return result.stderr

    def start_worker(self) -> None:
        self.guest.check("systemctl", "start", "gw-worker", seconds=SECONDS)

    def ready(self) -> None:
        """The worker has the first two ports, whatever was before, and their hosts are known."""
        if self.serves() != ("sfp0", "sfp1"):
            self.apply(configured(PORTS))
        for host in (EAST.ip, WEST.ip, SFP_IPV6[EAST], SFP_IPV6[WEST]):
            self.reach(host)

    def reach(self, host: str) -> None:
        """Until it answers: a link takes a moment to come up."""
        self.guest.check("ping", "-c", "1", "-i", "0.5", "-w", "30", host)

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
        for packet in self._wires.arriving(to, wanted, SECONDS):
            return packet
        raise AssertionError(f"nothing arrived at {to}: {frame!r}\n{self.log()}")

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
