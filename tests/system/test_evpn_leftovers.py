# SPDX-License-Identifier: GPL-2.0-or-later
"""What an agent wrote to segments that left the configuration before the next one ran."""

import os
import shutil
from contextlib import ExitStack
from ipaddress import ip_network
from pathlib import Path

import pytest

from hybrid_gateway.agent.evpn import EvpnControl
from hybrid_gateway.evpn.entries import PrefixEntry
from hybrid_gateway.evpn.leftovers import sweep_all
from hybrid_gateway.instance import Instance
from tests.system.evpn_site import FAR, VNI, VNI6, Follower, Site, mac

from .test_evpn_kernel_local import (
    ENTRIES,
    PREFIX,
    ROUTER,
    SECOND,
    STATION,
    everything,
    follower,
    site,
)

__all__ = ["follower", "site"]

ALL = (*ENTRIES, PREFIX, PrefixEntry(ip_network("10.78.0.0/16"), VNI6, FAR[6], mac(ROUTER)))


@pytest.fixture
def record(tmp_path: Path) -> Path:
    """As the follower has it."""
    return tmp_path / "floods"


@pytest.fixture
def owners(site: Site) -> list[object]:
    """Entries of the owner, and nothing else."""
    site.bridge(
        "fdb append 00:00:00:00:00:00 dev vx550 dst 192.0.2.77",
        f"fdb add {SECOND} dev vx550 dst 192.0.2.77 self",
    )
    site.ip(f"neigh add 10.55.0.7 lladdr {SECOND} dev br550 nud permanent")
    return [*everything(site), site.fdb("vx550")]


def test_a_segment_that_is_gone_takes_its_entries_along(
    site: Site, owners: list[object], follower: Follower, stack: ExitStack, record: Path
) -> None:
    before = everything(site), site.fdb("vx550")
    follower.kernel.put(ALL)
    six = site.floods("vx660"), site.macs("vx660", STATION), site.neighbours("br660")

    again = Follower(stack, record)
    again.follow(site.segments(VNI6))

    assert (site.floods("vx550"), site.fdb("vx550")) == ({"192.0.2.77"}, before[1])
    assert (site.macs("vx5000", ROUTER), site.neighbours("br5000")) == ([], [])
    assert (site.floods("vx660"), site.macs("vx660", STATION), site.neighbours("br660")) == six

    again.kernel.delete(again.kernel.found())
    assert [*everything(site), site.fdb("vx550")] == owners


def test_a_bridge_stays_whose_vxlan_device_is_gone(
    site: Site, owners: list[object], follower: Follower, stack: ExitStack, record: Path
) -> None:
    follower.kernel.put(ALL)
    site.ip("link del vx5000")

    Follower(stack, record).follow(site.segments(VNI))

    assert owners
    assert site.neighbours("br5000") == []
    assert site.neighbours("br660") == []
    assert not site.macs("vx660", STATION)


def test_a_device_with_the_number_of_another_is_left_alone(
    site: Site, follower: Follower, stack: ExitStack, record: Path
) -> None:
    follower.kernel.put(ALL)
    before = site.macs("vx550", STATION), site.neighbours("br550")
    written = record.read_text().replace('"vx550"', '"vx551"').replace('"br550"', '"br551"')
    record.write_text(written)

    Follower(stack, record).follow(site.segments(VNI6))

    assert (site.macs("vx550", STATION), site.neighbours("br550")) == before


def test_nothing_is_left_when_evpn_is_gone(
    site: Site, owners: list[object], follower: Follower, record: Path
) -> None:
    follower.kernel.put(ALL)

    sweep_all(record, shared=False)

    assert [*everything(site), site.fdb("vx550")] == owners
    assert not record.exists()
    sweep_all(record, shared=False)


def test_an_agent_without_the_section_looks_for_it(
    site: Site, owners: list[object], stack: ExitStack
) -> None:
    instance = Instance(f"left{os.getpid()}")
    instance.run_dir.mkdir(parents=True)
    stack.callback(shutil.rmtree, instance.run_dir)
    before = Follower(stack, instance.evpn_file)
    before.follow(site.segments())
    before.kernel.put(ALL)

    EvpnControl(instance).follow(None)

    assert [*everything(site), site.fdb("vx550")] == owners
    assert not instance.evpn_file.exists()


def test_what_another_daemon_may_have_written_stays(
    site: Site, owners: list[object], follower: Follower, record: Path
) -> None:
    follower.kernel.put(ALL)
    stations = site.macs("vx550", STATION)
    assert stations

    sweep_all(record, shared=True)

    assert owners
    assert site.macs("vx550", STATION) == stations
    assert site.floods("vx550") == {"192.0.2.77"}
    assert site.routes() == []
    assert [row["dst"] for row in site.neighbours("br550")] == ["10.55.0.7"]


def test_a_record_that_nobody_can_read_is_no_harm(record: Path) -> None:
    record.write_text('[[550, "192.0.2.2"]]')

    sweep_all(record, shared=False)

    assert not record.exists()
