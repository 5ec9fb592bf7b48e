# SPDX-License-Identifier: GPL-2.0-or-later
"""The agent comes back to a gateway that forwards, whatever happened to the host meanwhile."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from hybrid_gateway.instance import Instance
from hybrid_gateway.lab import GatewayProcess, Lab
from hybrid_gateway.lab.places import program
from tests.lib.ctl import gwctl
from tests.lib.packets import SERVER
from tests.lib.programs import pinged
from tests.lib.traces import Traces, has_xdp

CLOSED = "table inet mine { chain f { type filter hook forward priority 0; policy drop; }; }"
SECONDS = 20.0


@pytest.fixture
def process(fresh_lab: Lab) -> Iterator[GatewayProcess]:
    """Forwards, and its agent has been killed."""
    built = GatewayProcess(fresh_lab)
    with ExitStack() as stack:
        stack.callback(built.stop)
        built.start()
        built.kill()
        yield built


def agent(lab: Lab, *arguments: str, instance: str = "") -> "subprocess.CompletedProcess[str]":
    """One that is expected to end by itself."""
    argv = [str(program("gw-agent")), "--instance", instance or lab.name, *arguments]
    return subprocess.run(
        lab.argv("gw", argv), capture_output=True, text=True, timeout=SECONDS, check=False
    )


def status(lab: Lab) -> Any:
    return json.loads(gwctl(lab, "--json", "status", check=False).stdout)


def test_without_one_of_its_devices(fresh_lab: Lab, process: GatewayProcess) -> None:
    fresh_lab.run("gw", ["ip", "link", "delete", "lan1"])
    process.start()
    answer = status(fresh_lab)
    assert answer["state"] == "forwarding"
    assert any("device lan1 does not exist" in str(w) for w in answer["warnings"])
    assert pinged(fresh_lab, "lan", SERVER) == 3
    # Asked for a verdict, it is as strict as ever.
    refused = gwctl(fresh_lab, "apply", check=False)
    assert refused.returncode == 2
    assert "no network device lan1" in refused.stderr


def test_a_name_that_is_wrong_changes_nothing(fresh_lab: Lab, process: GatewayProcess) -> None:
    """Not taken for a device that is missing: the one it meant is there, and forwards."""
    config = process.config.with_name("typo.yaml")
    config.write_text(process.config.read_text().replace("device: wan0", "device: wna0"))
    refused = agent(fresh_lab, "--config", str(config))
    assert refused.returncode == 2
    assert "no network device wna0" in refused.stderr
    assert has_xdp(fresh_lab, "wan0")
    assert pinged(fresh_lab, "lan", SERVER) == 3


def test_past_a_firewall_that_appeared(fresh_lab: Lab, process: GatewayProcess) -> None:
    fresh_lab.run("gw", ["nft", CLOSED])
    process.start()
    answer = status(fresh_lab)
    assert answer["state"] == "forwarding"
    assert any("XDP goes past nft inet mine f" in str(w) for w in answer["warnings"])
    assert "nft inet mine f" in process.log_end()
    refused = gwctl(fresh_lab, "check", check=False)
    assert refused.returncode == 1
    assert "nft inet mine f" in refused.stderr


def test_with_a_program_of_somebody_else_on_a_port(
    fresh_lab: Lab, process: GatewayProcess, foreign_object: Path
) -> None:
    """What fails is told and tried again; the rest forwards as before, with its table."""
    fresh_lab.run("gw", ["ip", "link", "delete", "lan1"])
    fresh_lab.run("gw", ["ip", "link", "add", "lan1", "type", "veth", "peer", "name", "far1"])
    fresh_lab.run("gw", ["ip", "link", "set", "lan1", "master", "br-lan"])
    load = ["xdp", "object", str(foreign_object), "section", "xdp"]
    fresh_lab.run("gw", ["ip", "link", "set", "dev", "lan1", *load])
    process.start()
    answer = status(fresh_lab)
    assert answer["state"] == "failed"
    assert "lan1: another XDP program (foreign, " in answer["error"]
    assert pinged(fresh_lab, "lan", SERVER) == 3
    assert "table inet gw" in fresh_lab.run("gw", ["nft", "list", "tables"])


@pytest.mark.parametrize(
    ("change", "code", "named"),
    [
        (["ip", "link", "delete", "lan1"], 2, "no network device lan1"),
        (["nft", CLOSED], 1, "nft inet mine f"),
    ],
    ids=["device", "firewall"],
)
def test_a_first_start_refuses(fresh_lab: Lab, change: list[str], code: int, named: str) -> None:
    fresh_lab.run("gw", change)
    refused = agent(fresh_lab, "--config", str(fresh_lab.config))
    assert refused.returncode == code
    assert named in refused.stderr
    assert not has_xdp(fresh_lab, "wan0")
    assert not Instance(fresh_lab.name).pin_dir.exists()


def test_detaching_leaves_no_files(fresh_lab: Lab, process: GatewayProcess) -> None:
    paths = Instance(fresh_lab.name)
    assert not process.running
    assert paths.socket.exists()
    assert agent(fresh_lab, "--detach").returncode == 0
    assert not paths.run_dir.exists()


@pytest.mark.parametrize("arguments", [(), ("--detach",)], ids=["start", "detach"])
def test_one_instance_a_namespace(
    fresh_lab: Lab, process: GatewayProcess, arguments: tuple[str, ...]
) -> None:
    process.start()
    other = Instance(f"{fresh_lab.name}-b")
    before = Traces.of(fresh_lab)
    config = ["--config", str(fresh_lab.config)]
    refused = agent(fresh_lab, *config, *arguments, instance=other.name)
    assert refused.returncode == 1
    assert f"instance {fresh_lab.name} already serves this network namespace" in refused.stderr
    assert Traces.of(fresh_lab) == before
    assert not other.run_dir.exists()
