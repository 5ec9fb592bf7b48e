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
AGENT = ("/gw-agent", "hybrid_gateway.agent")
WORKER = ("/gw-worker", "hybrid_gateway.worker")
KEEPER = ("/lab/keeper.py",)
PLAIN = ("/lab/plain.py",)
"""How a word of the command line ends."""


def agent_pids(instance: str) -> list[int]:
    """Processes that run gw-agent for that instance, whoever started them."""
    return _pids(AGENT, instance)


def worker_pids(instance: str) -> list[int]:
    """Likewise gw-worker."""
    return _pids(WORKER, instance)


def keeper_pids(instance: str) -> list[int]:
    """Likewise who starts gw-worker or gobgpd again."""
    return _pids(KEEPER, instance)


def bgp_pids(instance: str) -> list[int]:
    """Likewise gobgpd, which knows no instances: by its socket."""
    host = f"--api-hosts=unix://{Instance(instance).bgp_socket}"
    return [
        int(entry.name)
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit() and host in (words := _words(entry)) and words[0].endswith("gobgpd")
    ]


def remove(lab: Lab) -> None:
    """Detach and stop the lab's agent and daemons, then bring the lab down; fine when nothing is
    there."""
    pids = agent_pids(lab.name)
    if pids:
        # A broken agent may refuse; what it leaves is removed below.
        subprocess.run(
            [str(program("gwctl")), "--instance", lab.name, "detach"],
            capture_output=True,
            timeout=STOP_SECONDS,
            check=False,
        )
    for pid in (*pids, *keeper_pids(lab.name), *_pids(PLAIN, lab.name)):
        _stop(pid)
    for pid in (*worker_pids(lab.name), *bgp_pids(lab.name)):
        _stop(pid)
    gateway = lab.namespace("gw")
    if namespaces.exists(gateway):
        _hand_back(lab)
        inode = namespaces.path(gateway).stat().st_ino
        namespace_lock(inode).unlink(missing_ok=True)
    lab.down()
    _remove_files(Instance(lab.name))


def _pids(program: tuple[str, ...], instance: str) -> list[int]:
    return [
        int(entry.name)
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit() and _runs(entry, program, instance)
    ]


def _words(process: Path) -> list[str]:
    """Its command line; empty of one that has ended."""
    try:
        argv = (process / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return []
    return [os.fsdecode(word) for word in argv]


def _runs(process: Path, program: tuple[str, ...], instance: str) -> bool:
    words = _words(process)
    if not any(pair == ("--instance", instance) for pair in pairwise(words)):
        return False
    # A keeper has the name of what it keeps among its arguments.
    before = words[: words.index("--instance")]
    return any(word.endswith(program) for word in before)


def _hand_back(lab: Lab) -> None:
    """Hugepages outlive the namespace: what a killed agent took for a killed worker is returned."""
    if (Instance(lab.name).run_dir / "taken.json").exists():
        argv = [str(program("gw-handback")), "--instance", lab.name]
        lab.run("gw", argv, check=False)


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
        raise LabError(f"process {pid} does not end")
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
