# SPDX-License-Identifier: GPL-2.0-or-later
"""EVPN with other people's daemons: FRR 8.4 and gobgpd over IPv4, FRR 10.7 and gobgpd over IPv6."""

import json
from ipaddress import ip_address
from itertools import permutations
from typing import Any

import pytest

from hybrid_gateway.lab.segment import SiteLab, plain_target
from hybrid_gateway.lab.sites import ACCESS, VNI
from tests.interop.peers import ALL, FRR, OTHER, OURS, PLAIN, Peers
from tests.lib.gateway import eventually

NEWCOMER = "02:00:c6:12:32:{:02x}"


def test_stations_reach_each_other(peers: Peers) -> None:
    for here, there in permutations(ALL, 2):
        peers.three.met(here, there)


def test_frr_has_our_stations(peers: Peers) -> None:
    others = (OURS, PLAIN, OTHER)
    for number in others:
        assert peers.frr.established(peers.three.vtep(number))
    told = peers.frr.stations(VNI)
    wanted = {peers.three.mac(number): peers.three.vtep(number) for number in others}
    assert wanted.items() <= told.items()


def flood_route(peers: Peers, number: int) -> dict[str, Any]:
    """Attributes of a site's type-3 route by their types, as gobgpd of the plain site has them."""
    place = SiteLab(peers.three.lab, peers.three.site(PLAIN))
    words = ["neighbor", peers.three.vtep(number), "adj-in", "-a", "evpn", "-j"]
    argv = ["gobgp", "--target", plain_target(place), *words]
    told = json.loads(peers.three.lab.run(peers.three.site(PLAIN).gateway, argv))
    paths = [path for one in (told.values() if isinstance(told, dict) else told) for path in one]
    (route,) = [path for path in paths if path["nlri"]["type"] == 3]
    return {str(one["type"]): one for one in route["attrs"]}


@pytest.mark.parametrize("number", [OURS, OTHER])
def test_the_tunnel_attribute_of_a_flood_route(peers: Peers, number: int) -> None:
    """RFC 7432 section 11.2: our address, of the underlay's family. With `pmsi-compat` it has nine
    bytes, and so the router id; others than that neighbour are told as ever, and flood to us."""
    three = peers.three
    found = flood_route(peers, number)
    tunnel = three.site(number).router_id if number == OTHER else three.vtep(number)
    assert ip_address(found["22"]["tunnel-id"]) == ip_address(tunnel), found["22"]
    hop = found["14"]["nexthop"] if "14" in found else found["3"]["nexthop"]
    assert hop == three.vtep(number)
    for other in (FRR, PLAIN):
        assert three.vtep(number) in three.floods(other)


@pytest.mark.parametrize("number", ALL)
def test_a_station_comes_and_goes(peers: Peers, number: int) -> None:
    """Its port learns it, and forgets it."""
    mac, three = NEWCOMER.format(0x20 + number), peers.three
    peers.speak(number, mac)
    others = set(ALL) - {number}
    peers.await_told(others, mac, number)
    peers.forget(number, mac)
    eventually(
        lambda: not any(mac in three.fdb(other, mac) for other in others),
        "all others are told that it is gone",
    )


def test_a_station_moves(peers: Peers) -> None:
    """From the plain site to FRR's, which says so with a sequence number (RFC 7432 section 7.7)."""
    mac, three = NEWCOMER.format(0x30), peers.three
    peers.speak(PLAIN, mac)
    eventually(lambda: peers.told_by(OURS).get(mac) == three.vtep(PLAIN), "it is at one site")
    peers.speak(FRR, mac)
    eventually(lambda: peers.told_by(OURS).get(mac) == three.vtep(FRR), "it is at the other")
    for number in (PLAIN, FRR):
        peers.forget(number, mac)
    eventually(lambda: mac not in three.fdb(OURS, mac), "it is nowhere")


def frrs(peers: Peers, mac: str) -> dict[str, Any]:
    """What FRR knows of a station; empty if it knows none."""
    found = peers.frr.show(f"evpn mac vni {VNI} mac {mac}")
    one: dict[str, Any] = found.get(mac, found)
    return one


def test_a_station_moves_between_us_and_frr(peers: Peers) -> None:
    """Each counts on from what the other one said; a third one follows both."""
    mac, three = NEWCOMER.format(0x31), peers.three
    for sequence, (here, there) in enumerate(((OURS, FRR), (FRR, OURS), (OURS, FRR))):
        peers.speak(here, mac)
        peers.await_told((there, OTHER), mac, here)
        assert peers.station(OTHER, mac)["sequence"] == sequence
        heard = frrs(peers, mac)["localSequence" if here == FRR else "remoteSequence"]
        assert heard == sequence
        # Where it was nothing of it is left: the bridge would send to its old port.
        assert ACCESS not in three.fdb(there, mac)
    for number in (OURS, FRR):
        peers.forget(number, mac)
    eventually(lambda: mac not in three.fdb(OTHER, mac), "it is nowhere")


@pytest.mark.parametrize(("here", "there"), [(OURS, FRR), (FRR, OURS)])
def test_a_station_that_never_moves(peers: Peers, here: int, there: int) -> None:
    """A static entry is announced as sticky (RFC 7432 section 15.2), and no other site claims the
    station that is heard there."""
    mac, three = NEWCOMER.format(0x33 + here), peers.three
    words = ["static"] if here == OURS else ["sticky", "static"]
    entry = ["bridge", "fdb", "replace", mac, "dev", ACCESS, "master", *words]
    three.lab.run(three.site(here).gateway, entry)
    behind = f"dst {three.vtep(here)} "
    eventually(
        lambda: all(behind in three.fdb(other, mac) for other in (there, OTHER)),
        "both others are told of it",
    )
    assert peers.station(OTHER, mac)["sticky"]
    assert frrs(peers, mac)["stickyMac"]
    peers.speak(there, mac)
    marker = NEWCOMER.format(0x37 + here)
    peers.speak(there, marker)
    eventually(lambda: marker in peers.told_by(OTHER), "what was said after that is known")
    assert peers.told_by(OTHER)[mac] == three.vtep(here)
    assert peers.station(OTHER, mac)["sequence"] == 0
    assert behind in three.fdb(there, mac)
    for number in (here, there):
        for one in (mac, marker):
            peers.forget(number, one)
    eventually(lambda: mac not in peers.told_by(OTHER), "it is nowhere")


def test_a_neighbour_ends(peers: Peers) -> None:
    """Its hold time of three seconds runs out, or its connection does at once."""
    three = peers.three
    peers.frr.tell("router bgp 64512", f"neighbor {three.vtep(OURS)} shutdown")
    try:
        eventually(
            lambda: three.floods(OURS) == {three.vtep(PLAIN), three.vtep(OTHER)},
            "its VTEP is in the list no more",
        )
        # Entries go one after the other.
        eventually(lambda: three.mac(FRR) not in peers.told_by(OURS), "nor is its station")
        assert three.pinged(OURS, PLAIN) == 3
    finally:
        peers.frr.tell("router bgp 64512", f"no neighbor {three.vtep(OURS)} shutdown")
    peers.converge()
