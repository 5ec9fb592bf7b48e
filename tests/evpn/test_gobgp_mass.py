# SPDX-License-Identifier: GPL-2.0-or-later
"""Stations that go all at once, between two real gobgpds."""

from dataclasses import replace

from gw_gobgp import gobgp_pb2 as api

from hybrid_gateway.evpn.gobgp import vrf_of
from hybrid_gateway.evpn.gobgp_channel import Channel
from hybrid_gateway.evpn.keys import stations_of
from hybrid_gateway.evpn.mass import MASS_MIN, Mass
from hybrid_gateway.model import EvpnRoute, FloodRoute, MacRoute, RouteChange

from .bgp import Following, Pair
from .test_gobgp_routes import VTEP6, station, targets

RD = stations_of("192.0.2.1:550")
FLOOD = FloodRoute("192.0.2.1:550", VTEP6, 550, VTEP6, targets(550))
STATIONS = [
    station(rd=RD, mac=(0x02 << 40 | number).to_bytes(6, "big")) for number in range(MASS_MIN)
]
ELSEWHERE = station(551)
MARKER = station(mac=bytes.fromhex("0200000000ee"))


def macs(events: list[RouteChange]) -> set[bytes]:
    return {event.route.mac for event in events if isinstance(event.route, MacRoute)}


def test_neighbours_forget_at_one_word(pair: Pair, watch: Following) -> None:
    """Of a type-3 route, which says no more about itself than before."""
    left, right = pair
    there = watch(right)
    left.client.announce([FLOOD, ELSEWHERE, *STATIONS])
    there.routes([FLOOD, ELSEWHERE, *STATIONS], peer=left.address)

    left.client.announce([replace(FLOOD, gone=(RD,))])

    there.gone(STATIONS, peer=left.address)
    left.client.announce([FLOOD, MARKER])
    there.routes([MARKER], peer=left.address)
    left.client.withdraw([*STATIONS, FLOOD, ELSEWHERE, MARKER])
    there.gone([FLOOD, ELSEWHERE, MARKER], peer=left.address)


def test_a_mass_is_withdrawn_and_what_stays_is_said_again(pair: Pair, watch: Following) -> None:
    left, right = pair
    there, here = watch(right), watch(left)
    stays = station(rd=RD, mac=bytes.fromhex("0200000000dd"), sequence=3)
    everything: list[EvpnRoute] = [FLOOD, ELSEWHERE, stays, *STATIONS]
    left.client.announce(everything)
    there.routes(everything, peer=left.address)
    here.routes(everything)

    assert left.client.withdraw_all(Mass(RD, tuple(STATIONS), FLOOD)) == []
    left.client.announce([FLOOD, stays, MARKER])

    told = there.until(lambda events: RouteChange(MARKER, peer=left.address) in events)
    changes = [event for event in told if isinstance(event, RouteChange)]
    gone = [change for change in changes if change.withdrawn]
    assert macs(gone) == {route.mac for route in [stays, *STATIONS]}
    assert [change.route for change in changes if not change.withdrawn] == [stays, MARKER]
    # gobgpd has withdrawn them too, for those who do not know the word.
    assert len(left.paths()) == len(right.paths()) + 1 == 5, "our type 3 has two forms"
    left.client.withdraw([FLOOD, ELSEWHERE, MARKER, stays])
    there.gone([FLOOD, ELSEWHERE, MARKER, stays], peer=left.address)


def test_what_was_withdrawn_can_be_withdrawn_again(pair: Pair, watch: Following) -> None:
    """And again: nothing stays in gobgpd of how it was done."""
    left, right = pair
    there = watch(right)
    for _ in range(2):
        left.client.announce(STATIONS)
        there.routes(STATIONS, peer=left.address)
        assert left.client.withdraw_all(Mass(RD, tuple(STATIONS))) == []
        there.gone(STATIONS, peer=left.address)


def test_one_that_was_begun_before_is_ended(pair: Pair, watch: Following) -> None:
    """An agent may end between the two calls that it takes, or give up waiting for the second."""
    left, right = pair
    there = watch(right)
    left.client.announce(STATIONS)
    there.routes(STATIONS, peer=left.address)
    channel = Channel(f"unix://{left.socket}")
    channel.call("AddVrf", api.AddVrfRequest(vrf=vrf_of(RD)))

    # None of them is withdrawn by itself.
    assert left.client.withdraw_all(Mass(RD, ())) == []

    there.gone(STATIONS, peer=left.address)
    assert not list(channel.listed("ListVrf", api.ListVrfRequest()))
    channel.close()
