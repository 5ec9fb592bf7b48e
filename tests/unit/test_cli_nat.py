# SPDX-License-Identifier: GPL-2.0-or-later
"""gwctl's listings, `show nat` and `nat trace`: what they ask, print and refuse."""

import json
import os
import sys
from typing import Any

import click
import pytest

from hybrid_gateway.cli.filters import Duration
from hybrid_gateway.errors import GwError

from .test_cli import SESSION, Agent, agent, run

__all__ = ["agent"]

NAT: dict[str, Any] = {
    "enabled": True,
    "inside": ["br-lan"],
    "outside": "wan0",
    "sessions": {"used": 12, "limit": 65536},
    "hosts": {"holding": 3, "at_limit": 1},
    "mappings": 9,
    "persist": False,
    "mss_clamp": None,
    "log": {"sessions": True, "mappings": False, "destinations": False, "ipfix": "192.0.2.9:4739"},
    "timeouts": {"udp": 300, "port_rest": 120},
    "pools": [
        {
            "address": "203.0.113.2",
            "protocol": 6,
            "ports": 30000,
            "used": 9,
            "resting": 100,
            "static": 1,
            "left": 29890,
        }
    ],
    "static": [
        {
            "protocol": "tcp",
            "outside": ":80",
            "inside": "10.0.0.1:80, 10.0.0.2:80",
            "weights": [2, 1],
        },
        {"protocol": None, "outside": "203.0.113.9", "inside": "10.0.0.9"},
        {"protocol": "udp", "outside": "10.0.0.3:4789", "inside": "10.0.0.3:4789"},
    ],
    "warnings": [],
}
TRACE: dict[str, Any] = {
    "packet": {
        "protocol": "tcp",
        "source": ["10.0.0.1", 4000],
        "destination": ["198.51.100.10", 443],
    },
    "steps": [
        {"step": "session", "text": "there is none yet"},
        {"step": "host", "text": "is well"},
    ],
    "verdict": "FORWARD",
    "becomes": {"source": None, "destination": ["198.51.100.10", 443]},
}


@pytest.mark.parametrize(
    ("given", "seconds"),
    [("90s", 90), ("90", 90), ("5m", 300), ("5min", 300), ("1h30m", 5400), ("2d", 172800)],
)
def test_durations(given: str, seconds: float) -> None:
    assert Duration().convert(given, None, None) == seconds


@pytest.mark.parametrize("given", ["", "5x", "h", "-5s", "1h30", "5 m", "1e3", "5mm"])
def test_durations_that_are_none(given: str) -> None:
    with pytest.raises(click.BadParameter, match="90s, 5m, 1h30m or 2d"):
        Duration().convert(given, None, None)


def test_options_become_a_filter(agent: Agent) -> None:
    agent.answers["show.sessions"] = {"sessions": [], "next": None}
    options = "--inside 10.0.0.0/8 --port 443 --protocol tcp --older 5m --sort bytes --limit 7"

    assert run("show", "sessions", *options.split()) == 0
    wanted = {"inside": "10.0.0.0/8", "port": "443", "protocol": "tcp", "older": 300.0}
    assert agent.asked == [
        (
            "show.sessions",
            {"cursor": 0, "limit": 7, "filter": wanted, "sort": "bytes", "reverse": False},
        )
    ]


@pytest.mark.parametrize("cursor", ["", "-1", "x", "1.", "1.2.3", "٣", "9" * 5000])
def test_cursors_that_no_answer_gave(
    agent: Agent, capsys: pytest.CaptureFixture[str], cursor: str
) -> None:
    assert run("show", "sessions", "--cursor", cursor) == 2
    assert "is not a cursor that an answer gave" in capsys.readouterr().err
    assert not agent.asked


def test_clearing_by_filter(agent: Agent, capsys: pytest.CaptureFixture[str]) -> None:
    agent.answers["clear.sessions"] = {"cleared": 1}

    assert run("clear", "sessions", "--remote", ":53") == 0
    assert run("clear", "sessions") == 0
    assert capsys.readouterr().out == "1 session cleared\n" * 2
    assert [asked for _, asked in agent.asked] == [{"filter": {"remote": ":53"}}, {}]


def test_counting(agent: Agent, capsys: pytest.CaptureFixture[str]) -> None:
    agent.answers["show.sessions"] = {"count": 1234567}

    assert run("show", "sessions", "--count") == 0
    assert capsys.readouterr().out == "1 234 567 sessions\n"


