# SPDX-License-Identifier: GPL-2.0-or-later
"""The instrument itself: what it sends arrives, and its sink sees what is wrong with a frame."""

from collections.abc import Iterator

import pytest

from tests.bench.contenders import BareRedirect, HybridGateway, Nftables, Setup
from tests.bench.generator import Exchange, Flows, Generator, Redirect, Traffic
from tests.bench.path import MeasuredPath

pytestmark = pytest.mark.forward

FRAMES = 5000
FLOWS = Flows(endpoints=100, ports_per_host=10, destinations=7, destination_step=100)
TRAFFIC = Traffic(FRAMES, FLOWS)
CONNECTIONS = FLOWS.endpoints * FLOWS.destinations
TCP = Setup(protocol="tcp", hosts=10)


@pytest.fixture
def path() -> Iterator[MeasuredPath]:
    with MeasuredPath("test") as path:
        yield path


def test_every_frame_arrives_with_right_checksums(path: MeasuredPath) -> None:
    with Redirect(path), Generator(path, verify=True) as generator:
        result = generator.send(TRAFFIC)

    assert (result.received, result.bad_checksum) == (FRAMES, 0)
    assert result.ns > 0


def test_sink_sees_that_nobody_translates(path: MeasuredPath) -> None:
    with Redirect(path), Generator(path) as generator:
        result = generator.send(TRAFFIC)

    assert result.untranslated == FRAMES


def test_nothing_arrives_without_a_middle(path: MeasuredPath) -> None:
    path.sysctl("net.ipv4.ip_forward", 0)
    with Generator(path) as generator:
        result = generator.send(Traffic(64, FLOWS))

    assert (result.received, result.ns) == (0, 0)


def test_flows_are_as_many_as_asked_for() -> None:
    with Nftables("test", verify=True) as nftables:
        before = nftables.evidence()
        result = nftables.generator.send(TRAFFIC)
        found = nftables.evidence().since(before)

    assert found.opened == FLOWS.endpoints * FLOWS.destinations
    assert (result.received, result.untranslated, result.bad_checksum) == (FRAMES, 0, 0)


@pytest.mark.parametrize("exchange", [Exchange.HANDSHAKE, Exchange.TEARDOWN])
def test_every_exchange_ends_with_right_checksums(exchange: Exchange) -> None:
    with BareRedirect("test", TCP, verify=True) as redirect:
        result = redirect.generator.send(Traffic(FRAMES, FLOWS, exchange))

    assert (result.received, result.bad_checksum, result.others) == (FRAMES, 0, 0)


@pytest.mark.parametrize("contender", [Nftables, HybridGateway])
def test_connections_open_and_close(contender: type[Nftables | HybridGateway]) -> None:
    with contender("test", TCP, verify=True) as middle:
        before = middle.evidence()
        middle.generator.send(Traffic(CONNECTIONS, FLOWS, Exchange.HANDSHAKE))
        opened, closing = middle.evidence().since(before).opened, middle.closing()
        result = middle.generator.send(Traffic(CONNECTIONS, FLOWS, Exchange.TEARDOWN))

        assert (opened, closing, middle.closing()) == (CONNECTIONS, 0, CONNECTIONS)
    assert (result.received, result.untranslated, result.bad_checksum) == (CONNECTIONS, 0, 0)


def test_two_cores_send_to_destinations_of_their_own() -> None:
    with Nftables("test", Setup(cores=2)) as nftables:
        before = nftables.evidence()
        result = nftables.generator.send(Traffic(CONNECTIONS, FLOWS, cores=2))
        opened = nftables.evidence().since(before).opened

    assert (result.received, opened) == (2 * CONNECTIONS, 2 * CONNECTIONS)


def test_a_scan_looks_at_every_session() -> None:
    with HybridGateway("test") as gateway:
        gateway.generator.send(Traffic(CONNECTIONS, FLOWS))
        nothing, everything = gateway.maps().scan(), gateway.maps().scan(end_all=True)

    assert (nothing.looked, nothing.removed) == (CONNECTIONS, 0)
    assert everything.removed == CONNECTIONS
    assert nothing.longest_ns <= nothing.ns
