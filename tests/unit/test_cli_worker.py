# SPDX-License-Identifier: GPL-2.0-or-later
"""gwctl: what it says of the DPDK worker, with answers put in the agent's mouth."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import click
import pytest

from hybrid_gateway.cli.counters import WORKER_GROUPS, grouped
from hybrid_gateway.cli.login import session_addresses
from hybrid_gateway.cli.worker import describe
from tests.unit.test_cli import ROOT, STATUS, Agent, run

MIB = 1 << 20
FIGURES = {
    "rx_packets": 1_234_567,
    "rx_bytes": 0,
    "rx_missed": 1,
    "rx_errors": 2,
    "rx_no_buffer": 0,
    "tx_packets": 12,
    "tx_bytes": 0,
    "tx_errors": 4,
    "to_kernel": 5,
    "from_kernel": 6,
}
DPDK = {
    "device": "0000:04:00.0",
    "driver": "net_e1000_igb",
    "mac": "02:00:00:00:00:01",
    "mtu": 1500,
    "speed": 2500,
    "polling": "adaptive",
    "rx_interrupts": True,
    "sleeping": False,
    "core": 3,
    "problem": None,
    **FIGURES,
}


def port(name: str, dpdk: dict[str, Any] | None) -> dict[str, Any]:
    return {
        "name": name,
        "device": name,
        "plane": "dpdk",
        "ifindex": 7,
        "up": True,
        "role": None,
        "bridged": False,
        "underlay": False,
        "mode": None,
        "l3_device": name,
        "taken": dpdk is not None,
        "dpdk": dpdk,
    }


MIRROR = {
    "routes4": 1200,
    "routes6": 8,
    "nexthops": 5,
    "neighbours4": 2,
    "neighbours6": 1,
    "stations": 0,
    "synchronised": True,
}
WORKER = {
    "state": "running",
    "reason": None,
    "pid": 815,
    "cores": [3],
    "polling": "adaptive",
    "hugepages": {"configured": 256 * MIB, "got": 256 * MIB, "minimum": 61 * MIB},
    "ports": ["sfp0"],
    "mirror": MIRROR,
    "lcores": [],
    "crashes": 0,
}


@pytest.fixture
def agent(monkeypatch: pytest.MonkeyPatch) -> Agent:
    return Agent(monkeypatch)


def printed(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().out.splitlines()


def test_status(agent: Agent, capsys: pytest.CaptureFixture[str]) -> None:
    ports = [*STATUS["ports"], port("sfp0", DPDK)]  # type: ignore[misc]
    agent.answers["status"] = {**STATUS, "warnings": [], "ports": ports, "worker": WORKER}

    assert run("status") == 0
    assert printed(capsys)[3:] == [
        "PORT  DEVICE  ROLE    XDP MODE  ADDRESSES ON",
        "lan0  enp1s0  inside  native    br-lan",
        "",
        "PORT  DEVICE  INDEX  UP   DRIVER         SPEED     POLLING   CORE  ADDRESSES ON",
        "sfp0  sfp0        7  yes  net_e1000_igb  2.5 Gb/s  adaptive     3  sfp0",
        "",
        "worker:    running (process 815); core 3; polling adaptive",
        "hugepages: 256 MB; 61 MB needed at least",
        "mirror:    1 200 IPv4 and 8 IPv6 routes, 5 next hops, 3 neighbours, 0 stations",
        "",
        "sessions: 12 of 65 536 (0.0%)",
    ]


def test_status_of_a_worker_that_was_given_up(
    agent: Agent, capsys: pytest.CaptureFixture[str]
) -> None:
    given_up = {
        **WORKER,
        "state": "given back",
        "reason": "it died 3 times within 60 s",
        "waits_for": "apply",
        "pid": None,
        "cores": [],
        "hugepages": {"configured": 256 * MIB, "got": None, "minimum": None},
        "mirror": None,
        "crashes": 3,
    }
    agent.answers["status"] = {**STATUS, "ports": [port("sfp0", None)], "worker": given_up}

    assert run("status") == 0
    assert printed(capsys)[3:8] == [
        "PORT  DEVICE  INDEX  UP   DRIVER        SPEED  POLLING  CORE  ADDRESSES ON",
        "sfp0  sfp0        7  yes  the kernel's  -      -           -  sfp0",
        "",
        "worker:  given back: it died 3 times within 60 s; tried again by gwctl apply",
        "crashes: 3 within the last minute",
    ]


@pytest.mark.parametrize(
    ("waits_for", "seconds", "said"),
    [
        ("return", None, "given back: why; tried again when it is back"),
        ("time", 75, "given back: why; tried again in 1 min 15 s, or by gwctl apply"),
        (None, None, "given back: why"),
    ],
)
def test_when_it_is_tried_again(waits_for: str | None, seconds: int | None, said: str) -> None:
    worker = {"state": "given back", "reason": "why", "waits_for": waits_for, "retry_in": seconds}

    assert click.unstyle(describe(worker)) == f"worker: {said}"


def test_ports_that_are_left_out() -> None:
    left = [
        {"port": "sfp0", "reason": "no such device", "retry_in": 20},
        {"port": "sfp1", "reason": "the only way in", "retry_in": None},
    ]

    said = click.unstyle(describe({"state": "running", "left_out": left}))

    assert said.splitlines()[1] == (
        "left out: sfp0, tried again in 20 s, or by gwctl apply; sfp1, tried again by gwctl apply"
    )


def test_ports(agent: Agent, capsys: pytest.CaptureFixture[str]) -> None:
    unserved = {**port("sfp2", None), "taken": True}
    agent.answers["show.ports"] = {"ports": [port("sfp0", DPDK), port("sfp1", None), unserved]}

    assert run("show", "ports") == 0
    assert printed(capsys) == [
        "PORT  DEVICE  INDEX  UP   DRIVER         SPEED     POLLING   CORE  ADDRESSES ON",
        "sfp0  sfp0        7  yes  net_e1000_igb  2.5 Gb/s  adaptive     3  sfp0",
        "sfp1  sfp1        7  yes  the kernel's   -         -            -  sfp1",
        "sfp2  sfp2        7  yes  nobody         -         -            -  sfp2",
        "",
        "PORT   RECEIVED  SENT  TO KERNEL  FROM KERNEL  LOST OR WRONG",
        "sfp0  1 234 567    12          5            6              7",
    ]


def test_counters_of_both_planes(agent: Agent, capsys: pytest.CaptureFixture[str]) -> None:
    agent.answers["show.counters"] = {
        "ports": [
            {"name": "lan0", "plane": "xdp", "counters": {"PUNT_VLAN": 2}},
            {"name": "sfp0", "plane": "dpdk", "counters": {"FORWARD_IP4": 7, "DROP_TAP": 0}},
        ]
    }

    assert run("show", "counters") == 0
    assert printed(capsys) == [
        "FRAMES              lan0",
        "Left to the kernel",
        "  PUNT_VLAN            2  tagged with a VLAN",
        "",
        "FRAMES                   sfp0",
        "Forwarded by the worker",
        "  FORWARD_IP4               7  IPv4, routed",
    ]


def test_every_counter_has_a_phrase() -> None:
    header = (ROOT / "dpdk/src/counters.h").read_text()
    names = set(re.findall(r"\tX\((\w+)\)", header))

    assert names
    assert {name for counters in WORKER_GROUPS.values() for name in counters} == names
    assert "Others" not in grouped(names, WORKER_GROUPS)


# ---- apply ----------------------------------------------------------------------------


def test_force_and_the_session_are_passed_on(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    agent.answers["apply"] = {"steps": []}
    monkeypatch.setattr("hybrid_gateway.cli.config.session_addresses", lambda: ["192.0.2.7"])

    assert run("apply", "--force") == 0
    assert agent.asked == [("apply", {"config": None, "sessions": ["192.0.2.7"], "force": True})]


@pytest.mark.parametrize(
    ("value", "addresses"),
    [
        ("192.0.2.7 50000 192.0.2.1 22", ["192.0.2.7"]),
        ("2001:db8::7 50000 2001:db8::1 22", ["2001:db8::7"]),
        ("fe80::7%eth0 50000 fe80::1%eth0 22", ["fe80::7"]),
        ("UNKNOWN 65535 UNKNOWN 65535", []),
        ("", []),
    ],
)
def test_the_session_of_an_ancestor(tmp_path: Path, value: str, addresses: list[str]) -> None:
    """sudo hides it from gwctl's own environment."""
    tree = {os.getpid(): (41, ""), 41: (7, "sudo) ("), 7: (1, "sshd")}
    for pid, (parent, name) in tree.items():
        folder = tmp_path / str(pid)
        folder.mkdir()
        (folder / "stat").write_text(f"{pid} ({name}) S {parent} 1 1 0")
        (folder / "environ").write_bytes(b"HOME=/root\0")
    (tmp_path / "7" / "environ").write_bytes(f"A=b\0SSH_CONNECTION={value}\0".encode())

    assert session_addresses(tmp_path) == addresses


