# SPDX-License-Identifier: GPL-2.0-or-later
"""gwctl show evpn and clear evpn: what they ask, print and refuse."""

import json
from typing import Any

import pytest

from .test_cli import STATUS, Agent, agent, run
from .test_cli_vxlan import printed, squeezed

__all__ = ["agent"]

SUMMARY: dict[str, Any] = {
    "daemon": "gobgp",
    "state": "synchronized",
    "since": 3700.0,
    "error": None,
    "neighbors": 2,
    "established": 1,
    "vnis": 1,
    "macs_local": 1,
    "macs_remote": 1040,
    "duplicates": 0,
}
NEIGHBOR: dict[str, Any] = {
    "address": "2001:db8:0:2::11",
    "asn": 64512,
    "state": "established",
    "since": 3600.0,
    "received": 1042,
    "routes_max": 60_000,
    "accepted": 1041,
    "advertised": 3,
    "flaps": 0,
    "reason": None,
}
SHOWN: dict[str, Any] = {
    "summary": SUMMARY,
    "asn": 64512,
    "router_id": "192.0.2.11",
    "neighbors": [NEIGHBOR],
    "refused": [],
    "kernel_failures": 0,
    "kernel_reasons": [],
    "vnis": [
        {
            "vni": 550,
            "device": "vni550",
            "bridge": "br50",
            "local": "2001:db8:0:1::11",
            "up": True,
            "routing": False,
            "vteps": 2,
            "macs_local": 1,
            "macs_remote": 1040,
            "duplicates": 0,
        }
    ],
}
MAC: dict[str, Any] = {
    "vni": 550,
    "mac": "02:00:c6:12:32:0c",
    "state": "remote",
    "vtep": "2001:db8:0:2::11",
    "port": None,
    "sequence": 3,
    "sticky": False,
    "age": 61.0,
    "moves": 1,
    "release_in": None,
    "addresses": ["198.18.50.12", "2001:db8:50::c", "fe80::c"],
}


def test_the_whole(agent: Agent, capsys: pytest.CaptureFixture[str]) -> None:
    agent.answers["show.evpn"] = SHOWN

    assert run("show", "evpn") == 0
    assert squeezed(printed(capsys)) == [
        "BGP: AS 64512, router id 192.0.2.11, by gobgp",
        "state: synchronized for 1 h 1 min",
        "",
        "NEIGHBOR AS STATE SINCE RECEIVED ACCEPTED SENT FLAPS WHY",
        "2001:db8:0:2::11 64512 established 1 h 1 042 1 041 3 0 -",
        "",
        "VNI DEVICE BRIDGE VTEP UP VTEPS MACS HERE MACS THERE DUPLICATE",
        "550 vni550 br50 2001:db8:0:1::11 yes 2 1 1 040 0",
    ]


def test_what_is_wrong(agent: Agent, capsys: pytest.CaptureFixture[str]) -> None:
    unknown = NEIGHBOR | {"state": None, "since": None, "reason": "hold timer expired"}
    agent.answers["show.evpn"] = SHOWN | {
        "summary": SUMMARY | {"state": "connecting", "error": "gobgpd does not answer"},
        "neighbors": [unknown],
        "refused": [
            {"peer": "2001:db8:0:2::11", "reason": "VNI 0", "count": 1200},
            {"peer": None, "reason": "more than 64 addresses", "count": 3},
        ],
        "kernel_failures": 2,
        "kernel_reasons": [{"reason": "File exists", "count": 2}],
        "vnis": [SHOWN["vnis"][0] | {"routing": True, "up": False}],
    }

    assert run("show", "evpn") == 0
    lines = squeezed(printed(capsys))
    assert lines[1:4] == [
        "state: connecting for 1 h 1 min",
        "error: gobgpd does not answer",
        "kernel: refused to take an entry 2 times: File exists (2)",
    ]
    assert lines[6] == "2001:db8:0:2::11 64512 unknown - 1 042 1 041 3 0 hold timer expired"
    assert lines[9] == "550 vni550 (prefixes) br50 2001:db8:0:1::11 no 2 1 1 040 0"
    assert lines[11:] == [
        "REFUSED ROUTES OF WHY",
        "1 200 2001:db8:0:2::11 VNI 0",
        "3 this gateway more than 64 addresses",
    ]


@pytest.mark.parametrize(
    ("summary", "line"),
    [(None, "EVPN is not configured"), (SUMMARY | {"state": None}, "EVPN is FRR's: vtysh")],
)
def test_nothing_of_ours(
    agent: Agent, capsys: pytest.CaptureFixture[str], summary: Any, line: str
) -> None:
    agent.answers["show.evpn"] = SHOWN | {"summary": summary}

    assert run("show", "evpn") == 0
    assert printed(capsys)[0].startswith(line)


def test_json(agent: Agent, capsys: pytest.CaptureFixture[str]) -> None:
    agent.answers["show.evpn"] = SHOWN
    agent.answers["show.evpn.macs"] = {"macs": [MAC], "next": None}

    assert run("show", "evpn", "--json") == 0
    assert json.loads(capsys.readouterr().out) == SHOWN
    assert run("--json", "show", "evpn", "macs") == 0
    assert json.loads(capsys.readouterr().out) == {"macs": [MAC], "next": None}


