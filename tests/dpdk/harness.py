# SPDX-License-Identifier: GPL-2.0-or-later
"""A real gw-worker in a namespace of its own, with cables that the test holds the other ends of.

    with Bench.running("fwd") as bench:
        p0 = bench.port("p0", "198.51.100.1/24")
        p1 = bench.port("p1", "203.0.113.1/24")
        bench.neighbour(p1, "203.0.113.9")
        bench.settle()
        counting = bench.counting()
        received = bench.send_and_expect(frame, via=p0.far, at=p1.far)
        same(received, wanted)
        counting.expect(FORWARD_IP4=1)

`via` and `at` are ends: `port.far` is the other end of the cable, `port.kernel` the kernel's side
of the TAP. What concerns the kernel is said with `bench.ip(...)`, as an owner would, and
`bench.settle()` waits until the worker knows it. All is gone when the block ends.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scapy.packet import Packet

from hybrid_gateway.errors import WorkerError
from hybrid_gateway.instance import Instance
from hybrid_gateway.lab import namespaces
from hybrid_gateway.lab.daemon import Daemon
from hybrid_gateway.lab.places import program
from hybrid_gateway.model import Polling
from hybrid_gateway.worker_client import PortStatus, WorkerClient, WorkerOptions, WorkerPort
from tests.dpdk.wires import ARRIVES_SECONDS, Cable, End, plug
from tests.lib.gateway import Counting, eventually

NOISE = frozenset({"FROM_KERNEL", "PUNT_MULTICAST"})
"""What kernels say by themselves, at any time."""
PATIENCE_SECONDS = 20.0
"""For any answer of the worker, beyond what it may take."""

# Small tables in plain memory: 32 MB for each FIB's first level, the rest is little.
SMALL = WorkerOptions(
    cores=(max(os.sched_getaffinity(0)),),
    memory_mb=160,
    routes4=4096,
    routes6=4096,
    neighbours=1024,
    stations=1024,
    no_huge=True,
    no_pci=True,
)

# A router without opinions of its own: what it sends is what a test made it send.
SYSCTLS = {
    "net/ipv4/ip_forward": "1",
    "net/ipv4/conf/all/rp_filter": "0",
    "net/ipv4/conf/default/rp_filter": "0",
    "net/ipv6/conf/all/forwarding": "1",
    "net/ipv6/conf/default/accept_dad": "0",
    "net/ipv6/conf/default/accept_ra": "0",
    "net/ipv6/conf/default/addr_gen_mode": "1",
    "net/ipv6/conf/default/router_solicitations": "0",
}


@dataclass
class Place:
    """Where the worker runs, as lab.daemon wants to know it."""

    name: str
    directory: Path

    def argv(self, host: str, argv: Sequence[str]) -> list[str]:
        return namespaces.inside(f"{self.name}-{host}", argv)


class BenchWorker(Daemon):
    """gw-worker of the bench's instance; `start` waits until it listens."""

    name = "gw-worker"

    def argv(self) -> Sequence[str]:
        return [str(program("gw-worker")), "--instance", self._lab.name]

    def wait(self, seconds: float = 10.0) -> int:
        """The exit code of one that ends by itself."""
        assert self._process
        return self._process.wait(seconds)

    def end(self) -> None:
        """SIGTERM, if it runs; AssertionError with its log when that is not in order."""
        if self.running:
            code = self.stop()
            assert code == 0, f"gw-worker ended with {code}; the end of its log:\n{self.log_end()}"


class PatientClient(WorkerClient):
    """Waits for answers as long as it takes on a machine that has more to do than CPUs.

    With ten runnable threads a CPU, a call whose threads take turns a dozen times takes seconds.
    """

    def _call(self, method: str, timeout: float = 0.0, **params: Any) -> Any:
        return super()._call(method, timeout + PATIENCE_SECONDS, **params)


