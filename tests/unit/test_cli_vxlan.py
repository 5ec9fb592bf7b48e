# SPDX-License-Identifier: GPL-2.0-or-later
"""gwctl show vxlan and show fdb: what they ask, print and refuse."""

import json
import sys
from typing import Any

import click
import pytest
from click.shell_completion import BashComplete

from hybrid_gateway import cli
from hybrid_gateway.cli import suggest
from hybrid_gateway.errors import NotRunningError

from .test_cli import STATUS, Agent, agent, run

__all__ = ["agent"]

SEGMENT: dict[str, Any] = {
    "device": "vni100",
    "vni": 100,
    "bridge": "br-lan",
    "vlan": None,
    "family": 4,
    "local": ["192.0.2.1"],
    "port": 4789,
    "external": False,
    "sources": "learned",
    "fragment": True,
    "mtu": 1500,
    "outer_mtu": 1550,
    "underlay_mtu": 1500,
    "vteps": 2,
    "floods": 2,
    "macs_local": 3,
    "macs_remote": 1040,
    "macs_kernel": 0,
    "forwards": "xdp",
    "reason": None,
    "flooded_by": "kernel",
    "flooded_reason": None,
}
OVER_IPV6 = SEGMENT | {
    "device": "vxlan0",
    "vni": 7,
    "vlan": 10,
    "family": 6,
    "local": ["2001:db8:1::1", "2001:db8:1::2"],
    "external": True,
    "sources": ["2001:db8:2::1"],
    "outer_mtu": 1570,
    "fragment": False,
    "macs_kernel": 4,
    "forwards": "partly",
    "flooded_reason": "lan3 is no port of the worker's",
    "reason": "XDP bridges by no port of br-lan",
}
STRANGER = SEGMENT | dict.fromkeys(
    ("sources", "fragment", "underlay_mtu", "vteps", "floods", "macs_local", "macs_remote")
)
STRANGER |= {
    "device": "vni9",
    "vni": 9,
    "bridge": None,
    "local": [],
    "macs_kernel": None,
    "forwards": "kernel",
    "reason": "it is not in the vxlan section of the configuration",
}
NO_PORT = "lan3 is no port of the worker's"
VTEP = {
    "device": "vni100",
    "vni": 100,
    "address": "198.51.100.1",
    "macs": 1040,
    "why": ["fdb", "flood"],
    "allowed": True,
    "xdp": True,
}
STATION: dict[str, Any] = {
    "bridge": "br-lan",
    "vlan": None,
    "mac": "02:00:c0:a8:6e:0a",
    "port": "lan0",
    "vtep": None,
    "vni": None,
    "state": "learned",
    "seen": 12.3,
    "used": None,
    "xdp": True,
    "plane": "xdp",
    "addresses": ["192.168.110.10"],
    "more_addresses": 0,
}


