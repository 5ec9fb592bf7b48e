# SPDX-License-Identifier: GPL-2.0-or-later
"""EVPN routes as gobgpd is told them. `received.py` is the other direction."""

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address

from gw_gobgp import gobgp_pb2 as api

from ..errors import EvpnError
from ..model import EvpnRoute, FloodRoute, MacRoute, PrefixRoute
from . import attributes

FAMILY = api.Family(afi=attributes.AFI_L2VPN, safi=attributes.SAFI_EVPN)

PLAIN_FLOOD = 0xFFFE_0015
COMPAT_FLOOD = 0xFFFE_0009
"""Communities by which gobgpd's export policy tells apart the two forms of a type-3 route with an
IPv6 next hop; they do not leave it. In each neighbour's view there is one of the two routes."""


def encoded(route: EvpnRoute, router_id: IPv4Address, *, withdrawn: bool = False) -> list[api.Path]:
    """One path; two for a type-3 route with an IPv6 next hop: neighbours with `pmsi-compat` want
    IPv4 addresses as originator and as tunnel, which makes it another route (RFC 7432 section 7.3).

    Raises EvpnError for what EVPN or gobgpd cannot say.
    """
    return list(_paths(route, router_id, withdrawn))


def _paths(route: EvpnRoute, router_id: IPv4Address, withdrawn: bool) -> Iterator[api.Path]:
    if isinstance(route, MacRoute):
        if withdrawn:
            # gobgpd judges sequence numbers even then.
            route = replace(route, sequence=0, sticky=False, router=False)
        if route.router:
            raise EvpnError("gobgpd cannot say that a neighbour is a router")
        if route.esi:
            raise EvpnError("only single-homed stations are announced")
        yield _path(attributes.mac_nlri(route), route, withdrawn)
    elif isinstance(route, PrefixRoute):
        yield _path(attributes.prefix_nlri(route), route, withdrawn)
    elif route.next_hop.version == 4:
        yield _flood(route, withdrawn)
    else:
        yield _flood(route, withdrawn, attributes.communities(PLAIN_FLOOD))
        compat = replace(route, originator=router_id)
        yield _flood(compat, withdrawn, attributes.communities(COMPAT_FLOOD))


def _flood(route: FloodRoute, withdrawn: bool, *more: bytes) -> api.Path:
    tunnel = route.originator if COMPAT_FLOOD_TAG in more else route.next_hop
    return _path(
        attributes.flood_nlri(route), route, withdrawn, attributes.pmsi(route.vni, tunnel), *more
    )


COMPAT_FLOOD_TAG = attributes.communities(COMPAT_FLOOD)


def _path(nlri: bytes, route: EvpnRoute, withdrawn: bool, *more: bytes) -> api.Path:
    return api.Path(
        family=FAMILY,
        nlri_binary=nlri,
        pattrs_binary=(
            attributes.ORIGIN_IGP,
            attributes.reach(route.next_hop, nlri),
            attributes.extended(route),
            *more,
        ),
        is_withdraw=withdrawn,
    )
