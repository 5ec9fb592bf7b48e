# SPDX-License-Identifier: GPL-2.0-or-later
"""The gateway under test: the real agent, gwctl, its counters and configurations."""

import json
import signal
import subprocess
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hybrid_gateway.instance import Instance
from hybrid_gateway.lab import GW_INSIDE, GatewayProcess, Lab

from .ctl import gwctl
from .programs import pinged
from .rpc import call

SETTLE_SECONDS = 10.0
NOISE = frozenset({"PUNT_NOT_IPV4", "PUNT_OTHER_MAC", "PUNT_RESOLUTION"})
"""ARP, IPv6 and multicast housekeeping of the hosts, at any time."""

BASE = """\
version: 1
ports:
  lan0: {device: lan0, plane: xdp}
  lan1: {device: lan1, plane: xdp}
  wan0: {device: wan0, plane: xdp}
nat44:
  inside: [br-lan]
  outside: wan0
"""


def nat44(*lines: str) -> str:
    """A configuration: BASE and more lines of its nat44 section."""
    return BASE + "".join(f"  {line}\n" for line in lines)


def eventually(check: Callable[[], bool], what: str, seconds: float = SETTLE_SECONDS) -> None:
    """Ask until it is true; each question is a call that takes a while, so this does not spin."""
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, f"still not so after {seconds} s: {what}"


class Counting:
    """How the counters of all ports together have moved since this object was made."""

    def __init__(self, read: Callable[[], dict[str, int]], noise: frozenset[str] = NOISE) -> None:
        self._read = read
        self._noise = noise
        self._before = read()

    def now(self, *, despite: Collection[str] = ()) -> dict[str, int]:
        """What moved, without the noise; names in `despite` are none."""
        after = self._read()
        moved = {name: count - self._before.get(name, 0) for name, count in after.items()}
        noise = self._noise.difference(despite)
        return {name: count for name, count in moved.items() if count and name not in noise}

    def expect(self, **wanted: int) -> None:
        """These counters moved by so much, and no other did."""
        self._until(lambda seen: seen == wanted, wanted)

    def expect_some(self, **wanted: int) -> None:
        """These counters moved by at least so much; others may have moved too."""
        self._until(lambda seen: all(seen.get(k, 0) >= v for k, v in wanted.items()), wanted)

    def _until(self, check: Callable[[dict[str, int]], bool], wanted: dict[str, int]) -> None:
        deadline = time.monotonic() + SETTLE_SECONDS
        while not check(seen := self.now(despite=wanted)):
            assert time.monotonic() < deadline, f"counters moved by {seen}, expected {wanted}"


class Gateway:
    """The lab's gateway, running. Tests change it through what a user has: gwctl and files."""

    def __init__(self, lab: Lab, base: str = BASE, noise: frozenset[str] = NOISE) -> None:
        self.lab = lab
        self._noise = noise
        self.instance = Instance(lab.name)
        self.config = lab.directory / "test.yaml"
        self.config.write_text(base)
        self.process = GatewayProcess(lab, self.config)
        self._base = base
        self._applied = base

    def ctl(self, *arguments: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
        return gwctl(self.lab, *arguments, check=check)

    def ctl_json(self, *arguments: str) -> Any:
        return json.loads(self.ctl("--json", *arguments).stdout)

    def call(self, method: str, **params: Any) -> Any:
        """Straight over the socket, for what is asked often."""
        return call(self.instance.socket, method, **params)

    def counters(self) -> dict[str, int]:
        """All ports added up."""
        total: dict[str, int] = {}
        for port in self.call("show.counters")["ports"]:
            for name, count in port["counters"].items():
                total[name] = total.get(name, 0) + count
        return total

    def counting(self) -> Counting:
        return Counting(self.counters, self._noise)

    def sessions(self) -> list[dict[str, Any]]:
        page = self.call("show.sessions", cursor=0, limit=1000)
        return list(page["sessions"])

    def ready(self) -> None:
        """Running, with the base configuration and without sessions, whatever was before."""
        if not self.process.running:
            self.config.write_text(self._base)
            self.process.start()
            self._applied = self._base
        self.apply(self._base)
        self.call("clear.sessions")

    def meet_hosts(self) -> None:
        """Let the kernel learn the LAN hosts' MAC addresses, and the bridge where they are."""
        for host in ("lan", "lan2"):
            assert pinged(self.lab, host, GW_INSIDE.ip, count=1) == 1

    def apply(self, text: str) -> None:
        if text != self._applied:
            self.config.write_text(text)
            self.ctl("apply", "--config", str(self.config))
            self._applied = text

    def start(self) -> None:
        self.process.start()
        self._applied = self.config.read_text()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """The agent does nothing meanwhile: what happens is the data path's own doing."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def pins(self) -> list[Path]:
        return sorted(self.instance.pin_dir.rglob("*")) if self.instance.pin_dir.exists() else []