def printed(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().out.splitlines()


def squeezed(lines: list[str]) -> list[str]:
    """With one space where the columns have some."""
    return [" ".join(line.split()) for line in lines]


def test_segments(agent: Agent, capsys: pytest.CaptureFixture[str]) -> None:
    agent.answers["show.vxlan"] = {"segments": [SEGMENT, OVER_IPV6, STRANGER], "next": None}

    assert run("show", "vxlan") == 0
    lines = printed(capsys)
    assert squeezed(lines[:4]) == [
        "DEVICE VNI BRIDGE VLAN LOCAL ADDRESS SOURCES VTEPS FLOOD MACS HERE MACS THERE MTU OUTER "
        "FORWARDED BY",
        "vni100 100 br-lan - 192.0.2.1:4789 learned 2 2 3 1 040 1500 cut XDP",
        "vxlan0 7 br-lan 10 [2001:db8:1::1]:4789 +1 listed 2 2 3 1 040 1500 too big partly",
        "vni9 9 - - - - - - - - 1500 - kernel",
    ]
    assert lines[4:] == [
        "",
        "vxlan0 VNI 7: XDP bridges by no port of br-lan",
        f"vxlan0 VNI 7: the kernel floods: {NO_PORT}",
        "vni9: it is not in the vxlan section of the configuration",
    ]


def test_one_segment_in_full(agent: Agent, capsys: pytest.CaptureFixture[str]) -> None:
    agent.answers["show.vxlan"] = {"segments": [SEGMENT], "next": None}
    other = VTEP | {"address": "192.0.2.9", "why": ["flood", "listed"], "macs": 0}
    page = {"vteps": [VTEP], "next": 1}
    agent.answers["show.vteps"] = [page, {"vteps": [other], "next": None}]

    assert run("show", "vxlan", "vni100") == 0
    assert printed(capsys) == [
        "vni100: VNI 100 in br-lan",
        "forwarded by:  XDP",
        "arrives at:    192.0.2.1:4789",
        "accepted from: the VTEPs that its FDB and its flood list name (learned)",
        "flooded to:    198.51.100.1, 192.0.2.9",
        "flooded by:    the kernel",
        "MACs here:     3",
        "MACs there:    1 040",
        "MTU:           1500, with the outer headers 1550: the underlay takes 1500, "
        "so the largest packets are cut",
        "",
        "VTEP           MACS  KNOWN FROM                 MAY SEND",
        "198.51.100.1  1 040  FDB, flood list            yes",
        "192.0.2.9         0  flood list, configuration  yes",
    ]
    assert {params["filter"]["segment"] for _, params in agent.asked} == {"vni100"}


def test_one_segment_in_json(agent: Agent, capsys: pytest.CaptureFixture[str]) -> None:
    agent.answers["show.vxlan"] = {"segments": [SEGMENT], "next": None}
    agent.answers["show.vteps"] = {"vteps": [VTEP], "next": None}

    assert run("show", "vxlan", "100", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"segments": [SEGMENT], "vteps": [VTEP]}


@pytest.mark.parametrize(
    ("segment", "line"),
    [
        (OVER_IPV6, "forwarded by:  the kernel in part: XDP bridges by no port of br-lan"),
        (OVER_IPV6, "arrives at:    [2001:db8:1::1]:4789, [2001:db8:1::2]:4789"),
        (OVER_IPV6, "accepted from: 2001:db8:2::1, and nobody else (listed)"),
        (OVER_IPV6, "MACs there:    1 040, 4 of them reached by the kernel"),
        (
            OVER_IPV6,
            "MTU:           1500, with the outer headers 1570: "
            "the underlay takes 1500, and what is larger is refused (fragment: false)",
        ),
        (
            SEGMENT | {"underlay_mtu": 9000},
            "MTU:           1500, with the outer headers 1550: fits the underlay's 9000",
        ),
        (SEGMENT | {"underlay_mtu": None}, "MTU:           1500, with the outer headers 1550"),
        (SEGMENT | {"sources": "any"}, "accepted from: whoever sends (any)"),
        (SEGMENT | {"floods": 20}, "flooded to:    20 VTEPs"),
        (SEGMENT | {"flooded_by": "worker"}, "flooded by:    the worker"),
        (SEGMENT | {"flooded_reason": NO_PORT}, f"flooded by:    the kernel: {NO_PORT}"),
        (
            SEGMENT | {"floods": 0},
            "flooded to:    nobody: broadcast, and what is for unknown stations, "
            "is sent to no VTEP",
        ),
        (
            STRANGER,
            "forwarded by: the kernel: it is not in the vxlan section of the configuration",
        ),
    ],
)
def test_what_is_said_of_a_segment(
    agent: Agent, capsys: pytest.CaptureFixture[str], segment: dict[str, Any], line: str
) -> None:
    agent.answers["show.vxlan"] = {"segments": [segment], "next": None}
    agent.answers["show.vteps"] = {"vteps": [], "next": None}

    assert run("show", "vxlan", "x") == 0
    assert line in printed(capsys)


def test_no_vxlan(agent: Agent, capsys: pytest.CaptureFixture[str]) -> None:
    agent.answers["show.vxlan"] = {"segments": [], "next": None}

    assert run("show", "vxlan") == 0
    assert printed(capsys) == ["no segments: there is no VXLAN in the configuration"]
    assert run("show", "vxlan", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"segments": [], "next": None}


def test_stations(agent: Agent, capsys: pytest.CaptureFixture[str]) -> None:
    remote = STATION | {
        "mac": "02:00:cb:00:71:14",
        "vlan": 10,
        "port": "vni100",
        "vtep": "198.51.100.1",
        "vni": 100,
        "state": "extern",
        "seen": None,
        "addresses": ["203.0.113.20", "2001:db8::14", "fe80::1"],
        "more_addresses": 2,
    }
    nobody_knows = remote | {"vtep": None, "addresses": [], "more_addresses": 0}
    nobody_knows |= {"xdp": False, "plane": "kernel"}
    fibre = STATION | {"port": "sfp0", "seen": None, "xdp": False, "plane": "worker"}
    agent.answers["show.fdb"] = {"fdb": [STATION, remote, nobody_knows, fibre], "next": None}

    assert run("show", "fdb") == 0
    assert squeezed(printed(capsys)) == [
        "BRIDGE VLAN MAC WHERE STATE SEEN BY XDP ADDRESSES",
        "br-lan - 02:00:c0:a8:6e:0a lan0 learned 12 s ago 192.168.110.10",
        "br-lan 10 02:00:cb:00:71:14 198.51.100.1 by vni100 extern - 203.0.113.20, 2001:db8::14 +3",
        "br-lan 10 02:00:cb:00:71:14 vni100 (kernel) extern - -",
        "br-lan - 02:00:c0:a8:6e:0a sfp0 (worker) learned - 192.168.110.10",
    ]


def test_what_stations_are_asked_for(agent: Agent) -> None:
    agent.answers["show.fdb"] = {"fdb": [], "next": None}
    options = "--bridge br-lan --vlan 10 --mac 02:00 --port vni100 --vtep 192.0.2.9 --vni 7"

    assert run("show", "fdb", *options.split(" "), "--state", "static", "--limit", "5") == 0
    assert agent.asked == [
        (
            "show.fdb",
            {
                "cursor": 0,
                "limit": 5,
                "filter": {
                    "bridge": "br-lan",
                    "vlan": 10,
                    "mac": "02:00",
                    "port": "vni100",
                    "vtep": "192.0.2.9",
                    "vni": 7,
                    "state": "static",
                },
            },
        )
    ]


@pytest.mark.parametrize(
    "options", [("--vlan", "0"), ("--vlan", "x"), ("--vni", "16777216"), ("--state", "old")]
)
def test_what_stations_cannot_be_asked_for(agent: Agent, options: tuple[str, ...]) -> None:
    assert run("show", "fdb", *options) == 2
    assert not agent.asked


def test_stations_are_counted(agent: Agent, capsys: pytest.CaptureFixture[str]) -> None:
    agent.answers["show.fdb"] = {"count": 100_000}

    assert run("show", "fdb", "--count", "--port", "lan0") == 0
    assert printed(capsys) == ["100 000 stations"]
    assert agent.asked == [("show.fdb", {"count": True, "filter": {"port": "lan0"}})]


def test_stations_page_after_page(agent: Agent, capsys: pytest.CaptureFixture[str]) -> None:
    agent.answers["show.fdb"] = [
        {"fdb": [STATION] * 1000, "next": 1400},
        {"fdb": [STATION], "next": None},
    ]

    assert run("show", "fdb", "--all", "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert len(answer["fdb"]) == 1001
    assert [params["cursor"] for _, params in agent.asked] == [0, 1400]


@pytest.mark.parametrize("command", ["vxlan", "fdb"])
def test_a_narrow_terminal_goes_without(
    agent: Agent,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    command: str,
) -> None:
    agent.answers["show.vxlan"] = {"segments": [OVER_IPV6], "next": None}
    agent.answers["show.fdb"] = {"fdb": [STATION], "next": None}
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "60")

    assert run("show", command) == 0
    table = click.unstyle(capsys.readouterr().out).partition("\n\n")[0]
    assert max(len(line) for line in table.splitlines()) <= 60
    kept = {"vxlan": ("DEVICE", "VNI", "FORWARDED BY"), "fdb": ("MAC", "WHERE")}
    assert all(name in table for name in kept[command])


def test_ports_that_bridge(agent: Agent, capsys: pytest.CaptureFixture[str]) -> None:
    port = STATUS["ports"][0]  # type: ignore[index]
    ports = [
        port | {"bridged": True, "underlay": False},
        port | {"name": "wan0", "role": None, "bridged": False, "underlay": True},
    ]
    agent.answers["show.ports"] = {"ports": ports}

    assert run("show", "ports") == 0
    lines = printed(capsys)
    assert "  inside, bridged  " in lines[1]
    assert "  underlay  " in lines[2]


@pytest.mark.parametrize(
    ("forwarded", "line"),
    [
        (2, "VXLAN: 2 segments, 3 VTEPs"),
        (1, "VXLAN: 2 segments, 3 VTEPs; 1 (partly) the kernel's, see gwctl show vxlan"),
    ],
)
def test_status(
    agent: Agent, capsys: pytest.CaptureFixture[str], forwarded: int, line: str
) -> None:
    vxlan = {
        "segments": 2,
        "by_xdp": 1,
        "by_worker": forwarded - 1,
        "forwarded": forwarded,
        "stations": 1043,
        "stations_limit": 131072,
        "vteps": 3,
    }
    agent.answers["status"] = STATUS | {"vxlan": vxlan, "sessions": {"used": 0, "limit": 0}}

    assert run("status") == 0
    lines = printed(capsys)
    assert lines[6:8] == [line, "stations: 1 043 of 131 072 (0.8%)"]


class Answers:
    """A client whose agent has these; an exception is raised instead."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self._answers = answers
        self.instances: list[str] = []

    def __call__(self, instance: Any, _: float) -> "Answers":
        self.instances.append(instance.name)
        return self

    def __enter__(self) -> "Answers":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def call(self, method: str, **_: Any) -> Any:
        answer = self._answers[method]
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.mark.parametrize(
    ("words", "incomplete", "offered"),
    [
        (["show"], "v", ["vxlan"]),
        (["show", "vxlan"], "", ["vni100", "vni9", "100", "9"]),
        (["show", "vxlan"], "vni1", ["vni100"]),
        (["show", "fdb", "--bridge"], "", ["br-lan"]),
        (["show", "fdb", "--port"], "", ["lan0", "vni100", "vni9"]),
        (["show", "fdb", "--vtep"], "198", ["198.51.100.1"]),
        (["show", "fdb", "--state"], "e", ["extern"]),
    ],
)
def test_the_tab_key_knows_names(
    monkeypatch: pytest.MonkeyPatch, words: list[str], incomplete: str, offered: list[str]
) -> None:
    client = Answers(
        {
            "show.vxlan": {"segments": [SEGMENT, STRANGER], "next": None},
            "show.vteps": {"vteps": [VTEP], "next": None},
            "show.ports": {"ports": [{"device": "lan0"}]},
        }
    )
    monkeypatch.setattr(suggest, "Client", client)
    completion = BashComplete(cli.root, {}, "gwctl", "_GWCTL_COMPLETE")

    found = completion.get_completions(["--instance", "lab", *words], incomplete)
    assert [item.value for item in found] == offered
    assert set(client.instances) <= {"lab"}


def test_the_tab_key_without_an_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suggest, "Client", Answers({"show.vxlan": NotRunningError("no")}))

    completion = BashComplete(cli.root, {}, "gwctl", "_GWCTL_COMPLETE")
    assert completion.get_completions(["show", "vxlan"], "") == []