@dataclass
class Bench:
    """See above. Only `running` makes one."""

    name: str
    """Of the instance, and the beginning of its namespaces' names."""
    worker: BenchWorker
    client: WorkerClient
    stack: ExitStack
    """Closed with the bench."""
    options: WorkerOptions
    ports: dict[str, Cable] = field(default_factory=dict)

    @classmethod
    @contextmanager
    def running(
        cls, name: str, options: WorkerOptions = SMALL, *, started: bool = True
    ) -> Iterator["Bench"]:
        """With a worker whose EAL runs (unless told otherwise), and no ports yet.

        `name` is made unique; 8 letters at most, for it becomes part of others.
        """
        with ExitStack() as stack:
            own = f"{name}{os.getpid()}"
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=own)))
            for namespace in (f"{own}-gw", f"{own}-far"):
                stack.callback(namespaces.delete, namespace)
                namespaces.add(namespace)
                namespaces.ip_batch(namespace, ["link set lo up"])
            for key, value in SYSCTLS.items():
                namespaces.write_sysctl(f"{own}-gw", key, value)
            # A worker that was killed leaves its lock and its socket.
            stack.callback(shutil.rmtree, Instance(own).run_dir, ignore_errors=True)
            worker = BenchWorker(Place(own, directory))
            stack.callback(worker.end)
            client = stack.enter_context(PatientClient(Instance(own).worker_socket))
            bench = cls(own, worker, client, stack, options)
            worker.start()
            if started:
                bench.client.start(options)
            yield bench

    @property
    def instance(self) -> Instance:
        return Instance(self.name)

    @property
    def gw(self) -> str:
        """The namespace of the worker and the TAPs."""
        return f"{self.name}-gw"

    @property
    def far(self) -> str:
        """The namespace of the cables' other ends, where the kernel has no addresses."""
        return f"{self.name}-far"

    def cable(self, name: str, *addresses: str, mtu: int = 1500) -> Cable:
        """TAP, wire and far end for a port that the worker does not have yet."""
        made = plug(self.gw, self.far, name, len(self.ports) + 1, self.stack, mtu=mtu)
        self.ports[name] = made
        for address in addresses:
            self.ip(f"address add {address} dev {name}{' nodad' if ':' in address else ''}")
        return made

    def port(
        self, name: str, *addresses: str, mtu: int = 1500, polling: Polling = Polling.ADAPTIVE
    ) -> Cable:
        """A port that works: cable and TAP made, added to the worker, carrier on."""
        made = self.cable(name, *addresses, mtu=mtu)
        self.add(made, polling)
        return made

    def add(self, cable: Cable, polling: Polling = Polling.ADAPTIVE) -> PortStatus:
        """Gives the worker the port and waits for its link; also once more, after a restart."""
        self.client.add_port(WorkerPort(cable.name, cable.name, cable.device, polling))
        eventually(lambda: self._up(cable.name), f"{cable.name} is up", 5.0)
        return self.client.status().ports[cable.name]

    def _up(self, name: str) -> bool:
        status = self.client.status().ports[name]
        return status.link_up and status.admin_up

    def again(self) -> None:
        """A new worker in the place of one that ended, with the same options and ports."""
        self.client.close()
        self.worker.start()
        self.client.start(self.options)
        for cable in self.ports.values():
            self.add(cable)

    def ip(self, *lines: str) -> None:
        """Commands of ip(8) in the gateway's namespace, without its name in front."""
        if lines:
            namespaces.ip_batch(self.gw, lines)

    def run(self, *argv: str) -> str:
        """A program in the gateway's namespace; what it printed."""
        return namespaces.run(namespaces.inside(self.gw, argv))

    def neighbour(self, port: Cable, *addresses: str) -> None:
        """These are at the other end of the cable, permanently."""
        self.ip(*(f"neigh replace {a} lladdr {port.far_mac} dev {port.name}" for a in addresses))

    def settle(self, seconds: float = 5.0) -> None:
        """Until the worker's tables have all that the kernel's had before."""
        self.client.wait_for_mirror(seconds)

    def counters(self, *ports: str) -> dict[str, int]:
        """Summed over these ports that frames came in by, or over all."""
        total: dict[str, int] = {}
        for name, counters in self.client.counters().ports.items():
            for counter, value in counters.items():
                if not ports or name in ports:
                    total[counter] = total.get(counter, 0) + value
        return total

    def counting(self, *ports: str, noise: frozenset[str] = NOISE) -> Counting:
        """How they move from now on: `.expect(FORWARD_IP4=1)` waits for exactly that."""
        return Counting(lambda: self.counters(*ports), noise)

    def send_and_expect(self, frame: Packet | bytes, *, via: End, at: End) -> Packet:
        """Sends one frame, and returns the next that arrives there (but for chatter)."""
        return self.burst([frame], via=via, at=at)[0]

    def burst(
        self,
        frames: Sequence[Packet | bytes],
        *,
        via: End,
        at: End,
        count: int | None = None,
        seconds: float = ARRIVES_SECONDS,
    ) -> list[Packet]:
        """Sends them and returns as many (or `count`) that arrive, in the order of arrival."""
        at.forget()
        via.send(frames)
        return at.expect(len(frames) if count is None else count, seconds)

    def absent(self) -> bool:
        """Whether nobody answers on the worker's socket."""
        try:
            self.client.status()
        except WorkerError as error:
            return error.code == "worker.absent"
        return False
