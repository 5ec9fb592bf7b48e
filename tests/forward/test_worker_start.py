# SPDX-License-Identifier: GPL-2.0-or-later
"""What concerns the worker alone does not keep XDP from forwarding when the gateway starts."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from hybrid_gateway.lab import INTERNET, Lab, WorkerProcess, leftovers
from hybrid_gateway.lab.sfp import stand
from hybrid_gateway.worker_trust import RETRY_SECONDS
from tests.forward.fibre import CONFIGURATION, PORTS
from tests.lib.gateway import Gateway, eventually

NOT_A_PORT = '  odd0: {vdev: "net_memif0,role=nonsense", plane: dpdk}\n'
SERVED_SECONDS = 20.0
"""A process starts, and the agent sees to its ports; the machine may be busy."""


@pytest.fixture
def leak_watch() -> None:
    """The session's gateway has no part in this."""


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """With the worker's devices, and nobody in it yet."""
    built = Lab(f"s{os.getpid()}", tmp_path / "lab")
    with ExitStack() as stack:
        stack.callback(leftovers.remove, built)
        built.up()
        stand(built)
        yield built


def served(gateway: Gateway) -> list[str]:
    """The worker's ports, as the agent tells of them."""
    ports: list[dict[str, Any]] = gateway.call("show.ports")["ports"]
    return [port["name"] for port in ports if port["dpdk"]]


def warned(gateway: Gateway, *words: str) -> bool:
    """All of them in one warning."""
    warnings = gateway.call("status")["warnings"]
    return any(all(word in str(warning) for word in words) for warning in warnings)


def waits(gateway: Gateway) -> int:
    """Seconds until the port that was left out is tried again; 0: none is."""
    left = gateway.call("status")["worker"]["left_out"]
    return max((int(one["retry_in"]) for one in left), default=0)


def ports_of(lab: Lab) -> list[list[str]]:
    """The kernel's devices in their place, with their indices."""
    shown = lab.run("gw", ["ip", "-o", "link", "show"]).splitlines()
    return [line.split()[0:2] for line in shown if any(f" {name}: " in line for name in PORTS)]


def nat_works(gateway: Gateway) -> bool:
    """By XDP, from a host of the LAN."""
    gateway.lab.run("lan", ["ping", "-c", "1", "-W", "5", INTERNET[0]])
    return gateway.counters().get("FORWARD", 0) > 0


def test_xdp_does_not_wait_for_the_worker(lab: Lab) -> None:
    """Which gets its ports when it comes; what an owner asks for is refused until then."""
    with ExitStack() as stack:
        gateway = Gateway(lab, CONFIGURATION)
        stack.callback(gateway.process.stop)
        gateway.start()
        eventually(lambda: nat_works(gateway), "NAT forwards")
        assert gateway.call("status")["worker"]["state"] == "absent"
        assert warned(gateway, "the worker does not run", *PORTS)
        refused = gateway.ctl("check", check=False)
        assert refused.returncode == 1
        assert "no worker listens" in refused.stderr
        worker = WorkerProcess(lab)
        worker.start()
        stack.callback(worker.stop)
        eventually(lambda: served(gateway) == list(PORTS), "the ports are its", SERVED_SECONDS)
        assert not warned(gateway, "worker")
        gateway.ctl("detach")


def test_a_port_that_fails_is_left_out(lab: Lab) -> None:
    """The others work, and go on undisturbed while it is tried again now and then; an owner who
    asks for it learns why, and nothing has changed."""
    odd = CONFIGURATION.replace("ports:\n", f"ports:\n{NOT_A_PORT}", 1)
    with ExitStack() as stack:
        worker = WorkerProcess(lab)
        worker.start()
        stack.callback(worker.stop)
        pid = worker.worker
        gateway = Gateway(lab, odd)
        stack.callback(gateway.process.stop)
        gateway.start()
        eventually(lambda: nat_works(gateway), "NAT forwards")
        eventually(lambda: served(gateway) == list(PORTS), "the others work", SERVED_SECONDS)
        assert warned(gateway, "port odd0: the kernel has it", "role")
        assert worker.worker == pid, "the worker was started anew for it"
        taken = ports_of(lab)
        eventually(lambda: waits(gateway) > RETRY_SECONDS, "it failed twice", SERVED_SECONDS)
        assert (worker.worker, ports_of(lab), served(gateway)) == (pid, taken, list(PORTS))
        assert "left out:  odd0, tried again in" in gateway.ctl("status").stdout
        refused = gateway.ctl("apply", check=False)
        assert refused.returncode == 1
        assert "add-port odd0" in refused.stderr
        assert served(gateway) == list(PORTS)
        gateway.ctl("detach")
