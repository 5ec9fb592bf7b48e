# SPDX-License-Identifier: GPL-2.0-or-later
"""gw-handback beside a worker without an agent: whether it has the ports, it is asked."""

import json
import signal
import subprocess
import sys

import pytest

from hybrid_gateway.devices.handover import Handover
from hybrid_gateway.lab import namespaces
from hybrid_gateway.model import Plane, Port
from tests.dpdk.harness import Bench

pytestmark = pytest.mark.dpdk
SFP = Port("sfp", plane=Plane.DPDK, vdev="net_af_packet0,iface=x0")
UNSERVED = ("--if-unserved",)
"""As the agent's unit has it."""
REFUSED = "gw-handback: the worker runs, and has the ports: stop it first [worker.runs]\n"


def take(bench: Bench) -> None:
    """As an agent has that died after it, with a TAP by which a bridge heard."""
    namespaces.ip_batch(bench.gw, ["link add x0 type veth peer name x1", "link set x0 up"])
    namespaces.ip_batch(bench.gw, ["tuntap add gwh7 mode tap"])
    with namespaces.entered(bench.gw):
        Handover(bench.instance.taken_file).take(SFP)


def hand_back(bench: Bench, *options: str) -> tuple[int, str]:
    program = [sys.executable, "-m", "hybrid_gateway.devices.handback", *options]
    with namespaces.entered(bench.gw):
        done = subprocess.run(
            [*program, "--instance", bench.name], check=False, stderr=subprocess.PIPE, text=True
        )
    return done.returncode, done.stderr


def devices(bench: Bench) -> set[str]:
    said = namespaces.run(["ip", "-n", bench.gw, "-j", "link", "show"])
    return {link["ifname"] for link in json.loads(said)}


@pytest.mark.parametrize("options", [(), UNSERVED], ids=["worker-ended", "agent-ended"])
def test_a_worker_that_was_not_started_has_no_ports(options: tuple[str, ...]) -> None:
    """It came after the one that died, and waits for an agent that does not start any more."""
    with Bench.running("idle", started=False) as bench:
        take(bench)
        assert devices(bench) >= {"x0-wire", "gwh7"}

        assert hand_back(bench, *options) == (0, "")

        assert devices(bench) == {"lo", "x0", "x1"}
        assert not bench.instance.taken_file.exists()
        assert not bench.client.status().started
        assert hand_back(bench) == (0, "")


def test_a_worker_that_does_not_say() -> None:
    with Bench.running("mute", started=False) as bench:
        take(bench)
        bench.worker.send_signal(signal.SIGSTOP)
        try:
            assert hand_back(bench) == (1, REFUSED)
        finally:
            bench.worker.send_signal(signal.SIGCONT)
        assert "x0-wire" in devices(bench)
        assert hand_back(bench) == (0, "")


def test_a_worker_that_was_started() -> None:
    with Bench.running("busy") as bench:
        take(bench)
        assert hand_back(bench) == (1, REFUSED)
        assert hand_back(bench, *UNSERVED) == (0, "")
        assert devices(bench) >= {"x0-wire", "gwh7"}
        assert hand_back(bench, "--force") == (0, "")
        assert devices(bench) == {"lo", "x0", "x1"}
