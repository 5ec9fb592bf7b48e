# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether a route is to any VTEP."""

import socket
from ipaddress import ip_address, ip_network

import pytest

from hybrid_gateway.events import RouteEvent
from hybrid_gateway.model import VtepRoute
from hybrid_gateway.vtep_routes import VtepIndex

INDEX = VtepIndex(
    VtepRoute(ip_address(one))
    for one in ("198.51.100.1", "198.51.100.129", "192.0.2.7", "2001:db8:2::1")
)


@pytest.mark.parametrize(
    ("network", "concerned"),
    [
        ("0.0.0.0/0", True),
        ("198.51.100.0/24", True),
        ("198.51.100.1/32", True),
        ("198.51.100.128/25", True),
        ("198.51.100.2/32", False),
        ("198.51.100.64/26", False),
        ("203.0.113.0/24", False),
        ("10.0.0.0/8", False),
        ("::/0", True),
        ("2001:db8:2::/48", True),
        ("2001:db8:3::/48", False),
    ],
)
def test_a_route_concerns_those_it_covers(network: str, concerned: bool) -> None:
    to = ip_network(network)
    family = socket.AF_INET if to.version == 4 else socket.AF_INET6
    route = RouteEvent(frozenset(), None, to.prefixlen, family, int(to.network_address))
    assert INDEX.concerned_by(route) == concerned


def test_without_vteps_no_route_concerns() -> None:
    everything = RouteEvent(frozenset(), None, 0, socket.AF_INET, 0)
    assert not VtepIndex(()).concerned_by(everything)
