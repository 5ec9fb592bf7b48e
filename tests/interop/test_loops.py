# SPDX-License-Identifier: GPL-2.0-or-later
"""Sites of ours that are joined twice, and stations that are everywhere: named, counted, and no
end of anything else."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from hybrid_gateway.lab import sites
from hybrid_gateway.lab.namespaces import run as run_here
from hybrid_gateway.lab.segment import evpn_section
from hybrid_gateway.lab.sites import BRIDGE, Family, Kind, Site, vxlan_kind
from tests.interop.three import Three, standing
from tests.lib.gateway import eventually
from tests.lib.programs import pinged

KINDS = (Kind.XDP, Kind.WORKER, Kind.XDP)
SITES = tuple(Site(number + 1, kind) for number, kind in enumerate(KINDS))
OTHER_VNI = 551
OTHER, OTHER_BRIDGE = "vni551", "br51"
CABLE = "loop0"
RATE = 200
"""Frames a second that the second cable takes; the machine has other things to do."""
ROAMER = "02:00:c6:55:55:01"
SECONDS = 60.0
RULES = f"""
table netdev slow {{
    chain in {{
        type filter hook ingress device {CABLE} priority 0; policy drop;
        limit rate {RATE}/second burst 20 packets accept
    }}
}}
"""


def section(site: Site) -> str:
    """A second segment, too: that list is still open here."""
    other = f"  - {{device: {OTHER}, vni: {OTHER_VNI}}}\n"
    return other + evpn_section(site, sites.peers_of(site, SITES), Family.IPV6)


def _other_segment(three: Three, site: Site) -> None:
    """The hosts of the second segment are the gateways themselves."""
    for line in (
        f"link add {OTHER_BRIDGE} type bridge forward_delay 0 mcast_snooping 0",
        f"link add {OTHER} {vxlan_kind(site.vtep(), vni=OTHER_VNI)}",
        f"link set {OTHER} mtu 1500 master {OTHER_BRIDGE} up",
        f"link set {OTHER} type bridge_slave learning off",
        f"addr add {_other_address(site)}/24 dev {OTHER_BRIDGE}",
        f"link set {OTHER_BRIDGE} up",
    ):
        three.lab.run(site.gateway, ["ip", *line.split()])


def _other_address(site: Site) -> str:
    return f"198.18.51.{site.number}"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Three]:
    directory = tmp_path_factory.mktemp("loops")
    name = f"l{os.getpid()}"
    with standing(name, directory, KINDS, section=section, prepare=_other_segment) as three:
        yield three


@pytest.fixture
def three(built: Three) -> Three:
    for number in (1, 2, 3):
        built.gateways[number].ctl("clear", "evpn", "duplicates")
    built.meet()
    return built


def _summary(three: Three, number: int) -> dict[str, object]:
    shown = three.gateways[number].call("show.evpn")
    return dict(shown["summary"])


def _flaps(three: Three) -> list[int]:
    return [
        one["flaps"]
        for number in (1, 2, 3)
        for one in three.gateways[number].call("show.evpn")["neighbors"]
    ]


def _duplicates(three: Three, number: int) -> set[str]:
    found = three.gateways[number].call("show.evpn.macs", cursor=0, limit=1000)["macs"]
    return {one["mac"] for one in found if one["state"] == "duplicate"}


@contextmanager
def _joined_twice(three: Three) -> Iterator[None]:
    """A cable from the bridge of the first site to that of the second one."""
    first, second = (three.lab.namespace(three.site(number).gateway) for number in (1, 2))
    add = f"ip link add {CABLE} netns {first} type veth peer name {CABLE} netns {second}"
    run_here(add.split())
    try:
        for number in (1, 2):
            gateway = three.site(number).gateway
            three.lab.run(gateway, ["nft", RULES])
            three.lab.run(gateway, f"ip link set {CABLE} master {BRIDGE} up".split())
        yield
    finally:
        three.lab.run(three.site(1).gateway, ["ip", "link", "del", CABLE])
        for number in (1, 2):
            three.lab.run(three.site(number).gateway, ["nft", "delete table netdev slow"])


def _other_segment_lives(three: Three) -> bool:
    return all(
        pinged(three.lab, here.gateway, _other_address(there)) == 3
        for here, there in ((SITES[0], SITES[1]), (SITES[2], SITES[0]))
    )


def test_a_loop_is_named(three: Three) -> None:
    """What one site floods comes back to it by the other one, as if its stations had moved there.
    They are duplicates soon; sessions and the other segment know nothing of it."""
    eventually(lambda: _other_segment_lives(three), "the other segment is there", SECONDS)
    flaps = _flaps(three)
    with _joined_twice(three):

        def named() -> bool:
            for number in (1, 2):
                three.speak(number, three.mac(number))
            return all(_duplicates(three, number) for number in (1, 2))

        eventually(named, "both sites have duplicates", SECONDS)
        assert _other_segment_lives(three)
        for number in (1, 2):
            warnings = three.gateways[number].ctl_json("status")["warnings"]
            assert any("duplicate" in one for one in warnings), warnings
            assert _summary(three, number)["duplicates"] == len(_duplicates(three, number))
    assert _flaps(three) == flaps
    for number in (1, 2, 3):
        three.gateways[number].ctl("clear", "evpn", "duplicates")
    three.meet()


def test_a_station_that_is_at_three_sites(three: Three) -> None:
    """It is announced no more after the fifth move, wherever it is heard; nobody else minds."""
    flaps = _flaps(three)

    def named() -> bool:
        for number in (1, 2, 3):
            three.speak(number, ROAMER)
        return any(ROAMER in _duplicates(three, number) for number in (1, 2, 3))

    eventually(named, "it is a duplicate", SECONDS)

    def sequences() -> list[int]:
        return [
            one["sequence"]
            for number in (1, 2, 3)
            for one in three.gateways[number].call("show.evpn.macs", cursor=0, limit=1000)["macs"]
            if one["mac"] == ROAMER
        ]

    def frozen() -> bool:
        before = sequences()
        for _ in range(3):
            for number in (1, 2, 3):
                three.speak(number, ROAMER)
        assert three.pinged(1, 2) == 3
        return sequences() == before

    eventually(frozen, "it moves no more", SECONDS)
    for here, there in ((1, 2), (2, 3), (3, 1)):
        assert three.pinged(here, there) == 3
    assert _flaps(three) == flaps
