# SPDX-License-Identifier: GPL-2.0-or-later
"""EVPN between a guest and the lab's branch: our agent with the guest's gobgpd there, and here
gobgpd as an independent peer beside a kernel's VXLAN bridge; over IPv6."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from hybrid_gateway.lab import ROUTER, WAN, Interface, Lab
from hybrid_gateway.lab import plain as plain_program
from hybrid_gateway.lab.branch import VNI, VXLAN
from hybrid_gateway.lab.daemon import Daemon
from hybrid_gateway.lab.places import PYTHON
from hybrid_gateway.lab.sites import ASN, vxlan_kind
from hybrid_gateway.lab.sniff import PacketSocket
from tests.lib.gateway import eventually
from tests.lib.packets import udp
from tests.lib.vxlan import segment
from tests.vm import vxlan
from tests.vm.gateway import WAN_NIC, GuestGateway
from tests.vm.site import Site
from tests.vm.vxlan import Branch, branch_of

SECONDS = 300.0
"""For what two daemons agree upon, one of them on an emulated CPU."""
FRAME_SECONDS = 30.0
"""For frames to arrive."""
HOLD_SECONDS = 60
"""The guest may not get to its keepalives for a while."""
BRANCH_ID = "192.0.2.2"
CONFIGURATION = f"""\
{vxlan.NAT_CONFIGURATION}evpn:
  asn: {ASN}
  router-id: {WAN.ip}
  hold-time: {HOLD_SECONDS}
  neighbors:
    - {{address: "{vxlan.VTEP6}"}}
"""
NOBODY = "00:00:00:00:00:00"


class Place(Lab):
    """The branch, as what runs there sees it: it is the gateway."""

    def __init__(self, branch: Branch, directory: Path) -> None:
        super().__init__(branch.lab.name, directory)
        self._lab = branch.lab

    def namespace(self, host: str) -> str:
        return self._lab.namespace("branch" if host == "gw" else host)


class Plain(Daemon):
    """The branch's gobgpd, and what makes entries of its routes: see lab/plain.py."""

    name = "plain"

    def argv(self) -> Sequence[str]:
        program, folder = Path(plain_program.__file__), str(self._lab.directory)
        argv = [PYTHON, "-I", str(program), "--instance", self._lab.name, "--directory", folder]
        argv += ["--vtep", vxlan.VTEP6, "--vni", str(VNI), "--device", VXLAN, "--access", "lan0"]
        argv += ["--asn", str(ASN), "--router-id", BRANCH_ID, "--peer", vxlan.WAN6]
        return [*argv, "--hold-time", str(HOLD_SECONDS)]


@dataclass(frozen=True)
class Joined:
    """Both ends."""

    branch: Branch
    plain: Plain

    @property
    def gateway(self) -> GuestGateway:
        return self.branch.gateway

    def show(self, *what: str) -> Any:
        return self.gateway.ctl("show", "evpn", *what)

    def synchronized(self) -> bool:
        """The agent has said all, and the branch hears it."""
        shown = self.show()
        states = [one["state"] for one in shown["neighbors"]]
        return shown["summary"]["state"] == "synchronized" and states == ["established"]

    def stations(self) -> dict[str, tuple[str, str | None]]:
        """State and VTEP by address, as the agent has them."""
        return {one["mac"]: (one["state"], one["vtep"]) for one in self.show("macs")["macs"]}

    def told(self) -> dict[str, str]:
        """VTEP by MAC address in the FDB of the branch's device, which does not learn by itself."""
        said = self.branch.lab.run("branch", ["bridge", "-j", "fdb", "show", "dev", VXLAN])
        return {row["mac"]: row["dst"] for row in json.loads(said) if "dst" in row}

    def entered(self) -> dict[str, str]:
        """Likewise in the guest."""
        said = self.gateway.guest.check("bridge", "-j", "fdb", "show", "dev", VXLAN)
        return {row["mac"]: row["dst"] for row in json.loads(said) if "dst" in row}

    def deliver(self, source: Interface, target: Interface, count: int) -> None:
        """Frames from one host to the other, all of which arrive as they were."""
        lab = self.branch.lab
        frame = bytes(segment(source, target, udp(source.ip, target.ip, 4000, 53)))
        with ExitStack() as stack:
            ends = [PacketSocket(lab.namespace(end.host), end.device) for end in (source, target)]
            for end in ends:
                stack.callback(end.close)
            for _ in range(count):
                ends[0].send(frame)
            arriving = ends[1].frames_until(time.monotonic() + FRAME_SECONDS)
            whole = (True for got in arriving if got.data == frame)
            assert sum(islice(whole, count)) == count

    def until(self, check: Callable[[], bool], what: str) -> None:
        eventually(check, what, SECONDS)


@contextmanager
def joined(site: Site, gateway: GuestGateway, directory: Path) -> Iterator[Joined]:
    """Devices at both ends, and the branch's daemon; the guest's are the test's to start."""
    with ExitStack() as stack:
        branch = stack.enter_context(branch_of(site, gateway))
        # What is on the branch's own devices goes with them.
        router = f"addr delete {vxlan.ROUTER6}/64 dev {ROUTER.device}"
        stack.callback(branch.lab.run, "wan", ["ip", *router.split()], check=False)
        near = f"addr delete {vxlan.WAN6}/64 dev {WAN_NIC}"
        stack.callback(gateway.guest.run, "ip", *near.split())
        route = f"-6 route delete {vxlan.BRANCH6}"
        stack.callback(gateway.guest.run, "ip", *route.split())
        for host, line in vxlan.UNDERLAY6:
            branch.lab.run(host, ["ip", *line.split()])
        for line in device(vxlan.VTEP6):
            branch.lab.run("branch", line.split())
        stack.callback(gateway.guest.run, "ip", "link", "delete", VXLAN)
        branch.commands(*vxlan.OVER_IPV6, *device(vxlan.WAN6)[1:])
        plain = Plain(Place(branch, directory))
        stack.callback(plain.stop)
        plain.start()
        yield Joined(branch, plain)


def device(local: str) -> tuple[str, ...]:
    """In place of one that may be there; it neither learns nor floods but to whom it is told."""
    return (
        f"ip link delete {VXLAN}",
        f"ip link add {VXLAN} mtu 1500 {vxlan_kind(local, vni=VNI)}",
        f"ip link set {VXLAN} master {vxlan.BRIDGE} up",
        f"bridge link set dev {VXLAN} learning off neigh_suppress on",
    )
