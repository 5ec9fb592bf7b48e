# SPDX-License-Identifier: GPL-2.0-or-later
"""gwctl says what to do instead."""

import os
from pathlib import Path

import pytest

from hybrid_gateway import cli, instance


def failed(*arguments: str) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == 1


@pytest.mark.parametrize(
    ("name", "command"),
    [("main", "`gw-agent --detach`"), ("second", "`gw-agent --instance second --detach`")],
)
@pytest.mark.parametrize("stay", [(), ("--stay",)])
def test_detaching_without_an_agent(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    name: str,
    command: str,
    stay: tuple[str, ...],
) -> None:
    monkeypatch.setattr(instance, "RUN_DIR", tmp_path)
    failed("--instance", name, "detach", *stay)
    said = capsys.readouterr().err
    assert "does not run" in said
    assert f"{command} removes what an earlier one left" in said


@pytest.mark.parametrize(
    "arguments", [("up",), ("down",), ("status",), ("exec", "lan", "--", "true")]
)
def test_the_lab_needs_root(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    failed("lab", *arguments)
    expected = "gwctl: the lab needs root: it makes network namespaces\n"
    assert capsys.readouterr().err == expected
