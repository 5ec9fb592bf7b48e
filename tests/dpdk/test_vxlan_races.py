# SPDX-License-Identifier: GPL-2.0-or-later
"""What changes while frames are on their way: nobody is served twice, or halfway."""

import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from scapy.layers.inet import IP
from scapy.layers.l2 import Ether

from hybrid_gateway.lab import namespaces
from tests.dpdk.preload import preloaded
from tests.dpdk.stretched import Stretched
from tests.dpdk.vxlan import FAR, HERE, NOBODY, OTHER, PEER, THERE, between
from tests.dpdk.wires import DEAF, Cable
from tests.lib.gateway import Counting, eventually
from tests.lib.packets import udp

pytestmark = pytest.mark.dpdk

UNKNOWN = "02:00:00:00:09:99"
TURNS = 300
"""Of what changes, there and back; each may hit a burst at the wrong moment."""
AT_ONCE = 64
"""Frames between two looks whether all turns are done."""
PATIENCE_SECONDS = 60.0


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stretched]:
    source = Path(__file__).with_name("slow.c")
    with preloaded(source, tmp_path_factory.mktemp("slow")), Stretched.running("vz") as running:
        running.as_made()
        yield running


@dataclass(frozen=True, slots=True)
class Storm:
    """One frame, again and again, while a program's batch turns something there and back."""

    sides: Stretched
    port: Cable
    frame: bytes
    program: str
    lines: tuple[str, ...]
    look: Callable[[], None] = lambda: None
    """Called now and then."""

    def rages(self) -> None:
        argv = namespaces.inside(self.sides.bench.gw, [self.program, "-force", "-batch", "-"])
        with subprocess.Popen(argv, stdin=subprocess.PIPE, text=True) as process:
            assert process.stdin
            process.stdin.write("".join(f"{line}\n" for line in self.lines) * TURNS)
            process.stdin.close()
            while process.poll() is None:
                self.port.far.send([self.frame] * AT_ONCE)
                self.look()
        self.sides.bench.settle()

    def until(self, *counters: str) -> Counting:
        """All of these have moved."""
        counting = self.sides.bench.counting(self.port.name)

        def all_moved() -> bool:
            self.rages()
            return set(counters) <= counting.now().keys()

        eventually(all_moved, f"{counters} have moved", PATIENCE_SECONDS)
        return counting


def test_a_flood_list_that_is_the_kernels_now_and_then(sides: Stretched) -> None:
    """All VTEPs get a copy from here, or all of them from the kernel."""
    segment, access = sides.segments[4], sides.access[4]
    member = f"{NOBODY} dev {segment.device} dst {OTHER[4]} self"
    # By a device that is not the segment's own: for the kernel to send.
    lines = (f"fdb append {member} permanent via core", f"fdb del {member} via core")
    storm = Storm(sides, access, bytes(between(HERE, UNKNOWN)), "bridge", lines)
    counting = storm.until("VXLAN_FLOOD", "PUNT_BRIDGE_MISS")

    def is_over() -> bool:
        """A frame that comes behind all others has been forwarded."""
        access.far.send([between(HERE, THERE)])
        return "FORWARD_BRIDGE" in counting.now()

    eventually(is_over, "the storm is over")
    moved = counting.now()
    assert moved["VXLAN_COPY"] == moved["VXLAN_FLOOD"]


@pytest.fixture
def routed(sides: Stretched) -> Iterator[Stretched]:
    """The bridge routes to FAR; what the core's TAP gets is the test's alone."""
    bridge, core = sides.segments[4].bridge, sides.core.name
    deaf = namespaces.inside(sides.bench.gw, ["nft", "-f", "-"])
    namespaces.run(deaf, stdin=DEAF.format(wire=core))
    sides.bench.ip(
        f"address add 10.9.0.1/24 dev {bridge}",
        f"neigh replace {FAR.ip} lladdr {FAR.mac} dev {bridge} nud permanent",
    )
    sides.bench.settle()
    yield sides
    sides.bench.ip(f"address del 10.9.0.1/24 dev {bridge}")
    sides.bench.run("nft", "delete", "table", "netdev", core)
    sides.bench.settle()


def test_a_vtep_that_is_to_be_reached_now_and_then(routed: Stretched) -> None:
    """What is routed to a host behind it is the kernel's as it came, or is dropped."""
    core = routed.core
    packet = udp("198.51.100.9", FAR.ip, 4000, 5000)
    frame = bytes(Ether(src=core.far_mac, dst=core.mac) / packet)

    def is_as_it_came() -> None:
        for seen in core.kernel.arrived():
            assert IP not in seen or seen[IP].dst != FAR.ip or bytes(seen) == frame

    place = f"{PEER[4]} dev {core.name}"
    lines = (f"neigh del {place}", f"neigh add {place} lladdr {core.far_mac} nud permanent")
    storm = Storm(routed, core, frame, "ip", lines, is_as_it_came)
    storm.until("VXLAN_ENCAP", "PUNT_BRIDGE_MISS", "DROP_PORT_DOWN")