def test_nobody_is_logged_in(tmp_path: Path) -> None:
    assert session_addresses(tmp_path) == []


# ---- the graph ------------------------------------------------------------------------


def node(name: str, packets: int, calls: int, share: float, *following: str) -> dict[str, Any]:
    return {
        "name": name,
        "calls": calls,
        "packets": packets,
        "cycles": packets * 20,
        "packets_per_call": packets / calls if calls else None,
        "cycles_per_packet": 20.0 if packets else None,
        "share": share,
        "next": list(following),
    }


GRAPH = {
    "nodes": [
        node("rx", 32000, 1000, 0.5, "classify"),
        node("classify", 32000, 1000, 0.5, "ip4-lookup", "punt"),
        node("ip4-lookup", 32000, 1000, 0.0, "drop", "rx"),
        node("punt", 0, 0, 0.0),
        node("drop", 3, 1, 0.0),
    ]
}


def test_graph(agent: Agent, capsys: pytest.CaptureFixture[str]) -> None:
    agent.answers["show.graph"] = GRAPH

    assert run("show", "graph") == 0
    assert printed(capsys) == [
        "NODE        PACKETS  PER CALL  CYCLES/PACKET  SHARE  NEXT",
        "rx           32 000      32.0           20.0  50.0%  classify",
        "classify     32 000      32.0           20.0  50.0%  ip4-lookup, punt",
        "ip4-lookup   32 000      32.0           20.0   0.0%  drop, rx",
        "punt              0         -              -   0.0%  -",
        "drop              3       3.0           20.0   0.0%  -",
    ]