def test_stations(agent: Agent, capsys: pytest.CaptureFixture[str]) -> None:
    local = MAC | {"state": "local", "vtep": None, "port": "seg0", "addresses": []}
    frozen = MAC | {"state": "duplicate", "moves": 5, "release_in": 170.3, "addresses": ["::1"]}
    agent.answers["show.evpn.macs"] = {
        "macs": [MAC, local | {"sticky": True}, frozen],
        "next": None,
    }

    assert run("show", "evpn", "macs", "--vni", "550", "--mac", "02:00", "--state", "remote") == 0
    assert agent.asked == [
        (
            "show.evpn.macs",
            {
                "cursor": 0,
                "limit": 100,
                "filter": {"vni": 550, "mac": "02:00", "state": "remote"},
            },
        )
    ]
    assert squeezed(printed(capsys)) == [
        "VNI MAC STATE WHERE SEQUENCE AGE MOVES ADDRESSES",
        "550 02:00:c6:12:32:0c remote 2001:db8:0:2::11 3 1 min 1 s 1 "
        "198.18.50.12, 2001:db8:50::c +1",
        "550 02:00:c6:12:32:0c local, sticky seg0 3 1 min 1 s 1 -",
        "550 02:00:c6:12:32:0c duplicate, 2 min 50 s more 2001:db8:0:2::11 3 1 min 1 s 5 ::1",
    ]


def test_how_many(agent: Agent, capsys: pytest.CaptureFixture[str]) -> None:
    agent.answers["show.evpn.macs"] = {"count": 50000}

    assert run("show", "evpn", "macs", "--count", "--address", "198.18.50.12") == 0
    assert agent.asked == [
        ("show.evpn.macs", {"count": True, "filter": {"address": "198.18.50.12"}})
    ]
    assert printed(capsys) == ["50 000 stations"]


def test_vteps_and_prefixes(agent: Agent, capsys: pytest.CaptureFixture[str]) -> None:
    vteps = [{"vni": 550, "address": "2001:db8:0:2::11", "flood": True, "macs": 1040}]
    prefixes = [
        {"vni": 5000, "prefix": "10.0.0.0/8", "vtep": None, "router_mac": None},
        {"vni": 5000, "prefix": "::/0", "vtep": "192.0.2.2", "router_mac": "02:00:00:00:00:01"},
    ]
    agent.answers["show.evpn.vteps"] = {"vteps": vteps, "next": None}
    agent.answers["show.evpn.prefixes"] = {"prefixes": prefixes, "next": None}

    assert run("show", "evpn", "vteps") == 0
    assert squeezed(printed(capsys)) == [
        "VNI VTEP FLOODED TO MACS",
        "550 2001:db8:0:2::11 yes 1 040",
    ]
    assert run("show", "evpn", "prefixes") == 0
    assert squeezed(printed(capsys)) == [
        "VNI PREFIX BY ROUTER MAC",
        "5000 10.0.0.0/8 this gateway -",
        "5000 ::/0 192.0.2.2 02:00:00:00:00:01",
    ]


@pytest.mark.parametrize(
    ("what", "key", "line"),
    [
        ("macs", "macs", "no stations match"),
        ("vteps", "vteps", "no VTEPs match"),
        ("prefixes", "prefixes", "no prefixes match"),
    ],
)
def test_nothing_matches(
    agent: Agent, capsys: pytest.CaptureFixture[str], what: str, key: str, line: str
) -> None:
    agent.answers[f"show.evpn.{what}"] = {key: [], "next": None}

    assert run("show", "evpn", what, "--vtep", "192.0.2.1") == 0
    assert printed(capsys) == [line]


def test_duplicates_are_released(agent: Agent, capsys: pytest.CaptureFixture[str]) -> None:
    agent.answers["clear.evpn"] = {"cleared": 1}

    assert run("clear", "evpn", "duplicates", "--vni", "550", "--mac", MAC["mac"]) == 0
    assert agent.asked == [("clear.evpn", {"filter": {"vni": 550, "mac": MAC["mac"]}})]
    assert printed(capsys) == ["1 station released"]


def test_refusals_are_counted_anew(agent: Agent, capsys: pytest.CaptureFixture[str]) -> None:
    agent.answers["clear.evpn.refused"] = {"cleared": 2}

    assert run("clear", "evpn", "refused") == 0
    assert agent.asked == [("clear.evpn.refused", {})]
    assert printed(capsys) == ["2 reasons cleared"]


@pytest.mark.parametrize("arguments", [("macs", "--vni", "0"), ("macs", "--state", "lost")])
def test_what_makes_no_sense(arguments: tuple[str, ...]) -> None:
    assert run("show", "evpn", *arguments) == 2


@pytest.mark.parametrize(
    ("evpn", "line"),
    [
        (
            SUMMARY | {"duplicates": 1},
            "EVPN: synchronized; 1 of 2 neighbors established; "
            "1 VNI, 1 MAC here and 1 040 elsewhere; 1 duplicate",
        ),
        (SUMMARY | {"state": None}, "EVPN: FRR's"),
    ],
)
def test_status(
    agent: Agent, capsys: pytest.CaptureFixture[str], evpn: dict[str, Any], line: str
) -> None:
    agent.answers["status"] = STATUS | {"evpn": evpn}

    assert run("status") == 0
    assert line in printed(capsys)
