# SPDX-License-Identifier: GPL-2.0-or-later
"""The speaker between real gobgpds and real kernels: what one site learns, the other one uses."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from hybrid_gateway.evpn.prefixes import CUTS_OFF
from hybrid_gateway.evpn.speaker import EvpnSpeaker
from hybrid_gateway.evpn.view import MacState, SpeakerState
from hybrid_gateway.evpn.wanted import EvpnTable
from hybrid_gateway.lab import namespaces
from hybrid_gateway.model import MacRoute, RouteTarget
from tests.lib.gateway import eventually

from .bgp import ASN, ROUTE_SECONDS, SESSION_SECONDS, neighbor
from .stretch import DEVICES, NOBODY, PORT, ROUTED, VNI, Site, stretched, together

MOVING, STATIC, MARKER = "02:00:00:00:55:aa", "02:00:00:00:55:cc", "02:00:00:00:55:dd"
Sites = tuple[Site, Site]


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Sites]]:
    """One for all that leaves a session as it was, and one for each test that ends its session."""
    names = ("lasting", "silent", "removed", "many", "useless")
    with ExitStack() as stack:
        yield stretched(tmp_path_factory.mktemp("stretch"), stack, names)


@pytest.fixture(scope="module")
def sites(pairs: dict[str, Sites]) -> Sites:
    return pairs["lasting"]


def test_nothing_is_left_open(sites: Sites) -> None:
    """Of a speaker that ended: sections come and go as long as the agent runs."""
    (east, _), counts = sites, []
    for _ in range(3):
        with namespaces.entered(east.bgp.namespace):
            speaker = EvpnSpeaker(f"unix://{east.bgp.directory}/nobody.sock")
            speaker.start()
        speaker.stop()
        counts.append(len(list(Path("/proc/self/fd").iterdir())))

    assert counts[1] == counts[2]


def test_hosts_of_two_sites_talk(sites: Sites) -> None:
    east, west = sites

    assert "0% packet loss" in east.ping(west)

    eventually(lambda: east.state(west.mac) is MacState.REMOTE, "the other's host is known")
    station = east.station(west.mac)
    assert station
    assert (station.vtep, station.sequence) == (west.bgp.address, 0)
    eventually(lambda: east.vteps(west.mac) == {str(west.bgp.address)}, "and in the kernel")
    bridged = [row for row in east.fdb() if row["mac"] == west.mac and row.get("master")]
    assert "extern_learn" in bridged[0]["flags"]
    vni, _ = east.view().vnis
    assert (vni.vteps, vni.local_macs, vni.remote_macs) == (1, 1, 1)


def test_a_station_moves(sites: Sites) -> None:
    east, west = sites
    east.speak(MOVING)
    eventually(lambda: west.vteps(MOVING) == {str(east.bgp.address)}, "it is in the east")

    west.speak(MOVING)

    eventually(lambda: east.vteps(MOVING) == {str(west.bgp.address)}, "it is in the west")
    assert not east.learned(MOVING)
    assert west.state(MOVING) is MacState.LOCAL
    station = east.station(MOVING)
    assert station
    assert station.sequence == 1
    eventually(lambda: not west.vteps(MOVING), "nothing of where it was is left")


def test_addresses_are_told_along(sites: Sites) -> None:
    """Once the gateway has an address in the segment, and knows its host's."""
    east, west = sites
    gateway = f"address {{}} 10.55.0.101/24 dev {DEVICES[VNI][1]}"
    namespaces.ip_batch(east.bgp.namespace, [gateway.format("add")])
    try:
        argv = ["ping", "-n", "-c", "1", "-W", "2", east.address]
        namespaces.run(namespaces.inside(east.bgp.namespace, argv))

        eventually(lambda: west.neighbours() == {east.address: east.mac}, "it is told")
        station = west.station(east.mac)
        assert station
        assert station.addresses == (ip_address(east.address),)
    finally:
        namespaces.ip_batch(east.bgp.namespace, [gateway.format("delete")])
    eventually(lambda: not west.neighbours(), "it is taken back")


