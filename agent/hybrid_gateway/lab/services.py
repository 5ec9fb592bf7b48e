# SPDX-License-Identifier: GPL-2.0-or-later
"""Start the servers of `peers` on hosts of the lab and wait until they listen."""

import os
import select
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from .namespaces import LabError
from .network import Lab
from .places import PYTHON

READY_SECONDS = 10.0


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
