# SPDX-License-Identifier: GPL-2.0-or-later
"""From where whoever runs gwctl is logged in: the agent does not take that port from the kernel."""

import os
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

PROC = Path("/proc")
ANCESTORS_MAX = 64


def session_addresses(proc: Path = PROC) -> list[str]:
    """Of the SSH sessions that this process descends from; sudo hides them from our own
    environment, so that those of its ancestors are read too, as far as we may."""
    found: dict[str, None] = {}
    pid = os.getpid()
    for _ in range(ANCESTORS_MAX):
        found |= dict.fromkeys(_peers(proc / str(pid) / "environ"))
        pid = _parent(proc / str(pid) / "stat")
        if pid <= 1:
            break
    return list(found)


def _peers(environment: Path) -> Iterator[str]:
    try:
        variables = environment.read_bytes().split(b"\0")
    except OSError:
        return
    for variable in variables:
        name, _, value = variable.decode(errors="replace").partition("=")
        if name == "SSH_CONNECTION" and value:
            try:
                yield str(ip_address(value.split()[0].partition("%")[0]))
            except ValueError:
                continue


def _parent(stat: Path) -> int:
    try:
        # The name in parentheses may hold anything, parentheses and spaces too.
        return int(stat.read_text().rpartition(")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return 0