def test_a_static_station_does_not_move(sites: Sites) -> None:
    east, west = sites
    east.bridge(f"fdb add {STATIC} dev {PORT} master static")
    eventually(lambda: west.vteps(STATIC) == {str(east.bgp.address)}, "it is known")

    west.speak(STATIC)

    # Told later than whatever might have come of that.
    west.speak(MARKER)
    eventually(lambda: bool(east.vteps(MARKER)), "another one is known")
    station = west.station(STATIC)
    assert station
    assert (station.state, station.sticky) == (MacState.REMOTE, True)
    assert not west.learned(STATIC)

    east.bridge(f"fdb delete {STATIC} dev {PORT} master")
    eventually(lambda: not west.vteps(STATIC), "it is gone")


def test_a_port_that_goes_down_withdraws_its_stations(sites: Sites) -> None:
    east, west = sites
    east.speak()
    eventually(lambda: bool(west.vteps(east.mac)), "it is known")

    east.cable(False)
    eventually(lambda: not west.vteps(east.mac), "it is forgotten", ROUTE_SECONDS)

    east.cable(True)

    def back() -> bool:
        # The bridge's port takes its time to notice, and what is said before then is lost.
        east.speak()
        return bool(west.vteps(east.mac))

    eventually(back, "it is back")


def test_what_is_known_outlives_the_daemon(sites: Sites) -> None:
    east, west = sites
    east.ping(west)
    eventually(lambda: bool(east.vteps(west.mac)), "it is known")

    east.bgp.kill()
    eventually(lambda: east.in_state(SpeakerState.CONNECTING), "the daemon is missed")
    assert "does not answer" in east.view().error
    east.speak("02:00:00:00:55:bb")
    assert "0% packet loss" in east.ping(west)
    east.bgp.start()

    together(east, west)
    assert east.view().error == ""
    assert east.vteps(west.mac) == {str(west.bgp.address)}
    eventually(lambda: bool(west.vteps("02:00:00:00:55:bb")), "what came meanwhile is announced")


def test_a_site_that_falls_silent_is_forgotten(pairs: dict[str, Sites]) -> None:
    """When the hold time is over: it is not known of its daemon alone that it is away."""
    east, west = pairs["silent"]
    east.ping(west)
    eventually(lambda: bool(east.vteps(west.mac)), "it is known")

    west.mute(True)
    eventually(lambda: not east.vteps(west.mac), "it is forgotten", SESSION_SECONDS)
    assert not east.vteps(NOBODY)


def test_prefixes_of_one_site_are_routes_of_the_other(sites: Sites) -> None:
    east, west = sites
    assert east.speaker
    tables = (EvpnTable(ROUTED, present=(ip_network("10.1.0.0/16"), ip_network("10.2.0.0/16"))),)

    east.speaker.follow(replace(east.wanted, tables=tables))
    eventually(lambda: west.routes() == {"10.1.0.0/16", "10.2.0.0/16"}, "both are there")
    theirs = {view.prefix: view.vtep for view in west.view().prefixes}
    assert theirs == dict.fromkeys(tables[0].present, east.bgp.address)
    ours = {view.prefix: view.vtep for view in east.view().prefixes}
    assert ours == dict.fromkeys(tables[0].present)

    east.speaker.follow(east.wanted)
    eventually(lambda: not west.routes(), "and gone")


def test_no_prefix_takes_the_way_to_a_neighbor(sites: Sites) -> None:
    """West would send what is for east into the tunnel to east."""
    east, west = sites
    assert east.speaker
    around = ip_network(f"{east.bgp.address}/120", strict=False)
    tables = (EvpnTable(ROUTED, present=(around, ip_network("10.3.0.0/16"))),)

    east.speaker.follow(replace(east.wanted, tables=tables))
    eventually(lambda: west.routes() == {"10.3.0.0/16"}, "the other one is there")

    eventually(lambda: bool(west.view().refused), "and this one is refused")
    assert [(one.reason, one.count) for one in west.view().refused] == [(CUTS_OFF, 1)]
    assert west.routes() == {"10.3.0.0/16"}
    assert "0% packet loss" in east.ping(west)
    east.speaker.follow(east.wanted)
    eventually(lambda: not west.routes(), "and gone")


