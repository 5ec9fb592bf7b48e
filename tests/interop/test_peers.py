# SPDX-License-Identifier: GPL-2.0-or-later
"""EVPN with other people's daemons: FRR 8.4 and gobgpd over IPv4, FRR 10.7 and gobgpd over IPv6."""

from itertools import permutations

import pytest

from hybrid_gateway.lab.sites import ACCESS, VNI
from tests.interop.peers import FRR, OURS, PLAIN, Peers
from tests.lib.gateway import eventually

NEWCOMER = "02:00:c6:12:32:{:02x}"


def test_stations_reach_each_other(peers: Peers) -> None:
    for here, there in permutations((OURS, FRR, PLAIN), 2):
        peers.three.met(here, there)


def test_frr_has_our_stations(peers: Peers) -> None:
    for number in (OURS, PLAIN):
        assert peers.frr.established(peers.three.vtep(number))
    told = peers.frr.stations(VNI)
    wanted = {peers.three.mac(number): peers.three.vtep(number) for number in (OURS, PLAIN)}
    assert wanted.items() <= told.items()


@pytest.mark.parametrize("number", [OURS, FRR, PLAIN])
def test_a_station_comes_and_goes(peers: Peers, number: int) -> None:
    """Its port learns it, and forgets it."""
    mac, three = NEWCOMER.format(0x20 + number), peers.three
    peers.speak(number, mac)
    for other in {OURS, FRR, PLAIN} - {number}:
        eventually(
            lambda other=other: peers.told_by(other).get(mac) == three.vtep(number),  # type: ignore[misc]
            f"site {other} is told of it",
        )
    gateway = three.site(number).gateway
    three.lab.run(gateway, ["bridge", "fdb", "del", mac, "dev", ACCESS, "master"])
    for other in {OURS, FRR, PLAIN} - {number}:
        eventually(
            lambda other=other: mac not in three.fdb(other, mac),  # type: ignore[misc]
            f"site {other} is told that it is gone",
        )


def test_a_station_moves(peers: Peers) -> None:
    """From the plain site to FRR's, which says so with a sequence number (RFC 7432 section 7.7)."""
    mac, three = NEWCOMER.format(0x30), peers.three
    peers.speak(PLAIN, mac)
    eventually(lambda: peers.told_by(OURS).get(mac) == three.vtep(PLAIN), "it is at one site")
    peers.speak(FRR, mac)
    eventually(lambda: peers.told_by(OURS).get(mac) == three.vtep(FRR), "it is at the other")
    for number in (PLAIN, FRR):
        gateway = three.site(number).gateway
        three.lab.run(gateway, ["bridge", "fdb", "del", mac, "dev", ACCESS, "master"], check=False)
    eventually(lambda: mac not in three.fdb(OURS, mac), "it is nowhere")


def test_a_neighbour_ends(peers: Peers) -> None:
    """Its hold time of three seconds runs out, or its connection does at once."""
    three = peers.three
    peers.frr.tell("router bgp 64512", f"neighbor {three.vtep(OURS)} shutdown")
    try:
        eventually(
            lambda: three.floods(OURS) == {three.vtep(PLAIN)}, "its VTEP is in the list no more"
        )
        assert three.mac(FRR) not in peers.told_by(OURS)
        assert three.pinged(OURS, PLAIN) == 3
    finally:
        peers.frr.tell("router bgp 64512", f"no neighbor {three.vtep(OURS)} shutdown")
    peers.converge()
