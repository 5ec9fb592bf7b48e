# SPDX-License-Identifier: GPL-2.0-or-later
"""Buffers for frames: as many as all ports may hold at once, or a port is refused."""

from dataclasses import replace

import pytest

from hybrid_gateway.errors import WorkerError
from hybrid_gateway.model import (
    Config,
    ObservedWorker,
    Plane,
    Port,
    Vxlan,
    Worker,
    WorkerSetup,
    WorkerState,
)
from hybrid_gateway.resolve_worker import worker_of
from hybrid_gateway.worker_client import WorkerOptions, WorkerPort
from hybrid_gateway.worker_facts import options_of
from tests.dpdk.harness import SMALL, Bench
from tests.lib.gateway import eventually

pytestmark = pytest.mark.dpdk

BY_DEFAULT = 5
"""Ports for which there is room in a worker that was told of none."""


def add(bench: Bench, number: int) -> None:
    name = f"n{number}"
    if name not in bench.run("ip", "-br", "link"):
        bench.ip(f"tuntap add dev {name} mode tap", f"link set {name} up")
    bench.client.add_port(WorkerPort(name, name, f"net_null{number},no-rx=1"))


def options_for(
    *vdevs: str,
    cores: tuple[int, ...] = SMALL.cores,
    before: WorkerSetup | None = None,
    vxlan: bool = False,
) -> WorkerOptions:
    """What the agent starts a worker with that is to have these ports."""
    ports = tuple(
        Port(f"n{number}", plane=Plane.DPDK, vdev=vdev) for number, vdev in enumerate(vdevs)
    )
    devices = (Vxlan("vni1"),) if vxlan else ()
    config = Config(1, "", ports=ports, worker=Worker(cores=cores), vxlan=devices)
    wanted = worker_of(config, ObservedWorker(WorkerState.RUNNING, setup=before))
    assert wanted
    options = options_of(wanted.setup)
    return replace(SMALL, mbufs=options.mbufs, tunnels=options.tunnels)


def test_a_port_too_many(own_bench: Bench) -> None:
    """It is refused, with figures, before it takes from the others; then one goes."""
    for number in range(BY_DEFAULT):
        add(own_bench, number)
    with pytest.raises(WorkerError) as refused:
        add(own_bench, 7)
    said = str(refused.value)
    assert said.startswith("port n7: no room for its frames")
    assert "512 to receive, 512 to send, 1536 to and from the kernel" in said
    assert "may hold 2560, and of the 16384 that there are 14080 are spoken for" in said
    assert "n7" not in own_bench.client.status().ports

    own_bench.client.remove_port("n0")
    add(own_bench, 7)


def test_what_the_ports_of_the_configuration_take() -> None:
    """The default as long as it will do; a port's rings are more with more cores, and in AF_XDP,
    and with VXLAN there are pieces of outer packets, which wait."""
    null, xdp = "net_null0", "net_af_xdp0,iface=x0"

    assert options_for(*[null] * BY_DEFAULT).mbufs == 0
    assert options_for(*[null] * 7).mbufs == 1280 + 7 * 2560
    assert options_for(*[null] * 7, cores=(0, 1)).mbufs == 2432 + 7 * 3072
    assert options_for(*[null] * 5, xdp).mbufs == 1280 + 5 * 2560 + 5632
    assert options_for(*[null] * 7, vxlan=True).mbufs == 1280 + 1536 + 7 * 2560
    large = WorkerSetup(SMALL.cores, 0, frames=20000)
    assert options_for(null, before=large).mbufs == 20000, "no reason to start anew"


def test_more_ports_than_by_default() -> None:
    """A worker that is started for them has room for exactly these."""
    xdp = "net_af_xdp_x0,iface=x0-wire"
    nulls = [f"net_null{number}" for number in range(6)]
    # Without hugepages a buffer takes a page of its own.
    options = replace(options_for(xdp, *nulls, vxlan=True), memory_mb=256)
    with Bench.running("room", options) as bench:
        cable = bench.cable("x0")
        bench.client.add_port(WorkerPort("x0", "x0", f"net_af_xdp_x0,iface={cable.wire}"))
        for number in range(6):
            add(bench, number)
        with pytest.raises(WorkerError, match="no room for its frames"):
            add(bench, 6)
        eventually(lambda: bench.client.status().ports["x0"].link_up, "x0 is up")
        memory = bench.client.status().memory
        assert memory
        assert memory.mbufs_free > memory.mbufs // 2, "it takes what it was counted for"
