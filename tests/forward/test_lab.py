# SPDX-License-Identifier: GPL-2.0-or-later
"""The lab itself: up and down may be repeated, also after a half-failed up."""

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import permutations
from pathlib import Path

import pytest

from hybrid_gateway.instance import Instance
from hybrid_gateway.lab import (
    HOSTS,
    LAN,
    WEST,
    GatewayProcess,
    Lab,
    WorkerProcess,
    leftovers,
    segment,
)
from hybrid_gateway.lab.namespaces import LabError, run
from hybrid_gateway.lab.segment import SiteLab
from hybrid_gateway.lab.sfp import stand
from hybrid_gateway.lab.sites import SITES
from tests.lib.ctl import gwctl
from tests.lib.gateway import eventually
from tests.lib.programs import pinged

NR_HUGEPAGES = Path("/proc/sys/vm/nr_hugepages")
MEET_SECONDS = 30.0
"""A BGP session that was refused is tried again after some seconds."""


@pytest.fixture(autouse=True)
def leak_watch() -> None:
    """No gateway runs in these tests."""


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[Lab]:
    """A lab that is not up yet."""
    planned = Lab(f"b{os.getpid()}", tmp_path / "lab")
    with ExitStack() as stack:
        stack.callback(planned.down)
        yield planned


def test_up_when_it_is_up_changes_nothing(bare: Lab) -> None:
    bare.up()
    assert bare.state().up
    before = [bare.run(host, ["ip", "-4", "addr"]) for host in HOSTS]
    neighbours = pinged(bare, "lan", "192.168.110.1")
    assert neighbours == 3
    bare.config.write_text("# mine\n")
    bare.up()
    assert [bare.run(host, ["ip", "-4", "addr"]) for host in HOSTS] == before
    assert bare.config.read_text() == "# mine\n"


@pytest.mark.parametrize(
    "damage",
    [
        ["link", "delete", "lan0"],
        ["link", "delete", "br-lan"],
        ["link", "set", "wan0", "down"],
        ["addr", "flush", "dev", "br-lan"],
        ["route", "delete", "default"],
        ["link", "set", "lan1", "nomaster"],
    ],
    ids=" ".join,
)
def test_up_repairs(bare: Lab, damage: list[str]) -> None:
    bare.up()
    run(["ip", "-n", bare.namespace("gw"), *damage])
    assert not bare.state().up
    bare.up()
    assert bare.state().up
    assert pinged(bare, "lan", LAN.ip.replace(".10", ".1")) == 3


def test_up_goes_on_where_another_failed(bare: Lab) -> None:
    """A namespace without devices, and the name of one that was never finished."""
    run(["ip", "netns", "add", bare.namespace("gw")])
    run(["ip", "-n", bare.namespace("gw"), "link", "add", "wan0", "type", "bridge"])
    Path("/run/netns", bare.namespace("wan")).touch()
    bare.up()
    assert bare.state().up


def test_down_takes_everything_and_may_be_repeated(bare: Lab) -> None:
    bare.up()
    bare.down()
    bare.down()
    assert not bare.state().namespaces
    assert not bare.directory.exists()


def test_the_workers_ports_come_and_go(bare: Lab) -> None:
    """`gwctl lab up --sfp` leaves it standing; `down` leaves no process and no hugepage."""
    lab = Lab(bare.name)
    reserved = NR_HUGEPAGES.read_text()
    with ExitStack() as stack:
        stack.callback(leftovers.remove, lab)
        gwctl(lab, "lab", "up", "--name", lab.name, "--sfp")
        pids = leftovers.worker_pids(lab.name)
        assert len(pids) == 1
        # Up again: nothing of it is made anew.
        gwctl(lab, "lab", "up", "--name", lab.name, "--sfp")
        assert leftovers.worker_pids(lab.name) == pids
        assert pinged(lab, "east", WEST.ip) == 3
        gwctl(lab, "lab", "down", "--name", lab.name)
        assert not leftovers.worker_pids(lab.name)
        assert not leftovers.keeper_pids(lab.name)
        assert not list(Path("/run/netns").glob(f"{lab.name}-*"))
        assert not Instance(lab.name).run_dir.exists()
        assert NR_HUGEPAGES.read_text() == reserved


def test_the_three_sites_come_and_go(bare: Lab) -> None:
    """`gwctl lab up --sites`: EVPN joins them, and `down` leaves nothing of it."""
    lab = Lab(bare.name)
    reserved = NR_HUGEPAGES.read_text()
    places = [SiteLab(lab, site) for site in SITES]
    with ExitStack() as stack:
        stack.callback(leftovers.remove, lab)
        stack.callback(segment.remove, lab)
        gwctl(lab, "lab", "up", "--name", lab.name, "--sites")
        pids = [leftovers.agent_pids(place.name) for place in places]
        assert [len(found) for found in pids] == [1, 1, 0]
        gwctl(lab, "lab", "up", "--name", lab.name, "--sites")
        assert [leftovers.agent_pids(place.name) for place in places] == pids
        for here, there in permutations(SITES, 2):
            eventually(
                lambda here=here, there=there: pinged(lab, here.host.host, there.host.ip, 1) == 1,  # type: ignore[misc]
                f"{here.host.host} reaches {there.host.host}",
                MEET_SECONDS,
            )
        gwctl(lab, "lab", "down", "--name", lab.name)
        for place in places:
            assert not leftovers.keeper_pids(place.name)
            assert not leftovers.bgp_pids(place.name)
            assert not Instance(place.name).run_dir.exists()
        assert not list(Path("/run/netns").glob(f"{lab.name}-*"))
        assert NR_HUGEPAGES.read_text() == reserved


def test_what_a_crash_left_goes_too(bare: Lab) -> None:
    """Agent, keeper and worker are killed: nobody is left who could give anything back."""
    reserved = NR_HUGEPAGES.read_text()
    with ExitStack() as stack:
        stack.callback(leftovers.remove, bare)
        bare.up()
        stand(bare)
        worker, gateway = WorkerProcess(bare), GatewayProcess(bare)
        worker.start()
        gateway.start()
        for daemon in (worker, gateway):
            daemon.kill()
        os.kill(leftovers.worker_pids(bare.name)[0], signal.SIGKILL)
        leftovers.remove(bare)
        assert not list(Path("/run/netns").glob(f"{bare.name}-*"))
        assert not Instance(bare.name).run_dir.exists()
        assert NR_HUGEPAGES.read_text() == reserved


def test_an_unknown_host_is_named(bare: Lab) -> None:
    bare.up()
    with pytest.raises(LabError, match="no host 'dmz'"):
        bare.exec("dmz", ["true"])


def test_gwctl_exec_exits_as_the_command_does(bare: Lab) -> None:
    bare.up()
    for command in (["lan", "--", "ping", "-c", "1", "192.168.110.1"], ["gw", "true"]):
        gwctl(bare, "lab", "exec", "--name", bare.name, *command)
    failed = gwctl(
        bare, "lab", "exec", "--name", bare.name, "lan", "sh", "-c", "exit 7", check=False
    )
    assert failed.returncode == 7
