# SPDX-License-Identifier: GPL-2.0-or-later
"""`make demo` as its reader sees it: all is well, or it says what is not and fails."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hybrid_gateway.instance import Instance
from hybrid_gateway.lab import LAN, WAN, Lab, demo, leftovers
from hybrid_gateway.lab.namespaces import LabError
from hybrid_gateway.lab.scenes import SCENES
from hybrid_gateway.lab.sniff import PacketSocket
from hybrid_gateway.lab.stage import Row, Stage
from hybrid_gateway.lab.table import WIDEST
from tests.lib.packets import SERVER, to_wan, udp


@pytest.fixture(autouse=True)
def leak_watch() -> None:
    """The demo has a watch, and a gateway, of its own."""


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    """The one that the demo builds and removes."""
    lab = Lab(f"demo{os.getpid()}")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("sys.argv", ["demo", "--name", lab.name])
    yield lab
    leftovers.remove(lab)


def nothing_is_left(lab: Lab) -> None:
    assert not list(Path("/run/netns").glob(f"{lab.name}-*"))
    assert not leftovers.agent_pids(lab.name)
    instance = Instance(lab.name)
    assert not any(path.exists() for path in (lab.directory, instance.pin_dir, instance.state_dir))


@pytest.mark.slow
def test_all_is_well(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    code = demo.main()
    lines = capsys.readouterr().out.splitlines()

    verdicts = [line[:4].strip() for line in lines if line[:4] in ("ok  ", "FAIL")]
    assert verdicts == ["ok"] * len(SCENES), "\n".join(lines)
    assert code == 0
    assert max(map(len, lines)) <= WIDEST
    nothing_is_left(lab)


def lying(stage: Stage) -> Row:
    before = stage.counters()
    return Row("lie", "nothing", "not so", stage.moved(before), False)


def breaking(stage: Stage) -> Row:
    raise LabError(f"no {stage.lab.name}")


def leaking(stage: Stage) -> Row:
    """The guard, which would not let it, is taken away before."""
    stage.lab.run("gw", ["tc", "qdisc", "delete", "dev", WAN.device, "clsact"])
    sender = PacketSocket(stage.lab.namespace("gw"), WAN.device)
    sender.send(bytes(to_wan(udp(LAN.ip, SERVER, 4000, 53))))
    sender.close()
    return Row("leak", "something", "so", {}, True)


def test_what_is_not_so_fails(
    lab: Lab, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "SCENES", (lying, breaking, leaking))
    code = demo.main()
    said = capsys.readouterr().out

    assert code == 1
    assert "0 of 3 passed" in said, said
    assert f"LabError: no {lab.name}" in said
    assert "so; faulty frames: 1; inside" in said
    nothing_is_left(lab)
