# SPDX-License-Identifier: GPL-2.0-or-later
"""What the demo's scenes work with: the lab, the gateway in it, and what its counters say."""

import hashlib
import re
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..client import Client
from ..instance import Instance
from .gateway import GatewayProcess
from .namespaces import LabError, entered, run
from .network import Lab
from .peers import blob
from .places import program
from .services import ECHO_PORT
from .sniff import LeakWatch
from .topology import INTERNET
from .worker import WorkerProcess

SERVER, STRANGER = INTERNET[:2]
TRANSFER_SECONDS = 60
ANSWER_SECONDS = 3.0
SETTLE_SECONDS = 3.0
CHATTER = (
    *("PUNT_NOT_IPV4", "PUNT_OTHER_MAC", "PUNT_RESOLUTION"),
    *("PUNT_ARP", "PUNT_MULTICAST", "PUNT_LINK_LOCAL"),
)
SEGMENT = 1500
"""No frame carries more: a download of so many bytes takes at least size / SEGMENT frames."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the demo's table."""

    feature: str
    sent: str
    seen: str
    moved: dict[str, int]
    passed: bool

    @property
    def evidence(self) -> str:
        return ", ".join(f"{name}\N{NO-BREAK SPACE}+{n}" for name, n in self.moved.items()) or "-"


def same_blob(data: bytes, size: int) -> bool:
    """Whether this is what a server of the lab sends for /blob/SIZE."""
    return hashlib.sha256(data).digest() == hashlib.sha256(blob(size)).digest()


def answered(client: socket.socket, server: str = SERVER) -> str:
    """Ask a UDP echo; which ADDRESS:PORT it sees, or what is wrong with its answer."""
    client.sendto(b"question", (server, ECHO_PORT))
    endpoint, _, said = client.recv(200).decode().partition(" ")
    return endpoint if said == "question" else f"garbled: {said}"


class Stage:
    """The running lab."""

    def __init__(
        self,
        lab: Lab,
        gateway: GatewayProcess,
        worker: WorkerProcess,
        watch: LeakWatch,
        syslog: Path,
    ) -> None:
        self.lab = lab
        self.gateway = gateway
        self.worker = worker
        self.syslog = syslog
        """Where the agent looks for a syslog daemon."""
        self._watch = watch
        self.faults: list[str] = []
        self.frames = 0
        self.instance = Instance(lab.name)

    def look(self) -> set[str]:
        """Judge what has left the gateway since the last look; its source addresses."""
        found = self._watch.findings()
        self.faults += found.faults
        self.frames += found.frames
        return set(found.sources)

    def counters(self) -> dict[str, int]:
        """Of all ports together."""
        total: dict[str, int] = {}
        for port in self.call("show.counters")["ports"]:
            for name, count in port["counters"].items():
                total[name] = total.get(name, 0) + count
        return total

    def call(self, method: str) -> Any:
        with Client(self.instance) as client:
            return client.call(method)

    def moved(self, before: dict[str, int]) -> dict[str, int]:
        """What was counted since, without the hosts' ARP and IPv6 chatter."""
        return {
            name: count - before.get(name, 0)
            for name, count in self.counters().items()
            if count > before.get(name, 0) and name not in CHATTER
        }

    def gwctl(self, *arguments: str) -> str:
        return run([str(program("gwctl")), "--instance", self.instance.name, *arguments])

    def elsewhere(self, lab: Lab) -> "Stage":
        """The same gateway, with more hosts around it."""
        larger = copy(self)
        larger.lab = lab
        return larger

    def of(self, instance: str) -> "Stage":
        """Another gateway of the same lab, by the name of its instance."""
        other = copy(self)
        other.instance = Instance(instance)
        return other

    @contextmanager
    def configured(self, *lines: str, ports: str = "", section: str = "") -> Iterator[None]:
        """Another configuration meanwhile: more lines of nat44, or of its static mappings first;
        more ports, and one more section."""
        usual = self.lab.config.read_text()
        text = usual.replace("ports:\n", f"ports:\n{ports}", 1)
        self.lab.config.write_text(text + "".join(f"  {line}\n" for line in lines) + section)
        try:
            self.gwctl("apply")
            yield
        finally:
            self.lab.config.write_text(usual)
            self.gwctl("apply")

    def ping(self, host: str, target: str, count: int, *options: str, in_vain: bool = False) -> int:
        """How many of `count` echo requests were answered, be it late: with -w ping asks on until
        it has so many answers, of which those to further requests do not count.

        No further requests are sent where no answer is expected.
        """
        patience = ["-W", "1"] if in_vain else ["-w", "2"]
        argv = ["ping", "-n", "-i", "0.05", *patience, "-c", str(count), *options, target]
        printed = self.lab.run(host, argv, check=False)
        answered = re.findall(r"bytes from .* icmp_seq=(\d+)", printed)
        return sum(int(number) <= count for number in answered)

    def curl(self, host: str, url: str, *options: str) -> bytes:
        """What the URL answers; LabError when it does not."""
        process = self.curl_started(host, url, *options)
        answer, _ = process.communicate()
        if process.returncode:
            raise LabError(f"curl {url} on {host} failed ({process.returncode})")
        return answer

    def curl_started(self, host: str, url: str, *options: str) -> "subprocess.Popen[bytes]":
        argv = ["curl", "-sS", "-N", "--max-time", str(TRANSFER_SECONDS), *options, url]
        return self.lab.popen(host, argv)

    def uploaded(self, host: str, address: str, size: int) -> bool:
        """Whether a server of the lab has got what was sent to it from a host."""
        file = self.lab.directory / "upload"
        file.write_bytes(blob(size))
        said = self.curl(host, f"http://{address}/", "-T", str(file)).decode()
        return said == hashlib.sha256(blob(size)).hexdigest()

    def udp_socket(self, host: str) -> socket.socket:
        """A UDP socket on a host of the lab, for use from here."""
        return self.socket(host, socket.SOCK_DGRAM)

    def socket(self, host: str, kind: int, protocol: int = 0) -> socket.socket:
        """An IPv4 socket of any kind, likewise."""
        with entered(self.lab.namespace(host)):
            opened = socket.socket(socket.AF_INET, kind, protocol)
        opened.settimeout(ANSWER_SECONDS)
        return opened
