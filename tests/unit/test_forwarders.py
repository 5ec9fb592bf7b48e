# SPDX-License-Identifier: GPL-2.0-or-later
"""Who forwards for a segment where the worker has ports, and what keeps it from that."""

from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from hybrid_gateway.agent.forwarders import floods, judge
from hybrid_gateway.model import Observed
from hybrid_gateway.resolve import resolve
from hybrid_gateway.worker_values import SegmentStatus
from tests.unit import vxlan_site
from tests.unit.test_worker_segments import CONFIG, OBSERVED, RUNNING, TAKEN
from tests.unit.vxlan_site import TUNNEL

WANTED = resolve(CONFIG, OBSERVED)
(SEGMENT,) = WANTED.segments
ACTIVE = SegmentStatus(TUNNEL, 100, 1, 1, 2, True, "")


def told(status: SegmentStatus | None, observed: Observed = OBSERVED) -> tuple[str, str | None]:
    wanted = resolve(CONFIG, observed)
    has = {(status.ifindex, status.vni): status} if status else {}
    return judge(wanted.segments[0], wanted, has)


def test_the_worker_forwards() -> None:
    assert told(ACTIVE) == ("worker", None)


@pytest.mark.parametrize(
    ("status", "observed", "forwards", "reason"),
    [
        (None, OBSERVED, "kernel", "the worker does not have it at the moment"),
        (replace(ACTIVE, problem="no room"), OBSERVED, "partly", "no room"),
        (replace(ACTIVE, active=False, problem="br0 is down"), OBSERVED, "kernel", "br0 is down"),
        (
            replace(ACTIVE, active=False),
            OBSERVED,
            "kernel",
            "the worker has not found its devices",
        ),
        (
            ACTIVE,
            replace(OBSERVED, worker=replace(RUNNING, taken=TAKEN[1:])),
            "kernel",
            "no port of br0 is the worker's",
        ),
        (
            ACTIVE,
            vxlan_site.with_link("wan0", OBSERVED, master=vxlan_site.BRIDGE),
            "kernel",
            "every port of the worker is a bridge's: there is no underlay",
        ),
        (
            ACTIVE,
            vxlan_site.made(OBSERVED, local=IPv4Address("192.0.2.99")),
            "partly",
            "this host has no address 192.0.2.99: nothing arrives",
        ),
    ],
)
def test_what_keeps_the_worker_from_it(
    status: SegmentStatus | None, observed: Observed, forwards: str, reason: str
) -> None:
    assert told(status, observed) == (forwards, reason)


def test_both_forward() -> None:
    """With access ports of either, and an underlay of either."""
    devices = tuple(
        replace(one, ifindex=one.ifindex + 100, worker=False, port=True, bridged=not one.underlay)
        for one in WANTED.devices
        if one.worker
    )
    has = {(ACTIVE.ifindex, ACTIVE.vni): ACTIVE}
    both = replace(WANTED, devices=(*WANTED.devices, *devices))

    assert judge(SEGMENT, both, has) == ("both", None)
    assert judge(SEGMENT, both) == ("xdp", None)
    access = replace(WANTED, devices=(*WANTED.devices, devices[0]))
    assert judge(SEGMENT, access, has) == ("worker", None)
    assert judge(SEGMENT, access) == (
        "kernel",
        "every port of the configuration is a bridge's: there is no underlay",
    )


@pytest.mark.parametrize(
    ("status", "flooded"),
    [
        (None, ("kernel", None)),
        (replace(ACTIVE, active=False), ("kernel", None)),
        (replace(ACTIVE, problem="no room"), ("kernel", None)),
        (replace(ACTIVE, floods_here=True), ("worker", None)),
        (ACTIVE, ("kernel", "there is no TAP by which br0 hears")),
        (replace(ACTIVE, flood_problem="lan3 is the kernel's"), ("kernel", "lan3 is the kernel's")),
    ],
)
def test_who_floods(status: SegmentStatus | None, flooded: tuple[str, str | None]) -> None:
    has = {(ACTIVE.ifindex, ACTIVE.vni): status} if status else {}
    assert floods(SEGMENT, has) == flooded