def test_graph_for_programs(agent: Agent, capsys: pytest.CaptureFixture[str]) -> None:
    agent.answers["show.graph"] = GRAPH

    assert run("show", "graph", "--json") == 0
    assert json.loads(capsys.readouterr().out) == GRAPH


def test_graph_for_graphviz(agent: Agent, capsys: pytest.CaptureFixture[str]) -> None:
    agent.answers["show.graph"] = GRAPH

    assert run("show", "graph", "--dot") == 0
    lines = printed(capsys)
    assert lines[0] == "digraph gw {"
    assert '\t"rx" -> "classify";' in lines
    assert '\t"classify" -> "punt" [style=dashed, color="#9aa0a6"];' in lines
    assert '\t"ip4-lookup" -> "rx" [constraint=false];' in lines
    assert any("32 000 packets<br/>20.0 cycles each, 50%" in line for line in lines)


def test_a_picture_by_graphviz(
    agent: Agent,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    agent.answers["show.graph"] = GRAPH
    drawn: list[str] = []

    def dot(command: list[str], *, input: str, **_: Any) -> None:
        drawn.append(input)
        Path(command[-1]).write_text("<svg/>")

    monkeypatch.setattr(subprocess, "run", dot)

    assert run("show", "graph", "--svg", str(tmp_path / "g.svg")) == 0
    assert drawn[0].startswith("digraph gw {")
    assert printed(capsys) == [f"{tmp_path / 'g.svg'}: 5 nodes"]


def test_no_graphviz(
    agent: Agent, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    agent.answers["show.graph"] = GRAPH
    monkeypatch.setenv("PATH", "/nonexistent")

    assert run("show", "graph", "--svg", "g.svg") == 1
    assert "which is not installed: apt install graphviz" in capsys.readouterr().err


def test_one_picture_at_a_time(agent: Agent) -> None:
    assert run("show", "graph", "--svg", "g.svg", "--dot") == 2
    assert agent.asked == []
