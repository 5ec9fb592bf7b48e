# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests with other people's daemons have in common."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hybrid_gateway.lab.sites import Family, Kind
from tests.interop.peers import Peers, joined

CASES = {
    "xdp-frr-8.4-ipv4": (Kind.XDP, Family.IPV4),
    "worker-frr-10.7-ipv6": (Kind.WORKER, Family.IPV6),
}
"""Whose site is the first one; the fourth is of the other kind."""


@pytest.fixture(scope="session", params=list(CASES.values()), ids=list(CASES))
def standing_peers(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Peers]:
    """Each is built when it is wanted first, and stands until the other one is wanted."""
    kind, family = request.param
    name = f"i{family.value}p{os.getpid()}"
    with joined(name, tmp_path_factory.mktemp("peers"), kind, family) as peers:
        yield peers


@pytest.fixture
def peers(standing_peers: Peers) -> Iterator[Peers]:
    """Sites of ours, FRR, and plain gobgpd, which know all of each other."""
    standing_peers.converge()
    with standing_peers.three.watched():
        yield standing_peers


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.forward)
