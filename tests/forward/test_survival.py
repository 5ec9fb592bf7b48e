# SPDX-License-Identifier: GPL-2.0-or-later
"""Nothing is lost of what flows while the agent, its programs or its tables are replaced."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from hybrid_gateway.lab import GatewayProcess
from hybrid_gateway.lab.places import program
from tests.lib.gateway import Gateway, eventually, nat44

from . import upgrade
from .flows import SIZE, flowing

pytestmark = pytest.mark.usefixtures("internet", "leak_watch")

VERSIONS = {"program": upgrade.another_program, "layout": upgrade.another_layout}


@pytest.fixture(scope="module", params=VERSIONS)
def version(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of another version of the agent."""
    tree = tmp_path_factory.mktemp("version") / "tree"
    return upgrade.build(tree, VERSIONS[request.param])


@pytest.fixture
def gateway(gateway: Gateway) -> Iterator[Gateway]:
    """Ends as the agent of this checkout, whatever came between."""
    process = gateway.process
    yield gateway
    if gateway.process is not process:
        gateway.process.stop()
        gateway.process = process


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_restart(gateway: Gateway, tmp_path: Path, end: str) -> None:
    with flowing(gateway, tmp_path) as flows:
        getattr(gateway.process, end)()
        gateway.start()
        flows.moving()


@pytest.mark.parametrize("sessions", [200_000, 1024])
def test_another_size(gateway: Gateway, tmp_path: Path, sessions: int) -> None:
    with flowing(gateway, tmp_path) as flows:
        before = flows.sessions()
        forwarded = gateway.counters()["FORWARD"]
        planned = gateway.ctl("plan", "--config", str(_config(gateway, sessions))).stdout
        assert "are carried over" in planned
        gateway.apply(nat44(f"sessions: {sessions}"))

        status = gateway.call("status")
        assert f"{len(before)} sessions carried over" in status["warnings"]
        assert status["sessions"]["limit"] == sessions
        assert {p: s["outside"] for p, s in flows.sessions().items()} == {
            p: s["outside"] for p, s in before.items()
        }
        assert gateway.counters()["FORWARD"] > forwarded


def _config(gateway: Gateway, sessions: int) -> Path:
    path = gateway.lab.directory / "planned.yaml"
    path.write_text(nat44(f"sessions: {sessions}"))
    return path


def test_a_kill_while_the_size_changes(gateway: Gateway, tmp_path: Path) -> None:
    """The new maps are pinned, and the ports have them already or not: the next agent finds out.
    (tests/bpf/test_carry.py has every moment by itself.)"""
    maps_next = gateway.instance.pin_dir / "maps-next"
    # On a busy machine both halves of it together take longer than the usual download.
    with flowing(gateway, tmp_path, 2 * SIZE) as flows:
        before = {p: s["outside"] for p, s in flows.sessions().items()}
        gateway.config.write_text(nat44("sessions: 300000"))
        apply = [str(program("gwctl")), "--instance", gateway.lab.name, "apply"]
        with subprocess.Popen(apply, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as applying:
            eventually(maps_next.exists, "maps-next is there")
            gateway.process.kill()
            applying.communicate()
        gateway.start()
        assert not maps_next.exists()
        assert {p: s["outside"] for p, s in flows.sessions().items()} == before
        flows.moving()


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_another_version(
    gateway: Gateway,
    version: Path,
    tmp_path: Path,
    end: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """There, and back again."""
    process = gateway.process
    with flowing(gateway, tmp_path) as flows:
        getattr(process, end)()
        monkeypatch.setenv("GW_BIN", str(version))
        env = {"GW_BPF_DIR": str(version.parent / "bpf")}
        gateway.process = GatewayProcess(gateway.lab, gateway.config, env=env)
        gateway.start()
        flows.moving()
        getattr(gateway.process, end)()
        monkeypatch.delenv("GW_BIN")
        gateway.process = process
        gateway.start()
        flows.moving()
