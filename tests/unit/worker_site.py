# SPDX-License-Identifier: GPL-2.0-or-later
"""A gateway with two ports of the DPDK worker as data, for tests of what needs none."""

from dataclasses import replace

from hybrid_gateway.model import (
    Config,
    ObservedWorker,
    Plane,
    Port,
    RunningPort,
    TakenPort,
    WantedWorker,
    Worker,
    WorkerState,
)

MB = 1 << 20
SFP0 = Port("sfp0", "enp4s0", Plane.DPDK, line=3)
SFP1 = Port("sfp1", "", Plane.DPDK, line=4, vdev="net_af_packet0,iface=veth1,qpairs=1")
CONFIG = Config(1, "/etc/gw/gateway.yaml", (SFP0, SFP1), worker=Worker(line=5))
TAKEN0 = TakenPort("sfp0", "enp4s0", "0000:04:00.0", "enp4s0")
TAKEN1 = TakenPort(
    "sfp1",
    "veth1",
    "net_af_packet0,iface=veth1-wire,qpairs=1",
    "net_af_packet0,iface=veth1,qpairs=1",
    wire=True,
)
NOTHING = ObservedWorker(WorkerState.RUNNING, online=(0, 1, 2, 3))


def done(wanted: WantedWorker | None, observed: ObservedWorker = NOTHING) -> ObservedWorker:
    """What is observed once everything wanted was done."""
    taken = {one.name: one for one in (TAKEN0, TAKEN1)}
    if wanted is None:
        return replace(observed, setup=None, ports=(), taken=(), reserved=0)
    return replace(
        observed,
        setup=wanted.setup,
        ports=tuple(
            RunningPort(port.name, taken[port.name].tap, taken[port.name].device, port.polling)
            for port in wanted.ports
        ),
        taken=tuple(taken[port.name] for port in wanted.ports),
        reserved=wanted.setup.memory,
    )
