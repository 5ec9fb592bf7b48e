# SPDX-License-Identifier: GPL-2.0-or-later
"""A download and a stream of datagrams that go on while something happens to the gateway."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from hybrid_gateway.lab import Lab
from hybrid_gateway.lab.services import Datagrams
from hybrid_gateway.lab.topology import CABLES, HOSTS
from tests.lib.gateway import Gateway, eventually
from tests.lib.packets import SERVER, SERVER2, WAN
from tests.lib.programs import TRANSFER_SECONDS, blob_digest, curl_argv, digest

from .fixtures import any_identification

SIZE = 14_000_000
RATE = 2_000_000
"""Bytes a second: the download takes seven, and what happens to the gateway not half of that."""
DATAGRAMS = 500
"""Sent, and answered, a second."""
MOVED = 400_000
"""Bytes that show that the download goes on."""


class Flows:
    """From the host lan; `lan2` sends the datagrams, so that each has a port of the bridge."""

    def __init__(self, gateway: Gateway, path: Path, stack: ExitStack, size: int) -> None:
        self._gateway = gateway
        self._path = path
        self._size = size
        stack.enter_context(any_identification(gateway.lab))
        self._astray = astray(gateway.lab)
        self._counts = gateway.counting()
        url = f"http://{SERVER}/blob/{size}?rate={RATE}"
        self._download = gateway.lab.popen("lan", curl_argv("-o", str(path), url))
        stack.callback(_end, self._download)
        self._stream = Datagrams(gateway.lab, "lan2", SERVER2, DATAGRAMS)
        stack.callback(self._stream.close)
        self.moving()

    def sessions(self) -> dict[int, dict[str, Any]]:
        """By protocol number."""
        return {s["protocol"]: s for s in self._gateway.sessions() if s["remote"][1] in (80, 7)}

    def moving(self) -> None:
        """Waits until the session of the download has carried more than it had."""
        before = self._bytes()
        eventually(lambda: self._bytes() > before + MOVED, "the download goes on", seconds=5)
        assert self._download.poll() is None, "it ended too early to tell anything"

    def _bytes(self) -> int:
        found = self.sessions().get(6)
        return int(found["bytes_in"]) if found else 0

    def unharmed(self) -> None:
        """Both to their end: every byte, an answer to each datagram, and no frame that got lost in
        the gateway or before it. (TCP sends again what is merely late, so that proves nothing.)"""
        assert self._download.wait(TRANSFER_SECONDS) == 0
        assert digest(self._path.read_bytes()) == blob_digest(self._size)
        said = self._stream.end()
        moved = self._counts.now()
        assert not said.lost, f"{said}: {moved}, {astray(self._gateway.lab)}"
        assert not [name for name in moved if name.startswith("DROP_")], moved
        assert astray(self._gateway.lab) == self._astray
        (seen,) = said.seen
        assert seen.startswith(f"{WAN.ip}:")
        assert said.sent > DATAGRAMS


def astray(lab: Lab) -> dict[str, int]:
    """Frames that went into a cable of the lab and did not come out of it, by cable and way."""
    links = {
        (host, link["ifname"]): link["stats64"]
        for host in HOSTS
        for link in json.loads(lab.run(host, ["ip", "-json", "-s", "link", "show"]))
    }
    found: dict[str, int] = {}
    for cable in CABLES:
        for one, other in (cable, cable[::-1]):
            sent = links[one.host, one.device]["tx"]["packets"]
            received = links[other.host, other.device]["rx"]["packets"]
            found[f"{one.host} {one.device} to {other.host}"] = sent - received
    return found


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    process.wait()
    if process.stdout:
        process.stdout.close()


@contextmanager
def flowing(gateway: Gateway, folder: Path, size: int = SIZE) -> Iterator[Flows]:
    """Both flow when the block begins, and must be unharmed when it ends."""
    with ExitStack() as stack:
        flows = Flows(gateway, folder / "download", stack, size)
        yield flows
        flows.moving()
        flows.unharmed()
