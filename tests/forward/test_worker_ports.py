# SPDX-License-Identifier: GPL-2.0-or-later
"""Other kinds of virtual ports: AF_XDP, memif between two workers, pcap."""

from contextlib import ExitStack
from pathlib import Path

from scapy.layers.l2 import Ether
from scapy.utils import rdpcap

from hybrid_gateway.errors import WorkerError
from hybrid_gateway.lab import EAST, WEST, WorkerProcess, leftovers, namespaces
from hybrid_gateway.lab.second import FarSide
from hybrid_gateway.lab.sfp import SFP_SECTION
from tests.forward.fibre import CONFIGURATION, TAKEN_SECONDS, Fibre
from tests.forward.test_worker_follow import forwarded
from tests.forward.test_worker_routing import fragments_pass
from tests.lib.fibre import datagram, from_east, to_west
from tests.lib.gateway import Gateway, eventually
from tests.lib.packets import same
from tests.lib.programs import pinged

AF_XDP = CONFIGURATION.replace("net_af_packet0,iface=sfp0", "net_af_xdp0,iface=sfp0")
MEMORY = "198.18.9"
"""The network between two workers; the first is .1, the second .2."""


def test_af_xdp(fibre: Fibre) -> None:
    """The same port through an AF_XDP socket; what it is in the kernel stays the same."""
    fibre.gateway.apply(AF_XDP)
    assert fibre.status().ports["sfp0"].driver == "net_af_xdp"
    fibre.meet()
    counts = fibre.counting()
    for family in (4, 6):
        forwarded(fibre, family)
    counts.expect(FORWARD_IP4=1, FORWARD_IP6=1)
    for family in (4, 6):
        fragments_pass(fibre, family)
    assert pinged(fibre.lab, "east", WEST.ip) == 3
    assert pinged(fibre.lab, "gw", EAST.ip) == 3
    fibre.gateway.apply(CONFIGURATION)
    assert fibre.status().ports["sfp0"].driver == "net_af_packet"
    fibre.meet()
    forwarded(fibre)


def memif(role: str, socket: Path) -> str:
    """Of the `ports` section. An abstract socket, DPDK's default, does not reach into another
    namespace."""
    vdev = f"net_memif0,role={role},socket={socket},socket-abstract=no"
    return f'  mem0: {{vdev: "{vdev}", plane: dpdk}}\n'


def test_memif_between_two_workers(fibre: Fibre, tmp_path: Path) -> None:
    """Shared memory instead of a cable: a second gateway in a namespace of its own. Whoever comes
    first waits for the other, and for another one after its death."""
    socket = tmp_path / "memif"
    with ExitStack() as stack:
        beside = _second_gateway(fibre, stack, socket)
        ours = f"ports:\n{memif('server', socket)}"
        stack.callback(fibre.gateway.apply, CONFIGURATION)
        fibre.gateway.apply(CONFIGURATION.replace("ports:\n", ours, 1))
        fibre.ip(f"addr replace {MEMORY}.1/24 dev mem0", "link set mem0 up")
        eventually(lambda: _met(fibre), "the two have met", TAKEN_SECONDS)
        assert pinged(fibre.lab, "gw", f"{MEMORY}.2") == 3
        counts = fibre.counting()
        assert pinged(fibre.lab, "east", f"{MEMORY}.2") == 3
        counts.expect_some(FORWARD_IP4=3)
        assert sum(beside.counters().values()) > 6

        before = fibre.worker.crash()
        eventually(lambda: fibre.worker.worker not in (None, before), "it is back", TAKEN_SECONDS)
        eventually(lambda: _met(fibre), "they have met again", TAKEN_SECONDS)
        assert pinged(fibre.lab, "east", f"{MEMORY}.2") == 3


def _met(fibre: Fibre) -> bool:
    try:
        return fibre.status().ports["mem0"].link_up
    except (WorkerError, KeyError):
        return False


def _second_gateway(fibre: Fibre, stack: ExitStack, socket: Path) -> Gateway:
    """Its only port is the other end of the memory; no lab of its own."""
    namespace = fibre.lab.namespace("gw2")
    namespaces.add(namespace)
    stack.callback(namespaces.delete, namespace)
    namespaces.ip_batch(namespace, ["link set lo up"])
    side = FarSide(fibre.lab)
    stack.callback(leftovers.remove, side)
    side.up()
    worker = WorkerProcess(side)
    worker.start()
    port = memif("client", socket)
    gateway = Gateway(side, f"version: 1\nports:\n{port}{SFP_SECTION}")
    gateway.start()
    side.run("gw", ["ip", "addr", "replace", f"{MEMORY}.2/24", "dev", "mem0"])
    side.run("gw", ["ip", "link", "set", "mem0", "up"])
    side.run("gw", ["ip", "route", "replace", "default", "via", f"{MEMORY}.1"])
    return gateway


def test_what_leaves_by_a_capture(fibre: Fibre, tmp_path: Path) -> None:
    """A pcap port writes down what is forwarded to it."""
    file = tmp_path / "out.pcap"
    port = f'  cap0: {{vdev: "net_pcap0,tx_pcap={file}", plane: dpdk}}\n'
    fibre.gateway.apply(CONFIGURATION.replace("ports:\n", f"ports:\n{port}", 1))
    fibre.ip(
        "link set cap0 up",
        "addr replace 198.18.8.1/24 dev cap0",
        f"neigh replace 198.18.8.9 lladdr {WEST.mac} dev cap0 nud permanent",
    )
    counts = fibre.counting()
    fibre.wires.send(from_east(datagram(EAST.ip, "198.18.8.9")), at="east")
    counts.expect(FORWARD_IP4=1)
    mac = fibre.status().ports["cap0"].mac
    fibre.gateway.apply(CONFIGURATION)
    written = [bytes(frame) for frame in rdpcap(str(file))]
    assert bytes(Ether(src=mac, dst=WEST.mac) / datagram(EAST.ip, "198.18.8.9", ttl=63)) in written


def test_that_capture_is_gone(fibre: Fibre) -> None:
    assert "cap0" not in fibre.lab.run("gw", ["ip", "link"])
    same(fibre.send(from_east(datagram()), at="east", to="west"), to_west(datagram(ttl=63)))
