# SPDX-License-Identifier: GPL-2.0-or-later
"""Marks the tests of this folder; most of their fixtures are in fixtures.py, for others use them
too. Those of the TC programs between real devices are here."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from .tunnelling import Tunnelling, attached, between
from .underlay import Underlay


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.bpf)


@pytest.fixture(scope="module")
def underlay() -> Iterator[Underlay]:
    with attached() as found:
        yield found


@pytest.fixture(params=[4, 6])
def tunnelling(underlay: Underlay, request: pytest.FixtureRequest) -> Iterator[Tunnelling]:
    with between(underlay, request.param) as found:
        yield found
