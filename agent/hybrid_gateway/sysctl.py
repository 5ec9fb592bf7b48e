# SPDX-License-Identifier: GPL-2.0-or-later
"""Kernel settings that forwarding needs, changed as little as possible and put back."""

from pathlib import Path

from . import portset
from .errors import KernelError
from .model import IP_FORWARD, LO_FORWARDING, LO_FORWARDING6, Sysctl
from .restore import Changes, SysctlChange

PROC = Path("/proc/sys")
RESERVED_PORTS = "net.ipv4.ip_local_reserved_ports"
SIZE_MAX = 1 << 20
NAMES = (IP_FORWARD, RESERVED_PORTS, LO_FORWARDING, LO_FORWARDING6)


def _path(name: str) -> Path:
    """Names with slashes are paths: a device may have dots in its name."""
    return PROC / (name if "/" in name else name.replace(".", "/"))


def read(name: str) -> str:
    try:
        # In one go: the kernel answers a second read with nothing, however much there was left.
        with _path(name).open("rb", buffering=0) as file:
            return file.read(SIZE_MAX).decode().strip()
    except OSError as error:
        raise KernelError(f"reading {name}", error.errno or 0, code="sysctl.read") from error


def write(name: str, value: str) -> None:
    # The kernel takes an empty list of ports only as an empty line.
    try:
        _path(name).write_text(f"{value}\n")
    except OSError as error:
        raise KernelError(
            f"setting {name} to {value!r}", error.errno or 0, code="sysctl.write"
        ) from error


def observe(changes: Changes) -> tuple[Sysctl, ...]:
    """Each setting as it is, and as it would be had we never changed it.

    Those of IPv6 are left out where it is not there at all.
    """
    names = [name for name in NAMES if name != LO_FORWARDING6 or _path(name).exists()]
    return tuple(_observe(name, _change(name, changes)) for name in names)


def _change(name: str, changes: Changes) -> SysctlChange | None:
    """What we made of it, be it that the kernel did so when ip_forward changed."""
    along = changes.forwarding.get(name.replace(".", "/"))
    return changes.sysctls.get(name) or along


def _observe(name: str, change: SysctlChange | None) -> Sysctl:
    value = read(name)
    if change is None:
        return Sysctl(name, value, value)
    if value == change.ours:
        return Sysctl(name, value, change.original)
    # Somebody else changed it since: that is the owner's word now, less our part of a list.
    if name == RESERVED_PORTS:
        return Sysctl(name, value, portset.without(value, change.ours, change.original))
    return Sysctl(name, value, value)
