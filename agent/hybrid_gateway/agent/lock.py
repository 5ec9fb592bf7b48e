# SPDX-License-Identifier: GPL-2.0-or-later
"""Who may run: one agent of an instance, and one instance in a network namespace."""

import contextlib
import os
from pathlib import Path

from ..instance import Instance, namespace_lock
from ..lock import Lock


def locked(instance: Instance) -> contextlib.ExitStack:
    """Both locks, until the stack is closed; RefusedError that says who holds one of them.

    Two instances in one namespace would take turns in writing the one nftables table and the
    settings of the host, each undoing what the other did.
    """
    with contextlib.ExitStack() as held:
        pid = str(os.getpid())
        complaint = "another agent of this instance runs: process {}"
        own = Lock(instance.lock, pid, complaint, "agent.running")
        held.callback(own.release)
        inode = Path("/proc/self/ns/net").stat().st_ino
        complaint = "instance {} already serves this network namespace"
        namespace = Lock(namespace_lock(inode), instance.name, complaint, "agent.running")
        held.callback(namespace.release)
        return held.pop_all()
