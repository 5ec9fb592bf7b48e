# SPDX-License-Identifier: GPL-2.0-or-later
"""A bridge with two ports, a VXLAN device over IPv4 and another bridge with one over IPv6."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from hybrid_gateway.bpf.stations import FdbMirror
from hybrid_gateway.lab import namespaces
from tests.mirror.maps import Maps
from tests.mirror.site import Site, Wires


@pytest.fixture(scope="session")
def wires() -> Iterator[Wires]:
    with ExitStack() as stack:
        yield Wires(stack)


@pytest.fixture
def site(wires: Wires) -> Iterator[Site]:
    """The test runs inside its namespace."""
    with ExitStack() as stack:
        built = Site(wires, stack)
        stack.enter_context(namespaces.entered(built.name))
        yield built


@pytest.fixture
def maps() -> Iterator[Maps]:
    opened = Maps()
    yield opened
    opened.close()


@pytest.fixture
def mirror(site: Site, maps: Maps) -> Iterator[FdbMirror]:  # noqa: ARG001 - it is made inside
    """Over the maps, not configured yet."""
    opened = maps.mirror()
    yield opened
    opened.close()