def test_what_is_over_is_swept_after_a_restart_of_the_agent(sites: Sites) -> None:
    east, west = sites
    for site in sites:
        site.speak()
    eventually(lambda: bool(east.vteps(west.mac)), "the other's host is known")
    eventually(lambda: bool(west.vteps(east.mac)), "and the own one there")

    east.stop()
    assert east.vteps(west.mac), "an agent that ends takes nothing along"
    assert east.vteps(NOBODY)
    west.cable(False)
    east.cable(False)
    eventually(lambda: not west.learned(west.mac), "the other's host is gone")
    east.cable(True)
    west.cable(True)
    east.start(east.wanted.section)

    together(east, west)
    eventually(lambda: not east.vteps(west.mac), "what nobody says any more is gone")
    eventually(lambda: not west.vteps(east.mac), "and what was announced before as well")


def test_a_neighbour_of_another_as_is_added(sites: Sites) -> None:
    """Without touching the session that there is."""
    east, west = sites
    flaps = {peer.address: peer.flaps for peer in east.view().peers}
    (first,) = east.wanted.section.neighbors
    nobody = neighbor(west.bgp, address=east.bgp.address + 8, asn=ASN + 1)
    assert east.speaker

    more = replace(east.wanted.section, neighbors=(first, nobody))
    east.speaker.follow(replace(east.wanted, section=more))

    eventually(lambda: len(east.view().peers) == 2, "there are two neighbours")
    assert {peer.address: peer.flaps for peer in east.view().peers}.items() >= flaps.items()
    assert east.vteps(NOBODY) == {str(west.bgp.address)}
    east.speaker.follow(east.wanted)
    eventually(lambda: len(east.view().peers) == 1, "there is one again")


def test_nothing_of_ours_is_left_when_it_is_removed(pairs: dict[str, Sites]) -> None:
    east, west = pairs["removed"]
    east.ping(west)
    eventually(lambda: bool(east.vteps(west.mac)), "it is known")

    east.stop(remove=True)

    assert east.vteps(west.mac) == set()
    assert east.vteps(NOBODY) == set()
    eventually(lambda: not west.vteps(east.mac), "the session ended", SESSION_SECONDS)


def announced(east: Site, west: Site, many: Sequence[MacRoute], routes_max: int) -> None:
    """By the second speaker's daemon; the first one takes `routes_max` of that."""
    (neighbour,) = east.wanted.section.neighbors
    few = replace(east.wanted.section, neighbors=(replace(neighbour, routes_max=routes_max),))
    assert east.speaker
    east.speaker.follow(replace(east.wanted, section=few))
    assert west.bgp.client.announce(many) == []

    eventually(lambda: bool(east.view().refused), "routes are refused", SESSION_SECONDS)
    eventually(lambda: "shut down" in east.view().peers[0].reason, "it is shut down")


def routes_of(west: Site, count: int, targets: tuple[RouteTarget, ...]) -> list[MacRoute]:
    rd = f"{west.bgp.router_id}:{VNI}"
    macs = (bytes([2, 0, 0, 0, 0x66, number]) for number in range(count))
    return [MacRoute(rd, mac, VNI, west.bgp.address, targets) for mac in macs]


def test_a_neighbour_that_sends_too_much_is_shut_down(pairs: dict[str, Sites]) -> None:
    east, west = pairs["many"]
    announced(east, west, routes_of(west, 40, (RouteTarget(ASN, VNI),)), 20)

    assert {view.reason for view in east.view().refused} == {"more routes than it may send"}
    assert {view.peer for view in east.view().refused} == {west.bgp.address}
    eventually(lambda: not any("dst" in row for row in east.fdb()), "nothing is left of it")

    assert east.speaker
    assert east.speaker.clear() == 0
    eventually(lambda: not east.view().peers[0].reason, "it may try again")


def test_routes_that_are_refused_count_too(pairs: dict[str, Sites]) -> None:
    """None of these has a route target, so nothing comes of any."""
    east, west = pairs["useless"]
    announced(east, west, routes_of(west, 200, ()), 100)

    reasons = {"no route target for its VNI", "more routes than it may send"}
    eventually(lambda: {view.reason for view in east.view().refused} == reasons, "it says why")
