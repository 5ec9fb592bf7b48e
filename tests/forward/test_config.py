# SPDX-License-Identifier: GPL-2.0-or-later
"""Bad configurations: one clear error with file, line and key, exit 2, nothing changed."""

import json
import os
from pathlib import Path

import pytest

from tests.lib.gateway import BASE, Gateway, nat44

WRONG = {
    "unknown key": (nat44("colour: red"), "9: nat44.colour"),
    "bad address": (nat44("addresses: [203.0.113.300]"), "9: nat44.addresses"),
    "unknown port": (BASE.replace("outside: wan0", "outside: dmz0"), "8: nat44.outside"),
    "overlapping ports": (nat44("ports: 15000-30000"), "9: nat44.ports"),
    "unknown device": (BASE.replace("device: lan1", "device: nosuch7"), "4: ports.lan1"),
    "unknown inside device": (BASE.replace("br-lan", "br-none"), "7: nat44.inside"),
    "no YAML": ("version: [1\n", ":"),
    "empty": ("", ":"),
}


CHANGING = ("pools", "mappings", "hosts", "sessions", "prefixes")
"""What `show nat` says of the moment: ports come to the end of their rest, and routes that another
test has taken away are followed a moment later."""


def kernel_state(gateway: Gateway) -> tuple[str, ...]:
    """What an apply could have touched."""
    run = gateway.lab.run
    nat = gateway.call("show.nat")
    return (
        run("gw", ["nft", "-s", "list", "ruleset"]),
        run("gw", ["sysctl", "-n", "net.ipv4.ip_local_reserved_ports", "net.ipv4.ip_forward"]),
        run("gw", ["bpftool", "net", "show"]),
        json.dumps({key: nat[key] for key in nat if key not in CHANGING}, sort_keys=True),
    )


@pytest.mark.parametrize("command", ["check", "apply"])
@pytest.mark.parametrize("name", WRONG)
def test_is_refused_and_changes_nothing(
    gateway: Gateway, tmp_path: Path, name: str, command: str
) -> None:
    text, where = WRONG[name]
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(text)
    before = kernel_state(gateway)
    refused = gateway.ctl(command, "--config", str(wrong), check=False)
    said = refused.stdout + refused.stderr
    assert refused.returncode == 2, said
    assert f"{wrong}:{where}" in said or where == ":", said
    assert "Traceback" not in said
    assert kernel_state(gateway) == before


def test_a_file_that_is_not_there(gateway: Gateway, tmp_path: Path) -> None:
    refused = gateway.ctl("apply", "--config", str(tmp_path / "none.yaml"), check=False)
    assert refused.returncode == 2
    assert "none.yaml" in refused.stdout + refused.stderr


def test_every_problem_is_reported_as_json(gateway: Gateway, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(nat44("ports: 15000-30000", "sessions: none"))
    refused = gateway.ctl("--json", "check", "--config", str(wrong), check=False)
    assert refused.returncode == 2
    problems = json.loads(refused.stdout)["error"]["problems"]
    assert [(p["line"], p["key"]) for p in problems] == [(9, "nat44.ports"), (10, "nat44.sessions")]


def test_plan_says_what_apply_does_and_then_nothing(gateway: Gateway, tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(nat44("filtering: endpoint-independent"))
    planned = gateway.ctl("plan", "--exit-code", "--config", str(other), check=False)
    assert planned.returncode == 3
    assert (
        gateway.ctl("plan", "--exit-code", "--config", str(gateway.config), check=False).returncode
        == 0
    )


def test_applying_twice_does_nothing_the_second_time(gateway: Gateway) -> None:
    gateway.apply(nat44("filtering: endpoint-independent"))
    before = kernel_state(gateway)
    gateway.ctl("apply", "--config", str(gateway.config))
    assert kernel_state(gateway) == before


def test_a_fifo_does_not_hold_the_agent(gateway: Gateway, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo.yaml"
    os.mkfifo(fifo)
    refused = gateway.ctl("check", "--config", str(fifo), check=False)
    assert refused.returncode == 2
    assert f"{fifo}: cannot be read: not a regular file" in refused.stderr
    assert gateway.call("status")["state"] == "forwarding"
