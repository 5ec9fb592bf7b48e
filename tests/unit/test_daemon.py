# SPDX-License-Identifier: GPL-2.0-or-later
"""How gw-agent begins and ends."""

from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from hybrid_gateway import instance
from hybrid_gateway.agent import daemon

Main = Callable[..., int]


@pytest.fixture
def main(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Main:
    monkeypatch.setattr(instance, "RUN_DIR", tmp_path / "run")

    def called(*arguments: str) -> int:
        monkeypatch.setattr("sys.argv", ["gw-agent", "--instance", "unit", *arguments])
        return daemon.main()

    return called


def test_an_unexpected_fault_is_one_line(
    main: Main, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> NoReturn:
        raise ZeroDivisionError("by nought")

    monkeypatch.setattr(daemon, "Engine", broken)
    assert main() == 1
    said = capsys.readouterr().err
    assert said == "gw-agent: unexpected ZeroDivisionError: by nought; --verbose shows more\n"
