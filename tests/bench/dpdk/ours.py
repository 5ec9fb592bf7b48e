# SPDX-License-Identifier: GPL-2.0-or-later
"""The worker as a contender: routes and stations are the kernel's, and come by its mirror."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import ExitStack

from hybrid_gateway.worker_client import WorkerOptions
from tests.bench.dpdk import tables
from tests.bench.dpdk.frames import PCAP_MAC
from tests.bench.dpdk.replay import Forwarder, Replay
from tests.bench.dpdk.tables import LINKS, NEXT_HOPS, Table
from tests.bench.dpdk.worker import Worker, await_routes, make_netns, make_tap, remove_netns, unique
from tests.bench.generator import CPU
from tests.bench.path import run
from tests.bench.report import progress

IN, OUT = "gwin0", "gwout0"
BUFFERS_BESIDE = 8192
"""More than the replayed frames: on their way, and in caches."""
ROUTES_BESIDE = 64
"""That the kernel has for its own addresses."""
SMALL = 10_000
BATCH_SECONDS = 120.0


class OurWorker(Forwarder):
    """Two ports: one that replays, and one that takes everything and frees it."""

    def __init__(self, label: str, replay: Replay, options: WorkerOptions) -> None:
        super().__init__(label, replay)
        self._options = options

    def start(self, stack: ExitStack) -> None:
        self.netns = unique("replay")
        stack.callback(remove_netns, self.netns)
        make_netns(self.netns)
        make_tap(self.netns, IN, PCAP_MAC)
        make_tap(self.netns, OUT)
        self.worker = stack.enter_context(Worker(self.netns, self._options))
        self.pid = self.worker.pid
        self.worker.add_port(OUT, "net_null0,no-rx=1")
        self.furnish()
        self.worker.add_port(IN, f"net_pcap0,rx_pcap={self.replay.pcap},infinite_rx=1")
        self.settle()
        self._before = self._others()

    def settle(self) -> None:
        """Until what is replayed goes where it should."""
        self.worker.client.wait_for_mirror()

    @abstractmethod
    def furnish(self) -> None:
        """Tables, before anything is replayed."""

    def complaints(self) -> Iterator[str]:
        before, self._before = self._before, self._others()
        for name, count in self._before.items():
            if more := count - before.get(name, 0):
                yield f"{name} {more}"

    def memory(self) -> str:
        """Of a worker that runs; in words."""
        with self.running():
            memory = self.worker.client.status().memory
        assert memory
        taken = (memory.heap_bytes - memory.heap_free_bytes) / (1 << 20)
        got, minimum = memory.hugepages_bytes / (1 << 20), memory.minimum_bytes / (1 << 20)
        return f"the worker uses {taken:.0f} of {got:.0f} MB of hugepages, needs {minimum:.0f}"

    def _others(self) -> Mapping[str, int]:
        """What was not forwarded, by reason."""
        counters = self.worker.counters(IN)
        return {n: count for n, count in counters.items() if n.startswith(("DROP_", "PUNT_"))}


class OurRouter(OurWorker):
    def __init__(self, label: str, replay: Replay, table: Table, options: WorkerOptions) -> None:
        super().__init__(label, replay, options)
        self._table = table

    def furnish(self) -> None:
        progress(f"{self.replay.name}: {len(self._table.routes)} routes for the worker")
        load(self.netns, self._table, OUT)
        await_routes(self.worker.client, self._table.family, len(self._table.routes))

    def forwarded(self) -> int:
        return self.worker.counters(IN)[f"FORWARD_IP{self._table.family}"]


def options_for(table: Table, frames: int, memory_mb: int, groups: int = 0) -> WorkerOptions:
    """Room for the table, if it is larger than the default is, and for the replayed frames;
    `groups` of rte_fib6's last levels."""
    large = len(table.routes) > SMALL
    routes = len(table.routes) + NEXT_HOPS + ROUTES_BESIDE if large else 0
    return WorkerOptions(
        cores=(CPU,),
        memory_mb=memory_mb,
        mbufs=frames + BUFFERS_BESIDE,
        routes4=routes if table.family == 4 else 0,
        routes6=routes if table.family == 6 else 0,
        tbl8_6=groups,
        no_pci=True,
    )


def load(netns: str, table: Table, device: str) -> None:
    """An address, permanent neighbours and all routes, as `ip -batch` gives them to the kernel."""
    run(["ip", "-n", netns, "-batch", "-"], BATCH_SECONDS, "\n".join(links(table, device)))
    run(["ip", "-n", netns, "-batch", "-"], BATCH_SECONDS, "\n".join(routes(table, device)))


def routes(table: Table, device: str) -> Iterator[str]:
    hops = [tables.gateway(table.family, number) for number in range(NEXT_HOPS)]
    for route in table.routes:
        yield f"route add {table.text(route)} via {hops[route.next_hop]} dev {device}"


def links(table: Table, device: str) -> Iterator[str]:
    link = LINKS[table.family]
    nodad = " nodad" if table.family == 6 else ""
    yield f"address add {link[1]}/{link.prefixlen} dev {device}{nodad}"
    for number in range(NEXT_HOPS):
        hop, mac = tables.gateway(table.family, number), tables.gateway_mac(number)
        yield f"neighbour add {hop} lladdr {mac} dev {device} nud permanent"
