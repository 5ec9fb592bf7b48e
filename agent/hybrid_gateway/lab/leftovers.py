# SPDX-License-Identifier: GPL-2.0-or-later
"""End what an earlier process left running for a lab, and remove what it pinned and wrote."""

import os
import select
import shutil
import signal
import subprocess
from itertools import pairwise
from pathlib import Path

from ..instance import DEFAULT_INSTANCE, Instance, namespace_lock
from . import namespaces
from .namespaces import LabError
from .network import Lab
from .places import program

STOP_SECONDS = 15.0


def agent_pids(instance: str) -> list[int]:
    """Processes that run gw-agent for that instance, whoever started them."""
    return [
        int(entry.name)
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit() and _is_agent(entry, instance)
    ]


def remove(lab: Lab) -> None:
    """Detach and stop the lab's agent, then bring the lab down; fine when nothing is there."""
    pids = agent_pids(lab.name)
    if pids:
        # A broken agent may refuse; what it leaves is removed below.
        subprocess.run(
            [str(program("gwctl")), "--instance", lab.name, "detach"],
            capture_output=True,
            timeout=STOP_SECONDS,
            check=False,
        )
    for pid in pids:
        _stop(pid)
    gateway = lab.namespace("gw")
    if namespaces.exists(gateway):
        inode = namespaces.path(gateway).stat().st_ino
        namespace_lock(inode).unlink(missing_ok=True)
    lab.down()
    _remove_files(Instance(lab.name))


def _is_agent(process: Path, instance: str) -> bool:
    try:
        argv = (process / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    words = [os.fsdecode(word) for word in argv]
    runs_it = any(
        word.endswith("/gw-agent") or word == "hybrid_gateway.agent" for word in words[:8]
    )
    return runs_it and any(pair == ("--instance", instance) for pair in pairwise(words))


def _stop(pid: int) -> None:
    try:
        end = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        for number in (signal.SIGTERM, signal.SIGKILL):
            signal.pidfd_send_signal(end, number)
            if select.select([end], [], [], STOP_SECONDS)[0]:
                return
        raise LabError(f"gw-agent {pid} does not end")
    except ProcessLookupError:
        return
    finally:
        os.close(end)


def _remove_files(instance: Instance) -> None:
    """The namespaces took devices, tables and sysctls with them; pins and state outlive them."""
    if instance.name == DEFAULT_INSTANCE:
        raise LabError("a lab cannot have the name of the host's own gateway")
    for directory in (instance.pin_dir, instance.run_dir, instance.state_dir):
        shutil.rmtree(directory, ignore_errors=True)
