# SPDX-License-Identifier: GPL-2.0-or-later
"""What the demo's scenes work with: the lab, the gateway in it, and what its counters say."""

import re
import socket
import subprocess
from dataclasses import dataclass

from ..client import Client
from ..instance import Instance
from .gateway import GatewayProcess
from .namespaces import LabError, entered, run
from .network import Lab
from .places import program
from .sniff import LeakWatch

TRANSFER_SECONDS = 60
ANSWER_SECONDS = 3.0


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
        return ", ".join(f"{name} +{count}" for name, count in self.moved.items()) or "-"


class Stage:
    """The running lab."""

    def __init__(self, lab: Lab, gateway: GatewayProcess, watch: LeakWatch) -> None:
        self.lab = lab
        self.gateway = gateway
        self._watch = watch
        self.faults: list[str] = []
        self.frames = 0
        self._instance = Instance(lab.name)

    def look(self) -> set[str]:
        """Judge what has left the gateway since the last look; its source addresses."""
        found = self._watch.findings()
        self.faults += found.faults
        self.frames += found.frames
        return set(found.sources)

    def counters(self) -> dict[str, int]:
        """Of all ports together."""
        total: dict[str, int] = {}
        with Client(self._instance) as client:
            for port in client.call("show.counters")["ports"]:
                for name, count in port["counters"].items():
                    total[name] = total.get(name, 0) + count
        return total

    def moved(self, before: dict[str, int]) -> dict[str, int]:
        """What was counted since, without the hosts' ARP and IPv6 chatter."""
        return {
            name: count - before.get(name, 0)
            for name, count in self.counters().items()
            if count > before.get(name, 0) and name not in ("PUNT_NOT_IPV4", "PUNT_OTHER_MAC")
        }

    def gwctl(self, *arguments: str) -> str:
        return run([str(program("gwctl")), "--instance", self.lab.name, *arguments])

    def ping(self, host: str, target: str, count: int, size: int = 56) -> int:
        """How many of `count` echo requests were answered."""
        printed = self.lab.run(
            host,
            ["ping", "-n", "-i", "0.05", "-W", "1", "-c", str(count), "-s", str(size), target],
            check=False,
        )
        found = re.search(r"(\d+) received", printed)
        return int(found[1]) if found else 0

    def curl(self, host: str, url: str) -> bytes:
        """What the URL answers; LabError when it does not."""
        process = self.curl_started(host, url)
        answer, _ = process.communicate()
        if process.returncode:
            raise LabError(f"curl {url} on {host} failed ({process.returncode})")
        return answer

    def curl_started(self, host: str, url: str, *options: str) -> "subprocess.Popen[bytes]":
        argv = ["curl", "-sS", "-N", "--max-time", str(TRANSFER_SECONDS), *options, url]
        return self.lab.popen(host, argv)

    def udp_socket(self, host: str) -> socket.socket:
        """A UDP socket on a host of the lab, for use from here."""
        with entered(self.lab.namespace(host)):
            opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        opened.settimeout(ANSWER_SECONDS)
        return opened
