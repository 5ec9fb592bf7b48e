# SPDX-License-Identifier: GPL-2.0-or-later
"""What stands in the middle of a path, each with the evidence that it did what was measured."""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from typing import Protocol, Self

from tests.bench.dataplane import BareDataPlane
from tests.bench.gateway import Gateway, nat44
from tests.bench.generator import Generator, Redirect, Result, Traffic
from tests.bench.instance import InstanceMaps
from tests.bench.path import SESSIONS, MeasuredPath, run

CONNTRACK_MAX = "net.netfilter.nf_conntrack_max"
CONNTRACK_BUCKETS = "net.netfilter.nf_conntrack_buckets"
CONNTRACK_LIMITS = (CONNTRACK_MAX, CONNTRACK_BUCKETS)
BUCKETS_PER_CONNECTION = 4
"""Opened 558 k/s so, 480 k/s with the kernel's default of one; hits cost the same."""
MASQUERADE = """
table ip nat {
    chain postrouting {
        type nat hook postrouting priority srcnat
        oifname "wan0" counter masquerade
    }
}
"""


@dataclass(frozen=True)
class Setup:
    """What a path and its contenders are made for."""

    sessions: int = SESSIONS
    protocol: str = "udp"
    hosts: int = 0  # so many inside addresses get answers
    cores: int = 1


@dataclass(frozen=True)
class Evidence:
    """What the middle says that it did, since the beginning or between two times."""

    opened: int = 0  # sessions
    fast: int | None = None  # frames on the fast path, where that is told apart
    others: Mapping[str, int] = field(default_factory=dict)  # frames by what became of them

    def since(self, before: "Evidence") -> "Evidence":
        return Evidence(
            self.opened - before.opened,
            None if self.fast is None else self.fast - (before.fast or 0),
            {
                name: count
                for name, value in self.others.items()
                if (count := value - before.others.get(name, 0))
            },
        )


class Sends(Protocol):
    """What a contender's path is measured with."""

    def send(self, traffic: Traffic) -> Result: ...


class Contender(ABC):
    """A path, its generator, and something in between that forwards."""

    translates = True
    path: MeasuredPath
    generator: Sends

    def __init__(self, label: str, *, verify: bool = False) -> None:
        self.label = label
        self._verify = verify
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        try:
            self.prepare(self._stack)
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @abstractmethod
    def prepare(self, stack: ExitStack) -> None:
        """Makes the path, installs and makes the generator; `stack` takes all of it away again."""

    @abstractmethod
    def install(self, stack: ExitStack) -> None:
        """Puts the contender into the middle of the path; `stack` takes it away again."""

    @abstractmethod
    def forget(self) -> None:
        """Ends all sessions and mappings."""

    def evidence(self) -> Evidence:
        return Evidence()

    def complaints(self, sent: Traffic, result: Result, found: Evidence) -> Iterator[str]:
        """Why a run, that lost nothing, does not show what it is to show."""
        del sent, result, found
        yield from ()

    def closing(self) -> int:
        """How many TCP connections both ends have closed, as far as it remembers them."""
        return 0


class NatContender(Contender):
    """In the middle of a path on which NAT44 is measured."""

    def __init__(self, label: str, setup: Setup | None = None, *, verify: bool = False) -> None:
        super().__init__(label, verify=verify)
        self.setup = setup or Setup()

    def prepare(self, stack: ExitStack) -> None:
        setup = self.setup
        self.path = stack.enter_context(MeasuredPath(self.label, setup.cores))
        self.install(stack)
        self.generator = stack.enter_context(
            Generator(self.path, protocol=setup.protocol, verify=self._verify)
        )
        self.path.resolve_next_hop()
        self.path.resolve_inside(setup.hosts)


class BareRedirect(NatContender):
    translates = False

    def install(self, stack: ExitStack) -> None:
        protocol = self.setup.protocol
        stack.enter_context(Redirect(self.path, protocol=protocol))
        if self.setup.hosts:
            stack.enter_context(Redirect(self.path, protocol=protocol, backwards=True))

    def forget(self) -> None:
        """It remembers nothing."""


class Nftables(NatContender):
    """Kernel forwarding with masquerade, as the kernel's own defaults have it."""

    def install(self, stack: ExitStack) -> None:
        stack.enter_context(ConntrackSize(self.setup.sessions))
        self.path.middle("nft", MASQUERADE)
        # No answers come, and an unanswered flow would end before the last run of it.
        self.path.sysctl("net.netfilter.nf_conntrack_udp_timeout", 600)

    def forget(self) -> None:
        self.path.middle("conntrack", "-F")

    def closing(self) -> int:
        argv = ["conntrack", "-L", "-p", "tcp", "--state", "TIME_WAIT"]
        return self.path.middle(*argv).count("TIME_WAIT")

    def room(self) -> str:
        """What it holds and may hold, in words; the limits are those of the whole machine."""
        held = int(self.path.middle("conntrack", "-C"))
        limits = (f"{name} {int(run(['sysctl', '-n', name])):,}" for name in CONNTRACK_LIMITS)
        return f"{held:,} connections in nftables, {', '.join(limits)}"

    def evidence(self) -> Evidence:
        """Chains of type nat see the first packet of each connection, and no other."""
        rules = json.loads(self.path.middle("nft", "-j", "list", "chain", "ip nat postrouting"))
        for item in rules["nftables"]:
            for expression in item.get("rule", {}).get("expr", []):
                if "counter" in expression:
                    return Evidence(opened=int(expression["counter"]["packets"]))
        raise RuntimeError("the masquerade rule has gone")


class ConntrackSize(AbstractContextManager["ConntrackSize"]):
    """Room for so many connections, in a hash table that suits them; for the whole machine."""

    def __init__(self, connections: int) -> None:
        self._wanted = connections
        self._before: dict[str, int] = {}

    def __enter__(self) -> "ConntrackSize":
        buckets = BUCKETS_PER_CONNECTION * self._wanted
        for name, wanted in ((CONNTRACK_MAX, self._wanted), (CONNTRACK_BUCKETS, buckets)):
            value = int(run(["sysctl", "-n", name]))
            if value < wanted:
                self._before[name] = value
                run(["sysctl", "-qw", f"{name}={wanted}"])
        return self

    def __exit__(self, *_: object) -> None:
        for name, value in self._before.items():
            run(["sysctl", "-qw", f"{name}={value}"])


class HybridGateway(NatContender):
    """Ours: the real agent, or with `bare` its XDP plane alone."""

    def __init__(
        self,
        label: str,
        setup: Setup | None = None,
        *,
        verify: bool = False,
        bare: bool = False,
    ) -> None:
        super().__init__(label, setup, verify=verify)
        self._bare = bare

    def install(self, stack: ExitStack) -> None:
        sessions = self.setup.sessions
        self.plane: BareDataPlane | Gateway
        if self._bare:
            self.plane = BareDataPlane(self.path, sessions)
        else:
            self.plane = Gateway(self.path.names.middle, nat44(sessions))
        stack.enter_context(self.plane)

    def forget(self) -> None:
        self.plane.clear()

    def maps(self) -> InstanceMaps:
        return InstanceMaps(self.path.names.middle)

    def closing(self) -> int:
        return self.maps().closing_sessions()

    def evidence(self) -> Evidence:
        counters = self.plane.counters()
        others = {
            name: value for name, value in counters.items() if name.startswith(("DROP_", "PUNT_"))
        }
        return Evidence(counters.get("NAT_NEW_SESSION", 0), counters.get("FORWARD", 0), others)
