# SPDX-License-Identifier: GPL-2.0-or-later
"""The instrument itself: what it sends arrives, and its sink sees what is wrong with a frame."""

from collections.abc import Iterator

import pytest

from tests.bench.contenders import Nftables
from tests.bench.generator import Flows, Generator, Redirect
from tests.bench.path import MeasuredPath

pytestmark = pytest.mark.forward

FRAMES = 5000
FLOWS = Flows(endpoints=100, ports_per_host=10, destinations=7, destination_step=100)


@pytest.fixture
def path() -> Iterator[MeasuredPath]:
    with MeasuredPath("test") as path:
        yield path


def test_every_frame_arrives_with_right_checksums(path: MeasuredPath) -> None:
    with Redirect(path), Generator(path, verify=True) as generator:
        result = generator.send(FRAMES, FLOWS)

    assert (result.received, result.bad_checksum) == (FRAMES, 0)
    assert result.ns > 0


def test_sink_sees_that_nobody_translates(path: MeasuredPath) -> None:
    with Redirect(path), Generator(path) as generator:
        result = generator.send(FRAMES, FLOWS)

    assert result.untranslated == FRAMES


def test_nothing_arrives_without_a_middle(path: MeasuredPath) -> None:
    path.sysctl("net.ipv4.ip_forward", 0)
    with Generator(path) as generator:
        result = generator.send(64, FLOWS)

    assert (result.received, result.ns) == (0, 0)


def test_flows_are_as_many_as_asked_for() -> None:
    with Nftables("test", verify=True) as nftables:
        before = nftables.evidence()
        result = nftables.generator.send(FRAMES, FLOWS)
        found = nftables.evidence().since(before)

    assert found.opened == FLOWS.endpoints * FLOWS.destinations
    assert (result.received, result.untranslated, result.bad_checksum) == (FRAMES, 0, 0)
