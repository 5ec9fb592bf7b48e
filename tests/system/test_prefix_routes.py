# SPDX-License-Identifier: GPL-2.0-or-later
"""Prefixes that a routing table of the kernel's has, of whichever protocol."""

from collections.abc import Iterator
from ipaddress import ip_network

import pytest

from hybrid_gateway.lab import namespaces
from hybrid_gateway.prefix_routes import PrefixRoutes

TEN, NARROW = ip_network("10.0.0.0/8"), ip_network("10.0.0.0/24")
SIX, DEFAULT = ip_network("2001:db8:110::/48"), ip_network("0.0.0.0/0")
ALL = (TEN, NARROW, SIX, DEFAULT)
MAIN, OTHER = 254, 1001


@pytest.fixture
def routes(site: str) -> Iterator[PrefixRoutes]:
    namespaces.ip_batch(
        site,
        [
            "route add 10.0.0.0/8 via 203.0.113.1",
            "route add 10.0.0.0/24 via 203.0.113.1 proto 179",
            f"route add 2001:db8:110::/48 dev br0 table {OTHER}",
            f"route add default via 203.0.113.1 table {OTHER}",
        ],
    )
    found = PrefixRoutes()
    yield found
    found.close()


def test_of_its_table_alone(routes: PrefixRoutes) -> None:
    assert routes.present(MAIN, ALL) == {TEN, NARROW, DEFAULT}
    assert routes.present(OTHER, ALL) == {SIX, DEFAULT}
    assert routes.present(MAIN, (ip_network("10.0.0.0/16"),)) == set()


def test_but_for_one_protocol(routes: PrefixRoutes) -> None:
    assert routes.present(MAIN, ALL, 179) == {TEN, DEFAULT}


def test_a_table_that_is_none(routes: PrefixRoutes) -> None:
    assert routes.present(4711, ALL) == set()
