# SPDX-License-Identifier: GPL-2.0-or-later
"""Neighbours whose link goes down: who is given up, and that sites forget each other at once."""

import os
import queue
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from ipaddress import ip_address
from pathlib import Path

import pytest

from hybrid_gateway.evpn.daemon_session import LINK_DOWN
from hybrid_gateway.evpn.fallover import Fallover
from hybrid_gateway.evpn.mass import MASS_MIN
from hybrid_gateway.lab import namespaces
from hybrid_gateway.model import IPAddress
from tests.lib.gateway import eventually

from .bgp import ROUTE_SECONDS, Speaker, neighbor, wired
from .stretch import NOBODY, PORT, Site, together

HERE, THERE = f"gwf{os.getpid()}-here", f"gwf{os.getpid()}-there"
LINES = [
    f"link add wire type veth peer name wire netns {THERE}",
    f"link add spare type veth peer name spare netns {THERE}",
    "address add 10.9.0.1/24 dev wire",
    "address add 2001:db8:9::1/64 dev wire nodad",
    "address add 10.8.0.1/24 dev spare",
    "link set wire up",
    "link set spare up",
    # One that has a router in between, one that there is another way to, and a way to all.
    "route add 10.7.0.2 via 10.9.0.2",
    "route add 10.9.0.3 dev wire",
    "route add 10.9.0.3 via 10.8.0.2 metric 10",
    "route add default via 10.8.0.2",
]
NEIGHBOURS = [
    ip_address(text) for text in ("10.9.0.2", "2001:db8:9::2", "10.7.0.2", "10.9.0.3", "10.8.0.2")
]
ON_THE_WIRE = {ip_address("10.9.0.2"), ip_address("2001:db8:9::2")}


@contextmanager
def followed() -> Iterator["queue.SimpleQueue[frozenset[IPAddress]]"]:
    """What is cut in a namespace with two cables."""
    cut: queue.SimpleQueue[frozenset[IPAddress]] = queue.SimpleQueue()
    with ExitStack() as stack:
        for name in (HERE, THERE):
            stack.callback(namespaces.delete, name)
            namespaces.add(name)
        namespaces.ip_batch(HERE, LINES)
        namespaces.ip_batch(THERE, ["link set wire up", "link set spare up"])
        with namespaces.entered(HERE):
            links = Fallover(cut.put)
            links.start()
        stack.callback(links.close)
        links.follow(NEIGHBOURS)
        yield cut


def test_a_link_that_is_taken_down_cuts_who_is_on_it_alone() -> None:
    """Neither who is behind a router, nor who is reached by another way, nor who is elsewhere; a
    default route is no other way."""
    with followed() as cut:
        namespaces.ip_batch(HERE, ["link set wire down"])

        assert cut.get(timeout=ROUTE_SECONDS) == ON_THE_WIRE
        namespaces.ip_batch(HERE, ["link set spare down"])
        assert cut.get(timeout=ROUTE_SECONDS) == {ip_address("10.8.0.2")}


def test_a_link_without_carrier_cuts_who_is_on_it() -> None:
    """The kernel keeps its routes over such a link, so there is no other way."""
    with followed() as cut:
        namespaces.ip_batch(THERE, ["link set wire down"])

        assert cut.get(timeout=ROUTE_SECONDS) == ON_THE_WIRE | {ip_address("10.9.0.3")}


def test_a_link_that_is_deleted_cuts_who_is_on_it() -> None:
    with followed() as cut:
        namespaces.ip_batch(HERE, ["link delete wire"])

        assert cut.get(timeout=ROUTE_SECONDS) == ON_THE_WIRE


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, Site]]:
    """That would wait for each other for an hour."""
    directory: Path = tmp_path_factory.mktemp("fallover")
    left, right = Speaker("cut-e", 1, directory), Speaker("cut-w", 2, directory)
    with ExitStack() as stack:
        wired(left, right, stack)
        east, west = Site(left, stack), Site(right, stack)
        east.start(left.section(neighbor(right)), hold_time=3600)
        west.start(right.section(neighbor(left, passive=True)), hold_time=3600)
        together(east, west)
        yield east, west


def test_what_is_sent_is_counted(sites: tuple[Site, Site]) -> None:
    """As gobgpd counts it, which walks its table for that."""
    east, west = sites
    east.speak()
    eventually(lambda: bool(west.vteps(east.mac)), "it is known")

    (counted,) = east.bgp.client.peers(advertised=True)
    assert counted.advertised >= 2
    eventually(lambda: east.view().peers[0].advertised == counted.advertised, "it is told")


def test_all_stations_of_a_port_go_with_it(sites: tuple[Site, Site]) -> None:
    """More than are withdrawn one by one, and no station stays; the site does."""
    east, west = sites
    stations = [f"02:00:00:01:{number >> 8:02x}:{number & 255:02x}" for number in range(MASS_MIN)]
    lines = "".join(f"fdb add {one} dev {PORT} master dynamic\n" for one in stations)
    namespaces.run(["bridge", "-n", east.bgp.namespace, "-batch", "-"], stdin=lines)
    eventually(lambda: {*stations} <= known(west), "they are known", ROUTE_SECONDS)

    east.cable(False)

    eventually(lambda: known(west) == {NOBODY}, "they are forgotten", ROUTE_SECONDS)
    eventually(
        lambda: len(west.bgp.paths()) == len(east.bgp.paths()), "and withdrawn", ROUTE_SECONDS
    )
    east.cable(True)
    east.speak()
    eventually(lambda: known(west) == {NOBODY, east.mac}, "it is back")


def known(site: Site) -> set[str]:
    return {row["mac"] for row in site.fdb() if "dst" in row}


def is_alone(site: Site) -> bool:
    (peer,) = site.view().peers
    return peer.reason == LINK_DOWN and not any("dst" in row for row in site.fdb())


def is_content(site: Site) -> bool:
    return not site.view().peers[0].reason


def test_sites_whose_link_goes_down_forget_each_other(sites: tuple[Site, Site]) -> None:
    """One has its end taken down, the other one loses its carrier."""
    east, west = sites
    for site in sites:
        site.speak()
    eventually(lambda: bool(east.vteps(west.mac) and west.vteps(east.mac)), "they know each other")

    namespaces.ip_batch(east.bgp.namespace, ["link set wire down"])

    for site in sites:
        eventually(partial(is_alone, site), "all is forgotten, and it is said why")
    lines = ["link set wire up", f"address replace {east.bgp.address}/64 dev wire nodad"]
    namespaces.ip_batch(east.bgp.namespace, lines)
    together(east, west)
    for site in sites:
        eventually(partial(is_content, site), "nothing is wrong")
    eventually(lambda: bool(east.vteps(west.mac)), "and all is known again")
    assert east.vteps(NOBODY) == {str(west.bgp.address)}
