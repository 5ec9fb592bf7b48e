# SPDX-License-Identifier: GPL-2.0-or-later
"""How a gobgpd of ours is started: systemd/gw-bgp.service does the same."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import IO

PROGRAM = "gobgpd"


def command(socket: Path, program: str = PROGRAM) -> list[str]:
    """Its command line: no configuration file, for the agent configures it over the socket."""
    return [
        program,
        f"--api-hosts=unix://{socket}",
        "--log-plain",
        "--pprof-disable",
        # 3.36 would still serve figures at localhost:6060. 3.10 does not know the option that turns
        # that off; neither can listen at an address that is none, and both go on.
        "--pprof-host=none",
    ]


def start(
    socket: Path, *, prefix: Sequence[str] = (), output: IO[str] | int | None = None
) -> subprocess.Popen[bytes]:
    """Starts one, `prefix` first (such as what enters a namespace); it listens soon.

    A socket that one before it left, for it was killed, is removed: gobgpd would go on without any.
    """
    socket.parent.mkdir(parents=True, exist_ok=True)
    socket.unlink(missing_ok=True)
    return subprocess.Popen(
        [*prefix, *command(socket)],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT if output is not None else None,
        umask=0o077,
        start_new_session=True,
        env=os.environ | {"GOTRACEBACK": "single"},
    )