@pytest.mark.parametrize("pages", [[], [0], [2], [2, 0, 1]])
def test_json_is_whole_whatever_the_pages(
    agent: Agent, capsys: pytest.CaptureFixture[str], pages: list[int]
) -> None:
    answers = [{"sessions": [SESSION] * n, "next": i + 1} for i, n in enumerate(pages)]
    agent.answers["show.sessions"] = [*answers, {"sessions": [], "next": None}]

    assert run("show", "sessions", "--all", "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == {"sessions": [SESSION] * sum(pages), "next": None}


def test_json_says_when_the_agent_fails_midway(
    agent: Agent, capsys: pytest.CaptureFixture[str]
) -> None:
    agent.answers["show.sessions"] = [{"sessions": [SESSION], "next": 9}, GwError("gone")]

    assert run("show", "sessions", "--all", "--json") == 1
    printed = json.loads(capsys.readouterr().out)
    assert len(printed["sessions"]) == 1
    assert printed["next"] == 9
    assert printed["error"]["message"] == "gone"


def test_json_when_the_agent_fails_at_once(
    agent: Agent, capsys: pytest.CaptureFixture[str]
) -> None:
    agent.answers["show.sessions"] = GwError("gone")

    assert run("show", "sessions", "--json") == 1
    assert json.loads(capsys.readouterr().out)["error"]["message"] == "gone"


def test_nothing_to_show(agent: Agent, capsys: pytest.CaptureFixture[str]) -> None:
    agent.answers["show.sessions"] = {"sessions": [], "next": None}
    agent.answers["show.mappings"] = {"mappings": [], "next": None}

    for command in (("sessions",), ("sessions", "--port", "1"), ("mappings",)):
        assert run("show", *command) == 0
    assert capsys.readouterr().out == "no sessions\nno sessions match\nno mappings\n"


def test_a_narrow_terminal_goes_without(
    agent: Agent, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    agent.answers["show.sessions"] = {"sessions": [SESSION] * 3, "next": None}
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setattr("shutil.get_terminal_size", lambda: os.terminal_size((80, 24)))

    assert run("show", "sessions") == 0
    lines = click.unstyle(capsys.readouterr().out).splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].split() == ["PROTO", "INSIDE", "OUTSIDE", "REMOTE", "STATE"]


def test_mappings(agent: Agent, capsys: pytest.CaptureFixture[str]) -> None:
    mapping = {
        "protocol": 17,
        "inside": ["10.0.0.1", 4000],
        "outside": ["203.0.113.2", 24000],
        "sessions": 1200,
    }
    agent.answers["show.mappings"] = {"mappings": [mapping], "next": 5}

    assert run("show", "mappings", "--outside", ":24000", "--limit", "1") == 0
    assert capsys.readouterr().out.splitlines() == [
        "PROTO  INSIDE         OUTSIDE            SESSIONS",
        "udp    10.0.0.1:4000  203.0.113.2:24000     1 200",
        "",
        "there are more: --all, or --cursor 5",
    ]


def test_nat_in_words(agent: Agent, capsys: pytest.CaptureFixture[str]) -> None:
    agent.answers["show.nat"] = NAT

    assert run("show", "nat") == 0
    assert capsys.readouterr().out.splitlines() == [
        "inside:   br-lan",
        "outside:  wan0",
        "sessions: 12 of 65 536 (0.0%)",
        "hosts:    3, 1 of them at their limit",
        "mappings: 9",
        "persist:  no",
        "log:      sessions to the journal, IPFIX to 192.0.2.9:4739",
        "timeouts: udp 300 s, port rest 120 s",
        "",
        "ADDRESS      PROTO   PORTS  USED  RESTING  STATIC    LEFT",
        "203.0.113.2  tcp    30 000     9      100       1  29 890",
        "",
        "STATIC  OUTSIDE        INSIDE",
        "tcp     :80            10.0.0.1:80 (weight 2), 10.0.0.2:80 (weight 1)",
        "any     203.0.113.9    10.0.0.9",
        "udp     10.0.0.3:4789  the same (identity)",
    ]


def test_nat_that_is_off(agent: Agent, capsys: pytest.CaptureFixture[str]) -> None:
    agent.answers["show.nat"] = {"enabled": False, "static": [], "warnings": []}

    assert run("show", "nat") == 0
    assert capsys.readouterr().out == "NAT44 is not configured, or is off\n"


def test_a_trace_in_words(agent: Agent, capsys: pytest.CaptureFixture[str]) -> None:
    agent.answers["nat.trace"] = TRACE

    assert run("nat", "trace", "10.0.0.1:4000", "--to", "198.51.100.10:443") == 0
    assert agent.asked[0][1] == {
        "packet": {"address": "10.0.0.1:4000", "to": "198.51.100.10:443", "protocol": "tcp"}
    }
    assert capsys.readouterr().out.splitlines() == [
        "tcp 10.0.0.1:4000 -> 198.51.100.10:443",
        "",
        "session: there is none yet",
        "host:    is well",
        "",
        "FORWARD: translated and sent",
        "tcp (a new outside port) -> 198.51.100.10:443",
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        ("show", "sessions", "--reverse"),
        ("show", "sessions", "--sort", "size"),
        ("show", "sessions", "--limit", "0"),
        ("show", "sessions", "--older", "soon"),
        ("nat", "trace"),
        ("nat", "trace", "10.0.0.1", "--to", "10.0.0.2", "--from", "10.0.0.3"),
        ("nat", "trace", "10.0.0.1", "--protocol", "esp"),
    ],
)
def test_bad_usage(agent: Agent, arguments: tuple[str, ...]) -> None:
    assert run(*arguments) == 2
    assert not agent.asked
