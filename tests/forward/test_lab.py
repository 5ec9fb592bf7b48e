# SPDX-License-Identifier: GPL-2.0-or-later
"""The lab itself: up and down may be repeated, also after a half-failed up."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from hybrid_gateway.lab import HOSTS, LAN, Lab
from hybrid_gateway.lab.namespaces import LabError, run
from tests.lib.ctl import gwctl
from tests.lib.programs import pinged


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
