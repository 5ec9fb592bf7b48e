# SPDX-License-Identifier: GPL-2.0-or-later
"""Two gobgpds that talk to each other, for all tests of a file."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from .bgp import Following, Pair, Speaker, Watch, neighbor, together, wired


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """A session between two; of the left one the right one says that it is a neighbour with
    `pmsi-compat`."""
    directory = tmp_path_factory.mktemp("bgp")
    left, right = Speaker("left", 1, directory), Speaker("right", 2, directory)
    with ExitStack() as stack:
        wired(left, right, stack)
        assert left.client.configure(left.section(neighbor(right, password="secret")))
        section = right.section(neighbor(left, password="secret", pmsi_compat=True, passive=True))
        assert right.client.configure(section)
        together(left, right)
        yield left, right


@pytest.fixture
def watch() -> Iterator[Following]:
    """Follows a speaker until the test ends."""
    with ExitStack() as stack:

        def follow(speaker: Speaker) -> Watch:
            one = Watch(speaker)
            stack.callback(one.close)
            return one

        yield follow
