# SPDX-License-Identifier: GPL-2.0-or-later
"""Prefixes, and what there is to see of everything."""

from dataclasses import replace
from ipaddress import ip_address, ip_network

from hybrid_gateway.evpn.entries import PrefixEntry, Router
from hybrid_gateway.evpn.keys import route_key
from hybrid_gateway.evpn.snapshot import macs, prefixes, vnis, vteps
from hybrid_gateway.evpn.view import MacState
from hybrid_gateway.evpn.wanted import EvpnTable
from hybrid_gateway.model import (
    MacRoute,
)

from .evpn_site import (
    BRIDGE_MAC,
    PORT,
    VNI,
    Gateway,
    flood_route,
    mac,
    mac_route,
    prefix_route,
    vtep,
)

L3VNI = 900


def routing(*present: str, table: int = 254) -> Gateway:
    own = EvpnTable(L3VNI, table, tuple(ip_network(prefix) for prefix in present))
    return Gateway(1, L3VNI, tables=[own]).start()


def test_prefixes_of_the_table_are_announced() -> None:
    gateway = routing("10.1.0.0/16", "2001:db8:1::/48")
    ours = {
        route_key(prefix_route(1, prefix)): prefix_route(1, prefix)
        for prefix in ("10.1.0.0/16", "2001:db8:1::/48")
    }
    assert gateway.announced.items() >= ours.items()

    gateway.follow(replace(gateway.wanted, tables=(EvpnTable(L3VNI),)))
    assert not gateway.announced.items() & ours.items()


def test_prefixes_of_others_are_in_the_table() -> None:
    gateway = routing("10.1.0.0/16", table=77)
    router = BRIDGE_MAC[:-1]
    others = (Router(vtep(3), router + b"\3"),)
    gateway.hear_routes(
        prefix_route(3, "10.2.0.0/16"),
        prefix_route(2, "10.2.0.0/16"),
        prefix_route(2, "10.1.0.0/16"),
        prefix_route(2, "0.0.0.0/0"),
    )

    assert gateway.prefixes() == {
        PrefixEntry(ip_network("10.2.0.0/16"), L3VNI, vtep(2), router + b"\2", 77, others),
        PrefixEntry(ip_network("0.0.0.0/0"), L3VNI, vtep(2), router + b"\2", 77),
    }, "by both of them; and what the owner has there stays"

    gateway.hear_routes(prefix_route(2, "10.2.0.0/16"), withdrawn=True)
    gateway.follow(replace(gateway.wanted, tables=(EvpnTable(L3VNI, 78),)))

    assert gateway.prefixes() == {
        PrefixEntry(ip_network("10.2.0.0/16"), L3VNI, vtep(3), router + b"\3", 78),
        PrefixEntry(ip_network("10.1.0.0/16"), L3VNI, vtep(2), router + b"\2", 78),
        PrefixEntry(ip_network("0.0.0.0/0"), L3VNI, vtep(2), router + b"\2", 78),
    }


# ---- views -----------------------------------------------------------------------------


def test_views_have_what_is_known() -> None:
    gateway = Gateway(1, VNI, L3VNI, tables=[EvpnTable(L3VNI)]).start()
    gateway.learn(1, static=True)
    gateway.bind("10.0.0.5", 1)
    gateway.hear_routes(
        flood_route(2),
        mac_route(2, 2, sequence=3, address="10.0.0.6"),
        mac_route(3, 3, sticky=True),
        prefix_route(2, "10.2.0.0/16"),
    )
    gateway.now += 8

    assert [
        (v.vni, v.device, v.vteps, v.local_macs, v.remote_macs, v.routing)
        for v in vnis(gateway.mind)
    ] == [(VNI, "vni550", 1, 1, 2, False), (L3VNI, "vni900", 0, 0, 0, True)]
    assert [(v.vni, v.address, v.flood, v.macs) for v in vteps(gateway.mind)] == [
        (VNI, vtep(2), True, 1),
        (VNI, vtep(3), False, 1),
    ]
    first, second, third = macs(gateway.mind, gateway.now)
    assert (first.mac, first.state, first.port, first.sticky) == (
        mac(1),
        MacState.LOCAL,
        PORT,
        True,
    )
    assert first.addresses == (ip_address("10.0.0.5"),)
    assert (second.vtep, second.sequence, second.age) == (vtep(2), 3, 8.0)
    assert second.addresses == (ip_address("10.0.0.6"),)
    assert (third.state, third.sticky, third.sequence) == (MacState.REMOTE, True, 0)
    assert [(view.prefix, view.vtep) for view in prefixes(gateway.mind)] == [
        (ip_network("10.2.0.0/16"), vtep(2))
    ]


def test_a_duplicate_is_seen() -> None:
    gateway = Gateway(1).start()
    for turn in range(3):
        gateway.hear_routes(mac_route(2, 1, sequence=2 * turn + 5))
        gateway.learn(1)

    (seen,) = macs(gateway.mind, gateway.now + 40)

    assert (seen.state, seen.moves, seen.release) == (MacState.DUPLICATE, 5, 500.0)
    assert vnis(gateway.mind)[0].duplicates == 1
    assert isinstance(seen.mac, bytes)
    assert not any(isinstance(route, MacRoute) for route in gateway.announced.values())
