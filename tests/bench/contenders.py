# SPDX-License-Identifier: GPL-2.0-or-later
"""What stands in the middle of a path, each with the evidence that it did what was measured."""

import json
from contextlib import AbstractContextManager, ExitStack
from types import TracebackType
from typing import Self

from tests.bench.dataplane import BareDataPlane
from tests.bench.gateway import Gateway
from tests.bench.generator import Generator, Redirect
from tests.bench.path import SESSIONS, MeasuredPath, run

CONNTRACK_MAX = "net.netfilter.nf_conntrack_max"
CONNTRACK_BUCKETS = "net.netfilter.nf_conntrack_buckets"
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


class Contender:
    """A path, its generator, and something in between that forwards."""

    def __init__(self, label: str, *, verify: bool = False) -> None:
        self.label = label
        self._verify = verify
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        try:
            self.path = self._stack.enter_context(MeasuredPath(self.label))
            self.install(self._stack)
            self.generator = self._stack.enter_context(Generator(self.path, verify=self._verify))
            self.path.resolve_next_hop()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def install(self, stack: ExitStack) -> None:
        raise NotImplementedError

    def forget(self) -> None:
        """Ends all sessions and mappings."""

    def opened(self) -> int:
        """Sessions opened since the beginning."""
        return 0

    def fast(self) -> int | None:
        """Frames that took the fast way since the beginning, where that is told apart."""
        return None


class BareRedirect(Contender):
    def install(self, stack: ExitStack) -> None:
        stack.enter_context(Redirect(self.path))


class Nftables(Contender):
    """Kernel forwarding with masquerade, as the kernel's own defaults have it."""

    def install(self, stack: ExitStack) -> None:
        stack.enter_context(ConntrackSize(SESSIONS))
        self.path.middle("nft", MASQUERADE)
        # No answers come, and an unanswered flow would end before the last run of it.
        self.path.sysctl("net.netfilter.nf_conntrack_udp_timeout", 600)

    def forget(self) -> None:
        self.path.middle("conntrack", "-F")

    def opened(self) -> int:
        """Chains of type nat see the first packet of each connection, and no other."""
        rules = json.loads(self.path.middle("nft", "-j", "list", "chain", "ip nat postrouting"))
        for item in rules["nftables"]:
            for expression in item.get("rule", {}).get("expr", []):
                if "counter" in expression:
                    return int(expression["counter"]["packets"])
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

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for name, value in self._before.items():
            run(["sysctl", "-qw", f"{name}={value}"])


class HybridGateway(Contender):
    """Ours: the real agent, or with `bare` its XDP plane alone."""

    def __init__(self, label: str, *, bare: bool = False) -> None:
        super().__init__(label)
        self._bare = bare

    def install(self, stack: ExitStack) -> None:
        self.plane: BareDataPlane | Gateway = (
            BareDataPlane(self.path) if self._bare else Gateway(self.path, sessions=SESSIONS)
        )
        stack.enter_context(self.plane)

    def forget(self) -> None:
        self.plane.clear()

    def opened(self) -> int:
        return self.plane.counters().get("NAT_NEW_SESSION", 0)

    def fast(self) -> int:
        return self.plane.counters().get("FORWARD", 0)
