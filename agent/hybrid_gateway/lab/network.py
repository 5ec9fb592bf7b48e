# SPDX-License-Identifier: GPL-2.0-or-later
"""The lab's namespaces, cables and addresses: up, down, and running programs in them."""

import select
import shutil
import socket
import subprocess
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from . import namespaces
from .namespaces import LabError
from .observed import facts, link_events
from .places import lab_dir
from .topology import (
    ALL_HOSTS,
    CABLES,
    CONFIGURATION,
    ENDS,
    GW_INSIDE,
    HOSTS,
    OFFLOADS,
    SYSCTLS,
    Interface,
    address_script,
    wanted_facts,
)

DEFAULT_NAME = "lab"
SETTLE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class LabState:
    """What there is of a lab; `missing` lists what `up` would make."""

    name: str
    namespaces: tuple[str, ...]
    missing: tuple[str, ...]
    config: str

    @property
    def up(self) -> bool:
        return not self.missing


class Lab:
    """One lab by name; several stand side by side. Building one needs root.

    Nothing is remembered in the object: the namespaces themselves say what there is,
    so any process may bring down what another one brought up.
    """

    def __init__(self, name: str = DEFAULT_NAME, directory: Path | None = None) -> None:
        self.name = name
        self.directory = directory or lab_dir(name)

    @property
    def config(self) -> Path:
        return self.directory / "gateway.yaml"

    def namespace(self, host: str) -> str:
        if host not in ALL_HOSTS:
            raise LabError(
                f"no host {host!r} in the lab, it has {', '.join(HOSTS)}", code="lab.unknown-host"
            )
        return f"{self.name}-{host}"

    def up(self) -> None:
        """Make what is missing; what is right stays as it is. Undoes nothing when it fails:
        the next `up` goes on from there and `down` removes it."""
        self.directory.mkdir(parents=True, exist_ok=True)
        if not self.config.exists():
            self.config.write_text(CONFIGURATION)
        if self.state().up:
            return
        for host in HOSTS:
            namespaces.add(self.namespace(host))
        with ExitStack() as stack:
            events = [stack.enter_context(link_events(self.namespace(h))) for h in HOSTS]
            self._build()
            self._settle(events)

    def _build(self) -> None:
        for near, far in CABLES:
            self._plug(near, far)
        if not self._has(GW_INSIDE):
            self._ip("gw", [f"link add {GW_INSIDE.device} type bridge forward_delay 0"])
        for host in HOSTS:
            for key, value in SYSCTLS.get(host, {}).items():
                namespaces.write_sysctl(self.namespace(host), key, value)
        for end in ENDS:
            self.run(end.host, ["ethtool", "-K", end.device, *OFFLOADS.split()])
        for host in HOSTS:
            self._ip(host, address_script(host))

    def down(self) -> None:
        """Remove the namespaces and the directory; fine when some or all are gone already."""
        for host in ALL_HOSTS:
            namespaces.delete(self.namespace(host))
        shutil.rmtree(self.directory, ignore_errors=True)

    def state(self) -> LabState:
        there: list[str] = []
        missing: list[str] = []
        for host in HOSTS:
            name = self.namespace(host)
            if not namespaces.exists(name):
                missing.append(name)
                continue
            there.append(name)
            lacks = wanted_facts(host) - facts(name)
            missing += [f"{name}: {fact}" for fact in sorted(lacks)]
        return LabState(self.name, tuple(there), tuple(missing), str(self.config))

    def argv(self, host: str, argv: Sequence[str]) -> list[str]:
        """The command line that runs `argv` on a host of the lab."""
        return namespaces.inside(self.namespace(host), argv)

    def exec(self, host: str, argv: Sequence[str]) -> int:
        """Run a program there on this terminal; its exit code."""
        if not namespaces.exists(self.namespace(host)):
            raise LabError(f"the lab {self.name!r} is not up", code="lab.not-up")
        return subprocess.run(self.argv(host, argv), check=False).returncode

    def run(self, host: str, argv: Sequence[str], *, check: bool = True) -> str:
        """Run a short program there and return what it printed."""
        return namespaces.run(self.argv(host, argv), check=check)

    def popen(
        self,
        host: str,
        argv: Sequence[str],
        *,
        stdin: int | IO[bytes] = subprocess.DEVNULL,
        stdout: int | IO[bytes] = subprocess.PIPE,
        stderr: int | IO[bytes] | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start a program there; the caller ends it."""
        return subprocess.Popen(self.argv(host, argv), stdin=stdin, stdout=stdout, stderr=stderr)

    def _settle(self, events: Sequence[socket.socket]) -> None:
        """Wait until every device has its carrier, which the kernel reports up to a second late."""
        deadline = time.monotonic() + SETTLE_SECONDS
        while left := self.state().missing:
            if (patience := deadline - time.monotonic()) <= 0:
                raise LabError(f"the lab {self.name!r} is still incomplete: {', '.join(left)}")
            ready, _, _ = select.select(events, [], [], patience)
            for event in ready:
                event.recv(65536)

    def _ip(self, host: str, lines: Sequence[str]) -> None:
        namespaces.ip_batch(self.namespace(host), lines)

    def _has(self, end: Interface) -> bool:
        with namespaces.entered(self.namespace(end.host)):
            try:
                socket.if_nametoindex(end.device)
            except OSError:
                return False
            return True

    def _plug(self, near: Interface, far: Interface) -> None:
        """A cable with its ends born inside the namespaces, under their final names.

        A veth has both ends or none, but a failed earlier try may have left another
        kind of device under one of the names.
        """
        present = [end for end in (near, far) if self._has(end)]
        if len(present) == 2:
            return
        for end in present:
            self._ip(end.host, [f"link delete {end.device}"])
        namespaces.run(
            [
                *("ip", "link", "add", near.device, "netns", self.namespace(near.host)),
                *("type", "veth", "peer", "name", far.device),
                *("netns", self.namespace(far.host)),
            ]
        )
