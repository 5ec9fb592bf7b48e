# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel's notation for sets of ports."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid_gateway import portset
from hybrid_gateway.model import PortRange

PORTS = st.frozensets(st.integers(0, 65535), max_size=40)


@settings(deadline=None)
@given(PORTS)
def test_text_and_back(ports: frozenset[int]) -> None:
    assert portset.parse(portset.text(ports)) == ports


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "20000-49999"),
        ("8080", "8080,20000-49999"),
        ("19999", "19999-49999"),
        ("20000-60000", "20000-60000"),
        ("1,2,3\n", "1-3,20000-49999"),
    ],
)
def test_union(before: str, after: str) -> None:
    assert portset.union(before, PortRange(20000, 49999)) == after


@settings(deadline=None)
@given(PORTS, PORTS)
def test_what_others_added_stays(original: frozenset[int], added: frozenset[int]) -> None:
    ours = portset.union(portset.text(original), PortRange(20000, 49999))
    now = portset.text(portset.parse(ours) | added)
    left = portset.parse(portset.without(now, ours, portset.text(original)))
    outside_of_ours = added - frozenset(range(20000, 50000))
    assert left == original | outside_of_ours
