# SPDX-License-Identifier: GPL-2.0-or-later
"""gwctl: what it prints and how it exits, with answers put in the agent's mouth."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest

from hybrid_gateway import cli
from hybrid_gateway.cli import text
from hybrid_gateway.cli.base import Output
from hybrid_gateway.cli.counters import GROUPS, grouped
from hybrid_gateway.errors import NotRunningError, RemoteError

ROOT = Path(__file__).resolve().parents[2]
STATUS = {
    "instance": "main",
    "version": "0.1.0",
    "pid": 4711,
    "state": "forwarding",
    "since": None,
    "ports": [
        {
            "name": "lan0",
            "device": "enp1s0",
            "ifindex": 2,
            "up": True,
            "role": "inside",
            "mode": "native",
            "l3_device": "br-lan",
        }
    ],
    "sessions": {"used": 12, "limit": 65536},
    "warnings": [{"where": "/etc/gw/gateway.yaml:9: nat44.timeouts.udp", "message": "short"}],
}
SESSION = {
    "protocol": 6,
    "inside": ["192.168.110.10", 4000],
    "outside": ["203.0.113.2", 24000],
    "remote": ["198.51.100.10", 443],
    "state": "established",
    "origin": "outbound",
    "packets_out": 5,
    "packets_in": 9,
    "bytes_out": 640,
    "bytes_in": 20_000_000,
    "age": 61.2,
    "expires_in": 7439.9,
}


class Agent:
    """Answers by method name; an exception is raised instead."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answers: dict[str, Any] = {}
        self.asked: list[tuple[str, dict[str, Any]]] = []
        monkeypatch.setattr(Output, "ask", self._ask)

    def _ask(self, method: str, timeout: float = 0, **params: Any) -> Any:  # noqa: ARG002
        self.asked.append((method, params))
        answer = self.answers[method]
        if isinstance(answer, list):
            answer = answer.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def agent(monkeypatch: pytest.MonkeyPatch) -> Agent:
    return Agent(monkeypatch)


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    code = caught.value.code
    assert isinstance(code, int)
    return code


def test_status(agent: Agent, capsys: pytest.CaptureFixture[str]) -> None:
    agent.answers["status"] = STATUS

    assert run("status") == 0
    assert capsys.readouterr().out.splitlines() == [
        "gateway main: forwarding",
        "agent 0.1.0, process 4711",
        "",
        "PORT  DEVICE  ROLE    XDP MODE  ADDRESSES ON",
        "lan0  enp1s0  inside  native    br-lan",
        "",
        "sessions: 12 of 65 536 (0.0%)",
        "",
        "warning: /etc/gw/gateway.yaml:9: nat44.timeouts.udp: short",
    ]


