# SPDX-License-Identifier: GPL-2.0-or-later
"""Type-5 routes of a VRF, with the FRR and the kernel of each release at the other end."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.lib.gateway import eventually
from tests.vm import gateway as plain
from tests.vm.gateway import GuestGateway
from tests.vm.machine import Guest
from tests.vm.prefixes import BRIDGE, CONFIGURATION, FAR, NEAR, VRF, Instance, commands, instance

pytestmark = pytest.mark.vm

SECONDS = 300.0
OURS, FRRS = "179", "bgp"
"""Protocols of routes, as `ip` calls them."""


@pytest.fixture(scope="module")
def built(guest: Guest) -> Iterator[Instance]:
    gateway = GuestGateway(guest)
    gateway.install()
    with ExitStack() as stack:
        built = stack.enter_context(instance(gateway))
        guest.write("/etc/gw/gateway.yaml", CONFIGURATION.encode())
        stack.callback(guest.check, "systemctl", "stop", "gw-bgp")
        guest.check("systemctl", "start", "gw-bgp")
        gateway.start()
        stack.callback(guest.check, "gwctl", "detach")
        yield built


@pytest.fixture
def routed(built: Instance) -> Instance:
    """Both sites have the other's prefixes."""
    until(lambda: built.routes(NEAR, OURS) == {FAR.prefix, FAR.prefix6}, "the gateway has FRR's")
    until(lambda: built.routes(FAR, FRRS) == {NEAR.prefix, NEAR.prefix6}, "FRR has the gateway's")
    return built


def until(check: Callable[[], bool], what: str) -> None:
    eventually(check, what, SECONDS)


def test_prefixes_of_both(routed: Instance) -> None:
    """In the VRF's table, by way of the other's VTEP or of the address that it makes up."""
    routes = {route["dst"]: route for route in routed.ip(NEAR, "route", "show", "vrf", VRF)}
    found = routes[FAR.prefix]
    assert (found["gateway"], found["dev"], found["metric"]) == (FAR.vtep, BRIDGE, 2000)
    shown = routed.gateway.ctl("show", "evpn", "prefixes")["prefixes"]
    assert {(one["prefix"], one["vtep"]) for one in shown} >= {
        (FAR.prefix, FAR.vtep),
        (FAR.prefix6, FAR.vtep),
    }


def test_hosts_of_both(routed: Instance) -> None:
    """From VRF to VRF, both ways and by both families."""
    assert routed.answered(NEAR, FAR, 10) == 10
    assert routed.answered(FAR, NEAR, 10) == 10


def test_a_prefix_that_goes(routed: Instance) -> None:
    commands(routed.guest, ["link set far0 down"], FAR.namespace)
    try:
        until(lambda: not routed.routes(NEAR, OURS), "FRR has none any more")
    finally:
        up = [f"addr add {FAR.address(1)[1]} dev far0 nodad"]
        commands(routed.guest, ["link set far0 up", *up], FAR.namespace)
    until(lambda: routed.routes(NEAR, OURS) == {FAR.prefix, FAR.prefix6}, "FRR has them again")

    commands(routed.guest, ["link set near0 down"])
    try:
        until(lambda: not routed.routes(FAR, FRRS), "the gateway has none any more")
    finally:
        up = [f"addr add {NEAR.address(1)[1]} dev near0 nodad"]
        commands(routed.guest, ["link set near0 up", *up])


def test_without_the_section_nothing_stays(routed: Instance) -> None:
    routed.guest.write("/etc/gw/gateway.yaml", plain.CONFIGURATION.encode())
    routed.guest.check("gwctl", "apply")
    assert not routed.routes(NEAR, OURS)
    until(lambda: not routed.routes(FAR, FRRS), "FRR has lost us")
