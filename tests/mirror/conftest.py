# SPDX-License-Identifier: GPL-2.0-or-later
"""A bridge with two ports, a VXLAN device over IPv4 and another bridge with one over IPv6."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from hybrid_gateway.lab import namespaces
from tests.mirror.maps import Maps
from tests.mirror.site import Site


@pytest.fixture
def site() -> Iterator[Site]:
    """The test runs inside its namespace."""
    with ExitStack() as stack:
        built = Site(stack)
        stack.enter_context(namespaces.entered(built.name))
        yield built


@pytest.fixture
def maps() -> Iterator[Maps]:
    opened = Maps()
    yield opened
    opened.close()