@pytest.mark.parametrize(
    "arguments",
    [("--json", "show", "ports"), ("show", "--json", "ports"), ("show", "ports", "--json")],
)
def test_json_is_accepted_everywhere(
    agent: Agent, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    agent.answers["show.ports"] = {"ports": STATUS["ports"]}

    assert run(*arguments) == 0
    assert json.loads(capsys.readouterr().out) == {"ports": STATUS["ports"]}


def test_status_without_an_agent(agent: Agent, capsys: pytest.CaptureFixture[str]) -> None:
    agent.answers["status"] = NotRunningError("nobody listens")

    assert run("status") == 1
    assert capsys.readouterr().err == "gwctl: nobody listens\n"
    assert run("status", "--json") == 1
    assert json.loads(capsys.readouterr().out)["state"] == "not-running"


def test_status_waits(agent: Agent, capsys: pytest.CaptureFixture[str]) -> None:
    starting = STATUS | {"state": "starting"}
    agent.answers["status"] = [NotRunningError("no"), starting, starting, STATUS]

    assert run("status", "--wait", "5") == 0
    assert len(agent.asked) == 4
    assert "forwarding" in capsys.readouterr().out


@pytest.mark.parametrize("last", [NotRunningError("no"), STATUS | {"state": "starting"}])
def test_status_waits_only_so_long(agent: Agent, last: Any) -> None:
    agent.answers["status"] = [last] * 20

    assert run("status", "--wait", "0.1") == 1


def test_status_of_a_failed_gateway(agent: Agent) -> None:
    agent.answers["status"] = STATUS | {"state": "failed"}

    assert run("status") == 1


@pytest.mark.parametrize(("steps", "code"), [([], 0), ([{"kind": "attach"}], 3)])
def test_plan_tells_whether_there_is_something_to_do(
    agent: Agent, steps: list[Any], code: int
) -> None:
    agent.answers["plan"] = {"steps": steps}

    assert run("plan", "--exit-code") == code
    assert run("plan") == 0


def test_a_file_is_named_absolutely(
    agent: Agent, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    agent.answers["apply"] = {"steps": []}

    assert run("apply", "--config", "x.yaml") == 0
    assert agent.asked == [("apply", {"config": str(tmp_path / "x.yaml")})]


def test_check_without_an_agent_checks_the_file(
    agent: Agent, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    agent.answers["check"] = NotRunningError("no")
    path = tmp_path / "gateway.yaml"
    path.write_text("version: 1\n")

    assert run("check", "-c", str(path)) == 0
    assert "the host was not looked at" in capsys.readouterr().out
    path.write_text("version: 1\nprots: {}\n")
    assert run("check", "-c", str(path)) == 2
    assert capsys.readouterr().err == f"{path}:2: prots: unknown key; did you mean ports?\n"


def test_errors_of_the_agent_exit_as_it_says(
    agent: Agent, capsys: pytest.CaptureFixture[str]
) -> None:
    problem = {"where": "f:3: ports", "message": "is wrong"}
    data = {"code": "config.invalid", "message": "m", "exit_code": 2, "problems": [problem]}
    agent.answers["apply"] = RemoteError("m", data)

    assert run("apply") == 2
    assert "f:3: ports: is wrong\n" in capsys.readouterr().err
    assert run("apply", "--json") == 2
    assert json.loads(capsys.readouterr().out)["error"]["problems"] == [problem]


def test_sessions_page_after_page(agent: Agent, capsys: pytest.CaptureFixture[str]) -> None:
    agent.answers["show.sessions"] = [
        {"sessions": [SESSION] * 500, "next": 700},
        {"sessions": [SESSION], "next": None},
    ]

    assert run("show", "sessions", "--all", "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert len(answer["sessions"]) == 501
    assert answer["next"] is None
    assert [params["cursor"] for _, params in agent.asked] == [0, 700]


def test_sessions_in_words(agent: Agent, capsys: pytest.CaptureFixture[str]) -> None:
    agent.answers["show.sessions"] = {"sessions": [SESSION], "next": 1}

    assert run("show", "sessions", "--limit", "1") == 0
    printed = capsys.readouterr().out
    assert "192.168.110.10:4000" in printed
    assert "20.0 MB" in printed
    assert "2 h 3 min" in printed
    assert "--cursor 1" in printed


def test_icmp_sessions_have_identifiers(agent: Agent, capsys: pytest.CaptureFixture[str]) -> None:
    session = SESSION | {"protocol": 1, "remote": ["198.51.100.10", 0]}
    agent.answers["show.sessions"] = {"sessions": [session], "next": None}

    assert run("show", "sessions") == 0
    line = capsys.readouterr().out.splitlines()[1]
    assert line.startswith("icmp   192.168.110.10 id 4000  203.0.113.2 id 24000  198.51.100.10  ")


def test_counters_are_explained(agent: Agent, capsys: pytest.CaptureFixture[str]) -> None:
    agent.answers["show.counters"] = {
        "ports": [
            {"name": "lan0", "counters": {"FORWARD": 1234567, "DROP_TTL": 0}},
            {"name": "wan0", "counters": {"FORWARD": 7, "NEW_ONE": 2}},
        ]
    }

    assert run("show", "counters") == 0
    printed = capsys.readouterr().out
    assert "  FORWARD    1 234 567     7  translated and sent" in printed
    assert "DROP_TTL" not in printed
    assert "NEW_ONE" in printed


def test_every_counter_has_a_phrase() -> None:
    header = (ROOT / "bpf/include/gw_abi.h").read_text()
    body = header.partition("enum gw_counter {")[2].partition("};")[0]
    lines = (line.partition("/*")[0].strip() for line in body.splitlines())
    names = {line.split(" ")[0].rstrip(",").removeprefix("GW_") for line in lines if line}
    names -= {"VERDICTS", "COUNTERS"}

    assert names
    assert {name for counters in GROUPS.values() for name in counters} == names
    assert "Others" not in grouped(names)


@pytest.mark.parametrize(
    "arguments",
    [("stauts",), ("--nonsense",), ("show",), ("status", "--wait", "-1"), ("plan", "x")],
)
def test_bad_usage_exits_2(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]) -> None:
    code = run(*arguments)

    if arguments == ("show",):  # prints its help
        assert code in (0, 2)
        return
    assert code == 2
    assert run("--json", *arguments) == 2
    printed = capsys.readouterr().out
    assert json.loads(printed)["error"]["code"] == "usage"


def test_a_bad_instance_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--instance", "../x", "status") == 2
    assert "instance name" in capsys.readouterr().err


def test_a_fault_of_ours_is_one_line(agent: Agent, capsys: pytest.CaptureFixture[str]) -> None:
    agent.answers["show.ports"] = ValueError("odd")

    assert run("show", "ports") == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_no_colour_off_a_terminal(agent: Agent, capsys: pytest.CaptureFixture[str]) -> None:
    agent.answers["status"] = STATUS

    run("status")
    assert "\x1b" not in capsys.readouterr().out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(capsys: pytest.CaptureFixture[str], shell: str) -> None:
    assert run("completion", shell) == 0
    assert "_GWCTL_COMPLETE" in capsys.readouterr().out


def test_gwctl_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from hybrid_gateway.cli import main\n"
        "from hybrid_gateway.cli import status, config, show, clear\n"
        "print(*sys.modules)"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(ROOT / "agent")},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()

    heavy = {"yaml", "jsonschema", "asyncio", "pyroute2", "cffi", "logging"}
    assert not heavy & set(loaded)


def test_text() -> None:
    table = text.table(("A", "B"), [("x", 10), ("yy", None)], numbers=(1,))
    assert click.unstyle(table) == "A    B\nx   10\nyy   -"
    assert text.table(("A",), []) == ""
    assert [text.duration(s) for s in (0, 59.9, 60, 3661, 90061)] == [
        "0 s",
        "59 s",
        "1 min",
        "1 h 1 min",
        "1 d 1 h",
    ]
    assert [text.size(b) for b in (0, 999, 1000, 20_000_000, 5e15)] == [
        "0 B",
        "999 B",
        "1.0 kB",
        "20.0 MB",
        "5000.0 TB",
    ]
    assert text.count(1, "step") == "1 step"
