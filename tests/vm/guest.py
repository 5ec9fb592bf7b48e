# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs in the guest: takes one order a line from a virtio port, answers with one line.

An order is a JSON object with `shell` and `seconds`, the answer has `code`, `stdout` and
`stderr`; or `path` and `content` (base64) to write a file. Nothing but the standard library.
"""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
from pathlib import Path

PORT_NAME = "gw"
TIMED_OUT = 124  # as timeout(1)


def port() -> Path:
    """The device of our port; there is no udev to name it when we are process 1."""
    for name in Path("/sys/class/virtio-ports").glob("*/name"):
        if name.read_text().strip() == PORT_NAME:
            return Path("/dev", name.parent.name)
    raise SystemExit(f"no virtio port {PORT_NAME}")


def run(shell: str, seconds: float) -> dict[str, object]:
    process = subprocess.Popen(
        ["/bin/sh", "-c", shell],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        env={"PYTHONPYCACHEPREFIX": "/run/gw/pycache"} | os.environ,
    )
    try:
        stdout, stderr = process.communicate(timeout=seconds)
        code = process.returncode
    except subprocess.TimeoutExpired:
        # The whole session: a grandchild would keep the pipes open.
        os.killpg(process.pid, signal.SIGKILL)
        stdout, stderr = process.communicate()
        code = TIMED_OUT
    return {
        "code": code,
        "stdout": stdout.decode(errors="replace"),
        "stderr": stderr.decode(errors="replace"),
    }


def write(path: str, content: str) -> dict[str, object]:
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(base64.b64decode(content))
    return {"code": 0, "stdout": "", "stderr": ""}


def main() -> None:
    with port().open("r+b", buffering=0) as stream:
        stream.write(json.dumps({"release": os.uname().release}).encode() + b"\n")
        pending = b""
        while True:
            head, newline, rest = pending.partition(b"\n")
            if not newline:
                pending += stream.read(65536)
                continue
            pending = rest
            order = json.loads(head)
            answer = write(**order) if "path" in order else run(**order)
            reply = memoryview(json.dumps(answer).encode() + b"\n")
            while reply:
                reply = reply[stream.write(reply) :]


if __name__ == "__main__":
    main()
