# SPDX-License-Identifier: GPL-2.0-or-later
"""A configuration with two ports of a worker that is only told of, and its plans."""

from collections.abc import Sequence
from dataclasses import replace

from hybrid_gateway.errors import NoSuchDeviceError
from hybrid_gateway.model import Config, Observed, Plane, Port, Step, Wanted, Worker
from hybrid_gateway.plan import Planner
from hybrid_gateway.resolve import resolve
from hybrid_gateway.worker_view import WorkerView

P0 = Port("p0", plane=Plane.DPDK, line=3, vdev="net_null0")
P1 = Port("p1", plane=Plane.DPDK, line=4, vdev="net_null1")
MB = 1 << 20
CONFIG = Config(1, "/etc/gw/gateway.yaml", (P0, P1), worker=Worker((0,), 64 * MB, line=5))
UP = [f"reserve {64 * MB}", "start", "take p0", "take p1", "add p0", "add p1", "wait 5"]


def steps(config: Config | None, view: WorkerView) -> Sequence[Step]:
    observed = Observed(worker=view.look(config, asked=1))
    wanted = resolve(config, observed) if config else Wanted()
    return Planner(wanted, observed).steps()


def no_device() -> NoSuchDeviceError:
    return NoSuchDeviceError("port p1: there is no device net_null1")


def changed(config: Config, **what: object) -> Config:
    assert config.worker
    return replace(config, worker=replace(config.worker, **what))  # type: ignore[arg-type]
