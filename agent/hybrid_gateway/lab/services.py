# SPDX-License-Identifier: GPL-2.0-or-later
"""Start the servers of `peers` and the client of `stream` on hosts of the lab."""

import json
import os
import select
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .namespaces import LabError
from .network import Lab
from .places import PYTHON

READY_SECONDS = 10.0
ECHO_PORT = 7


@contextmanager
def servers(
    lab: Lab, host: str, *, http: Sequence[str] = (), udp: Sequence[str] = ()
) -> Iterator[None]:
    """HTTP and UDP echo servers on `ADDRESS:PORT` each, for as long as the block runs."""
    argv = [PYTHON, "-I", str(Path(__file__).with_name("peers.py"))]
    for endpoint in http:
        argv += ["--http", endpoint]
    for endpoint in udp:
        argv += ["--udp", endpoint]
    process = lab.popen(host, argv, stderr=subprocess.STDOUT)
    try:
        wait_for_output(process, b"ready\n")
        yield
    finally:
        process.terminate()
        process.wait()
        if process.stdout:
            process.stdout.close()


def wait_for_output(
    process: subprocess.Popen[bytes], wanted: bytes, seconds: float = READY_SECONDS
) -> bytes:
    """Read the program's output up to `wanted`; LabError when it ends or stays silent before."""
    assert process.stdout is not None
    seen = b""
    while wanted not in seen:
        if not select.select([process.stdout], [], [], seconds)[0]:
            raise LabError(f"{process.args!r} printed only {seen!r}")
        part = os.read(process.stdout.fileno(), 65536)
        if not part:
            raise LabError(f"{process.args!r} ended after it printed {seen!r}")
        seen += part
    return seen


@dataclass(frozen=True, slots=True)
class Told:
    """What a stream of datagrams has come to."""

    sent: int
    lost: list[int]
    """Numbers of those that nobody answered."""
    seen: list[str]
    """ADDRESS:PORT of its sender, as the server saw it."""


class Datagrams:
    """`rate` numbered datagrams a second to the UDP echo of `server`, until `end`.

    Raises LabError unless the first one is answered.
    """

    def __init__(self, lab: Lab, host: str, server: str, rate: int) -> None:
        program = str(Path(__file__).with_name("stream.py"))
        argv = [PYTHON, "-I", program, server, str(ECHO_PORT), str(rate)]
        self._process = lab.popen(host, argv, stdin=subprocess.PIPE)
        try:
            wait_for_output(self._process, b"begun\n")
        except LabError:
            self.close()
            raise

    def end(self) -> Told:
        """Once the last answers have come, or do not come."""
        told, _ = self._process.communicate(timeout=READY_SECONDS)
        return Told(**json.loads(told))

    def close(self) -> None:
        """May be repeated, and come after `end`."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                pipe.close()
