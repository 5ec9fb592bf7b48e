# SPDX-License-Identifier: GPL-2.0-or-later
"""Ports of the worker as their owner sees them: plan, apply, show, status, and taken away again."""

import difflib
import os
import re
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from scapy.layers.inet import ICMP
from scapy.packet import Raw

from hybrid_gateway.lab import EAST, SFP0, Lab, WorkerProcess, leftovers
from hybrid_gateway.lab.sfp import stand
from tests.forward.fibre import CONFIGURATION, PORTS, Fibre
from tests.forward.test_worker_crash import OURS, addresses, in_the_kernel, is_tap, routed
from tests.forward.test_worker_follow import forwarded, is_reply
from tests.lib.fibre import from_east, header
from tests.lib.gateway import BASE, Gateway, eventually
from tests.lib.packets import PAYLOAD
from tests.lib.traces import DEVICES, Traces
from tests.lib.traffic import SILENCE_SECONDS


@pytest.fixture
def leak_watch() -> None:
    """The session's gateway has no part in this."""


def steps(fibre: Fibre, text: str) -> list[dict[str, Any]]:
    """What `gwctl plan` would do with this configuration, whether or not there is a worker."""
    fibre.gateway.config.write_text(text)
    answer = fibre.gateway.ctl_json("plan", "--config", str(fibre.gateway.config))
    return list(answer["steps"])


def test_nothing_is_left_to_do(fibre: Fibre) -> None:
    assert steps(fibre, CONFIGURATION) == []


def test_a_plan_needs_no_worker(fibre: Fibre) -> None:
    """One that was told to end is not back at once: what would be done can be said all the same."""
    fibre.worker.leave()
    try:
        fibre.gateway.apply(BASE)
        fibre.gateway.config.write_text(CONFIGURATION)
        plan = fibre.gateway.ctl_json("plan", "--config", str(fibre.gateway.config))
        assert [step["kind"] for step in plan["steps"]][-5:] == [
            "start-worker",
            *["take"] * 2,
            *["add-port"] * 2,
        ]
        (warning,) = plan["warnings"]
        assert "no worker listens" in warning
    finally:
        fibre.worker.keep()
    fibre.gateway.apply(CONFIGURATION)
    assert steps(fibre, CONFIGURATION) == []


def test_taken_away_and_back(fibre: Fibre) -> None:
    """Without its section the port is the kernel's, with all that it had."""
    routed(fibre)
    planned = steps(fibre, BASE)
    assert all(any(port in str(step) for step in planned) for port in PORTS), planned
    fibre.gateway.apply(BASE)
    assert in_the_kernel(fibre)
    assert steps(fibre, BASE) == []
    planned = steps(fibre, CONFIGURATION)
    assert all(any(port in str(step) for step in planned) for port in PORTS), planned
    fibre.gateway.apply(CONFIGURATION)
    for name in PORTS:
        assert is_tap(fibre, name)
        assert addresses(fibre, name) == OURS[name]
    assert "198.19.0.0/24" in fibre.lab.run("gw", ["ip", "route"])
    assert steps(fibre, CONFIGURATION) == []
    fibre.meet()
    forwarded(fibre)


def test_one_of_them_goes(fibre: Fibre) -> None:
    """The other one forwards all the time."""
    one = "".join(line for line in CONFIGURATION.splitlines(keepends=True) if "sfp1:" not in line)
    pid = fibre.worker.worker
    fibre.gateway.apply(one)
    assert is_tap(fibre, "sfp0")
    assert not is_tap(fibre, "sfp1")
    assert list(fibre.status().ports) == ["sfp0"]
    fibre.gateway.apply(CONFIGURATION)
    assert fibre.taken()
    assert fibre.worker.worker == pid
    fibre.meet()
    forwarded(fibre)


def test_what_the_port_is_called(fibre: Fibre) -> None:
    """The TAP has the device's own name and MAC address."""
    link = fibre.lab.run("gw", ["ip", "link", "show", SFP0.device])
    assert SFP0.mac in link


def test_shown(fibre: Fibre) -> None:
    port = fibre.port("sfp0")
    assert port["plane"] == "dpdk"
    for command in (["show", "ports"], ["show", "counters"], ["status"], ["show", "graph"]):
        said = fibre.gateway.ctl(*command).stdout
        assert command[-1] == "graph" or "sfp0" in said, said


def test_the_graph(fibre: Fibre) -> None:
    forwarded(fibre)
    nodes = {node["name"]: node for node in fibre.gateway.ctl_json("show", "graph")["nodes"]}
    for name in ("rx", "classify", "ip4-lookup", "ip4-rewrite", "tx"):
        assert nodes[name]["packets"] > 0, name
    assert "drop" in nodes
    assert fibre.gateway.ctl("show", "graph", "--dot").stdout.startswith("digraph")


def test_counters_count(fibre: Fibre) -> None:
    before = fibre.counters("sfp0").get("FORWARD_IP4", 0)
    forwarded(fibre)
    assert fibre.counters("sfp0")["FORWARD_IP4"] == before + 1
    assert "FORWARD_IP4" in fibre.gateway.ctl("show", "counters").stdout


def test_nothing_is_received_twice(fibre: Fibre) -> None:
    """By the worker and, on the device that it works on, by the kernel."""
    assert addresses(fibre, f"{SFP0.device}-wire") == set()
    request = header(EAST.ip, SFP0.ip) / ICMP(id=3, seq=1) / Raw(PAYLOAD)
    fibre.send(from_east(request), at="east", to="east", wanted=is_reply)
    assert not list(fibre.wires.arriving("east", is_reply, SILENCE_SECONDS))


def test_detach_leaves_nothing_behind(tmp_path: Path) -> None:
    """All that `ip`, nft, tc, ethtool and sysctl show is as it was in a lab without an agent."""
    lab = Lab(f"x{os.getpid()}", tmp_path / "lab")
    with ExitStack() as stack:
        stack.callback(leftovers.remove, lab)
        lab.up()
        stand(lab)
        before = everything(lab)
        worker = WorkerProcess(lab)
        worker.start()
        stack.callback(worker.stop)
        gateway = Gateway(lab, CONFIGURATION)
        gateway.start()
        assert everything(lab) != before
        gateway.ctl("detach", "--stay")
        unchanged(lab, before)
        gateway.ctl("apply", "--config", str(gateway.config))
        assert everything(lab) != before
        gateway.ctl("detach")
        gateway.process.stop()
        unchanged(lab, before)


def everything(lab: Lab) -> tuple[Traces, list[str]]:
    """Without what the kernel does by itself."""
    eventually(lambda: "tentative" not in lab.run("gw", ["ip", "addr"]), "addresses are ours", 5.0)
    commands = (
        ["ip", "-d", "-o", "link", "show"],
        ["ip", "-o", "addr", "show"],
        ["ip", "route", "show", "table", "all"],
        ["ip", "-6", "route", "show", "table", "all"],
        ["tc", "qdisc", "show"],
    )
    told = "".join(lab.run("gw", command) for command in commands)
    lines = re.sub(r"gc_timer +\S+", "", told).splitlines()
    return Traces.of(lab, (*DEVICES, *PORTS)), sorted(lines)


def unchanged(lab: Lab, before: tuple[Traces, list[str]]) -> None:
    after = everything(lab)
    assert after[0] == before[0]
    different = "\n".join(difflib.unified_diff(before[1], after[1], "before", "after", n=0))
    assert not different, different
