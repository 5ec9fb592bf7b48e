# SPDX-License-Identifier: GPL-2.0-or-later
"""The XDP plane without the agent, in the middle of a path: `--bare` of the benchmark.

Run as a program inside the middle namespace it loads and attaches, then serves one word a line:
`clear` ends every session, `counters` prints what the two ports counted.
"""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tests.bench.path import (
    INSIDE,
    OUTSIDE_ADDRESS,
    PORTS,
    ROOT,
    MeasuredPath,
    inside_netns,
)

if TYPE_CHECKING:
    from hybrid_gateway.bpf import DataPlane


class Served:
    """A module of ours that serves what is loaded, in the middle of a path."""

    def __init__(self, path: MeasuredPath, module: str, *arguments: str) -> None:
        environment = dict(os.environ)
        environment["PYTHONPATH"] = f"{ROOT}:{ROOT}/agent:{ROOT}/build/lib"
        argv = [sys.executable, "-m", module, path.names.middle, *arguments]
        self._process = subprocess.Popen(
            inside_netns(path.names.middle, argv),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self._read()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=30)

    def clear(self) -> None:
        self._ask("clear")

    def counters(self) -> dict[str, int]:
        """Of both ports, since load."""
        counters: dict[str, int] = json.loads(self._ask("counters"))
        return counters

    def _ask(self, word: str) -> str:
        assert self._process.stdin
        self._process.stdin.write(word + "\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> str:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the data plane ended with {self._process.wait(timeout=30)}")
        return line


class BareDataPlane(Served):
    """Loads the XDP plane with NAT44 in the middle of a path, and nothing else."""

    def __init__(self, path: MeasuredPath, sessions: int) -> None:
        macs = [path.mac(path.names.middle, name) for name in ("lan0", "wan0")]
        super().__init__(path, "tests.bench.dataplane", str(sessions), *macs)


def object_dir() -> Path:
    return Path(os.environ.get("GW_BPF_DIR", ROOT / "build/bpf"))


def serve(plane: "DataPlane", ports: Sequence[int]) -> None:
    """Until the standard input ends."""
    for line in sys.stdin:
        if line.strip() == "clear":
            print(plane.clear_sessions(), flush=True)
        else:
            counters = plane.counters()
            both = {name: sum(counters[port][name] for port in ports) for name in counters[0]}
            print(json.dumps(both), flush=True)


def serve_nat44(instance: str, sessions: int, macs: list[bytes]) -> None:
    # The native extension is built; the benchmark's other modules do without it.
    from hybrid_gateway import bpf

    plane = bpf.DataPlane(instance, object_dir())
    lan, wan = (socket.if_nametoindex(name) for name in ("lan0", "wan0"))
    outside = IPv4Address(IPv4Interface(OUTSIDE_ADDRESS).ip)
    try:
        plane.load(bpf.MapSizes(sessions))
        plane.set_settings(
            bpf.NatSettings(
                enabled=True,
                addresses=(outside,),
                ports=PORTS,
                filtering=1,
                udp=300,
                icmp=60,
                tcp_transitory=240,
                tcp_established=7440,
                port_rest=0,
                host_sessions=sessions,
                host_ports=PORTS[1],
            )
        )
        inside, port = bpf.DEV_INSIDE | bpf.DEV_PORT, bpf.DEV_OUTSIDE | bpf.DEV_PORT
        plane.set_devices(
            [
                bpf.DeviceRecord(lan, inside, lan, macs[0]),
                bpf.DeviceRecord(wan, port, wan, macs[1]),
            ]
        )
        plane.set_addresses([outside])
        plane.set_inside_prefixes([IPv4Network(INSIDE)])
        modes = [plane.attach(lan, "lan0", False), plane.attach(wan, "wan0", True)]
        print("attached", *modes, flush=True)
        serve(plane, (lan, wan))
    finally:
        plane.remove()


if __name__ == "__main__":
    addresses = [bytes.fromhex(mac.replace(":", "")) for mac in sys.argv[3:5]]
    serve_nat44(sys.argv[1], int(sys.argv[2]), addresses)
