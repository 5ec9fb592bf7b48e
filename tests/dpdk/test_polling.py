# SPDX-License-Identifier: GPL-2.0-or-later
"""When an lcore sleeps, what wakes it, and who may not sleep at all."""

import pytest
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from hybrid_gateway.errors import NotSupportedError
from hybrid_gateway.model import Polling
from hybrid_gateway.worker_client import LcoreStatus, WorkerPort
from tests.dpdk.harness import Bench
from tests.dpdk.wires import Cable
from tests.lib.gateway import eventually
from tests.lib.packets import same

pytestmark = pytest.mark.dpdk

OURS = "198.51.100.1"
WALKS = 20_000
"""An lcore that never sleeps makes so many within milliseconds, one that sleeps in a minute."""


@pytest.fixture
def port(own_bench: Bench, request: pytest.FixtureRequest) -> Cable:
    made = own_bench.port("p0", f"{OURS}/24", polling=request.param)
    own_bench.settle()
    return made


@pytest.fixture
def blind(own_bench: Bench) -> str:
    """A tap for a port whose frames nothing announces."""
    own_bench.ip("tuntap add dev blind mode tap", "link set dev blind up")
    return "blind"


def lcore(bench: Bench) -> LcoreStatus:
    return bench.client.status().lcores[0]


def falls_asleep(bench: Bench) -> None:
    eventually(lambda: bench.client.status().ports["p0"].sleeping, "it sleeps")
    before = lcore(bench).sleeps
    eventually(lambda: lcore(bench).sleeps > before + 2, "again and again", 5.0)


def passes(bench: Bench, port: Cable) -> None:
    """Both ways, a frame at a time, so that each one finds the lcore asleep or nearly so."""
    body = b"of no protocol that would be answered"
    into = Ether(dst=port.mac, src=port.far_mac, type=0x88B5) / Raw(body)
    out = Ether(dst=port.far_mac, src=port.mac, type=0x88B5) / Raw(body)
    for _ in range(5):
        same(bench.send_and_expect(into, via=port.far, at=port.kernel), into)
        same(bench.send_and_expect(out, via=port.kernel, at=port.far), out)


@pytest.mark.parametrize("port", [Polling.ADAPTIVE, Polling.INTERRUPT], indirect=True)
def test_sleeps_and_wakes(own_bench: Bench, port: Cable) -> None:
    assert own_bench.client.status().ports["p0"].rx_interrupts
    falls_asleep(own_bench)

    passes(own_bench, port)

    falls_asleep(own_bench)


@pytest.mark.parametrize("port", [Polling.BUSY], indirect=True)
def test_busy_never_sleeps(own_bench: Bench, port: Cable) -> None:
    """Not even with another port that would."""
    own_bench.port("p1")
    before = lcore(own_bench)

    eventually(lambda: lcore(own_bench).walks > before.walks + WALKS, "it walks", 5.0)
    passes(own_bench, port)

    assert not own_bench.client.status().ports["p0"].sleeping
    assert lcore(own_bench).sleeps == before.sleeps
    own_bench.client.remove_port("p0")
    eventually(lambda: lcore(own_bench).sleeps > before.sleeps, "now it may", 5.0)


@pytest.mark.parametrize("port", [Polling.ADAPTIVE], indirect=True)
def test_short_sleeps_beside_a_port_without_interrupts(
    own_bench: Bench, port: Cable, blind: str
) -> None:
    own_bench.client.add_port(WorkerPort(blind, blind, "net_null0,no-rx=1"))
    assert not own_bench.client.status().ports[blind].rx_interrupts
    falls_asleep(own_bench)

    passes(own_bench, port)

    own_bench.client.remove_port(blind)
    passes(own_bench, port)


@pytest.mark.parametrize("port", [Polling.ADAPTIVE], indirect=True)
def test_interrupt_mode_needs_interrupts(own_bench: Bench, port: Cable, blind: str) -> None:
    with pytest.raises(NotSupportedError, match=r"port blind: .* no receive interrupts"):
        own_bench.client.add_port(WorkerPort(blind, blind, "net_null0", Polling.INTERRUPT))

    assert set(own_bench.client.status().ports) == {"p0"}
    passes(own_bench, port)
    # And nothing of it stayed.
    own_bench.client.add_port(WorkerPort(blind, blind, "net_null0,no-rx=1"))


def test_without_ports_there_is_nothing_to_do(own_bench: Bench) -> None:
    before = lcore(own_bench)

    eventually(lambda: lcore(own_bench).sleeps > before.sleeps + 3, "long sleeps", 10.0)

    after = lcore(own_bench)
    assert after.walks - before.walks < 100
