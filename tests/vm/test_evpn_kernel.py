# SPDX-License-Identifier: GPL-2.0-or-later
"""EVPN's entries in the kernel of each release, with VLANs and VRFs."""

import errno
import json
from typing import Any

import pytest

from tests.vm.evpn_kernel import FAR, HOST, ROUTER, SECOND, STATION, VLAN
from tests.vm.machine import Guest

pytestmark = pytest.mark.vm

ROUTER_LL = "fe80::ff:fe00:a01"


@pytest.fixture(scope="module")
def found(guest: Guest) -> dict[str, Any]:
    # In a namespace of its own, beside whatever other tests have left behind.
    argv = [
        "env",
        "PYTHONPATH=/gw:/gw/agent:/gw/build/lib",
        "python3",
        "-m",
        "tests.vm.evpn_kernel",
    ]
    answer: dict[str, Any] = json.loads(guest.check("unshare", "--net", *argv, seconds=300))
    return answer


def test_a_station_is_in_the_vlan_of_its_segment(found: dict[str, Any]) -> None:
    bridge, device = found["first"]["vlan"]
    assert (bridge["vlan"], bridge["flags"]) == (VLAN, ["extern_learn"])
    assert (device["dst"], device["flags"]) == (str(FAR), ["self", "extern_learn"])
    assert found["first"]["flood"] == [str(FAR)]


def test_a_sticky_station_is_so_until_it_is_free(found: dict[str, Any]) -> None:
    bridge, _ = found["first"]["sticky"]
    assert (sorted(bridge["flags"]), bridge["state"]) == (["extern_learn", "sticky"], "static")
    bridge, _ = found["free"]
    assert (bridge["flags"], bridge["state"]) == (["extern_learn"], "")


def test_a_binding_is_a_neighbour_that_stays(found: dict[str, Any]) -> None:
    [neighbour] = found["first"]["binding"]
    assert (neighbour["dst"], neighbour["lladdr"]) == (str(HOST), STATION)
    assert neighbour["protocol"] == "179"


def test_prefixes_are_routes_of_the_vrf(found: dict[str, Any]) -> None:
    routes = {row["dst"]: row for row in found["first"]["routes"]}
    assert routes["10.77.0.0/16"]["gateway"] == str(FAR)
    assert routes["2001:db8:77::/48"]["gateway"] == ROUTER_LL
    assert routes["10.78.0.0/16"]["via"] == {"family": "inet6", "host": ROUTER_LL}
    assert {row["dev"] for row in routes.values()} == {"routed", "routed6"}
    # In both FDBs of both routed segments.
    assert [row["mac"] for row in found["first"]["router"]] == [ROUTER] * 4


def test_the_bridges_own_address_is_refused_and_nothing_else(found: dict[str, Any]) -> None:
    assert found["refused"] == [["mac", errno.EEXIST]]


def test_stations_of_other_vlans_are_no_segments(found: dict[str, Any]) -> None:
    assert found["told"] == [[550, SECOND, False]]


def test_devices_go_down_and_up(found: dict[str, Any]) -> None:
    assert found["again"] == found["first"]


def test_a_restart_finds_all_and_leaves_nothing(found: dict[str, Any]) -> None:
    assert found["found"] == ["binding", "mac", "prefix"]
    assert not any(found["last"].values())
