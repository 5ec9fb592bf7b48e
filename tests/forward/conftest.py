# SPDX-License-Identifier: GPL-2.0-or-later
"""What only the tests of this folder need; the running gateway is in fixtures.py."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from hybrid_gateway.lab import Lab, leftovers
from hybrid_gateway.model import DEFAULT_PORTS, FALLBACK_PORTS
from tests.forward.fibre import FIBRES
from tests.forward.fixtures import QUIET, watch_over
from tests.forward.sites import SITES
from tests.lib.gateway import Gateway
from tests.lib.kernel_mode import KernelGateway, Plane, bridges_are_filtered
from tests.lib.traffic import Wires


@pytest.fixture(autouse=True)
def watched(request: pytest.FixtureRequest) -> None:
    """Every test here is under the watch: over the outside port, over the sites' underlay, or over
    the hosts behind the worker's ports."""
    if SITES.intersection(request.fixturenames):
        request.getfixturevalue("underlay_watch")
    elif FIBRES.intersection(request.fixturenames):
        request.getfixturevalue("fibre_watch")
    else:
        request.getfixturevalue("leak_watch")


@pytest.fixture
def fresh_lab(tmp_path: Path) -> Iterator[Lab]:
    """A second lab beside that of the session, in which no agent has run yet."""
    built = Lab(f"d{os.getpid()}", tmp_path / "lab")
    with ExitStack() as stack:
        stack.callback(leftovers.remove, built)
        built.up()
        yield built


@pytest.fixture(scope="session")
def kernel_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    """A lab whose gateway forwards in kernel mode."""
    lab = Lab(f"k{os.getpid()}", tmp_path_factory.mktemp("kernel"))
    with ExitStack() as stack:
        stack.callback(leftovers.remove, lab)
        lab.up()
        for host in ("lan", "lan2", "wan"):
            lab.run(host, ["nft", QUIET])
        bridges_are_filtered(lab, False)
        wires = Wires(lab, stack)
        yield Plane("kernel", lab, wires, KernelGateway(lab), FALLBACK_PORTS)


@pytest.fixture(params=["xdp", "kernel"])
def plane(request: pytest.FixtureRequest, lab: Lab, gateway: Gateway) -> Iterator[Plane]:
    """Each of the two, one after the other, and the watch over the outside port of both."""
    if request.param == "xdp":
        yield Plane("xdp", lab, request.getfixturevalue("wires"), gateway, DEFAULT_PORTS)
        return
    chosen: Plane = request.getfixturevalue("kernel_plane")
    with watch_over(chosen.lab):
        yield chosen


@pytest.fixture
def foreign_object(tmp_path: Path) -> Path:
    """Somebody else's XDP program, compiled."""
    compiled = tmp_path / "foreign.bpf.o"
    source = Path(__file__).with_name("foreign.bpf.c")
    multiarch = subprocess.check_output(["gcc", "-print-multiarch"], text=True).strip()
    command = ["clang", "-O2", "-g", "-target", "bpf", f"-I/usr/include/{multiarch}"]
    subprocess.run([*command, "-c", source, "-o", compiled], check=True)
    return compiled


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.forward)
