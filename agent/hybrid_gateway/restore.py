# SPDX-License-Identifier: GPL-2.0-or-later
"""What was changed on the host and has to be put back, kept across restarts of the agent.

The record belongs to one boot and one network namespace: in any other the changes are gone,
and putting "back" what was noted there would be a change of its own.
"""

import contextlib
import json
import os
import socket
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from .errors import GwError
from .model import NextHop, Offload

SO_NETNS_COOKIE = 71
VERSION = 1


def write_atomically(path: Path, data: bytes) -> None:
    """The file has the old content or the new, even when the power goes; GwError when it cannot
    have the new one, for the disk is full, for example."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
    fresh = path.with_name(f".{path.name}.new")
    try:
        with open(fresh, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        fresh.rename(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            fresh.unlink(missing_ok=True)
        raise GwError(f"{path} cannot be written: {error.strerror}", code="disk") from error
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def where_we_are() -> str:
    """Names this boot and this network namespace."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as probe:
        try:
            namespace = probe.getsockopt(socket.SOL_SOCKET, SO_NETNS_COOKIE, 8).hex()
        except OSError:
            namespace = str(Path("/proc/self/ns/net").stat().st_ino)
    return f"{boot}/{namespace}"


@dataclass(frozen=True, slots=True)
class SysctlChange:
    """A setting before us, and what we made of it."""

    original: str
    ours: str


@dataclass(slots=True)
class Changes:
    """Everything to put back; all the rest of our doing is found again by its pins and names."""

    sysctls: dict[str, SysctlChange] = field(default_factory=dict)
    forwarding: dict[str, SysctlChange] = field(default_factory=dict)
    """What the kernel changed along with ip_forward: see forwarding.py."""
    offloads: set[Offload] = field(default_factory=set)
    managed: set[NextHop] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.sysctls or self.offloads or self.managed)


class RestoreFile:
    """The changes, in a file that is as new as they are."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._place = where_we_are()
        self.accepted: frozenset[str] = frozenset()
        """Ports that the owner lets the worker have although they may be the only way in. Unlike
        the changes it outlives the boot, which must not refuse what was accepted."""
        self.changes = self._load()

    def _load(self) -> Changes:
        try:
            stored = json.loads(self._path.read_bytes())
            self.accepted = frozenset(map(str, stored.get("accepted", ())))
            if stored["version"] != VERSION or stored["place"] != self._place:
                return Changes()
            return _changes(stored)
        except FileNotFoundError:
            return Changes()
        except (ValueError, KeyError, TypeError) as error:
            raise GwError(
                f"{self._path}: not a record of this agent ({error}); look at it, then remove it",
                code="state.damaged",
            ) from error

    def save(self) -> None:
        changes = self.changes
        stored = {
            "version": VERSION,
            "place": self._place,
            "sysctls": _stored(changes.sysctls),
            "forwarding": _stored(changes.forwarding),
            "offloads": [
                [offload.ifindex, offload.device, offload.feature, offload.on]
                for offload in sorted(changes.offloads)
            ],
            "accepted": sorted(self.accepted),
            "managed": [[hop.ifindex, str(hop.address)] for hop in sorted(changes.managed)],
        }
        write_atomically(self._path, json.dumps(stored, indent=1).encode() + b"\n")

    def accept(self, ports: frozenset[str]) -> None:
        """These and no others."""
        if ports != self.accepted:
            self.accepted = ports
            self.save()

    def remove(self) -> None:
        """Forgets everything, and the directory too when nothing else is in it."""
        self.changes, self.accepted = Changes(), frozenset()
        self._path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self._path.parent.rmdir()


def _stored(sysctls: dict[str, SysctlChange]) -> dict[str, dict[str, str]]:
    return {
        name: {"original": change.original, "ours": change.ours}
        for name, change in sorted(sysctls.items())
    }


def _sysctls(stored: dict[str, Any]) -> dict[str, SysctlChange]:
    return {
        name: SysctlChange(str(change["original"]), str(change["ours"]))
        for name, change in stored.items()
    }


def _changes(stored: dict[str, Any]) -> Changes:
    return Changes(
        _sysctls(stored["sysctls"]),
        _sysctls(stored.get("forwarding", {})),
        {
            Offload(int(ifindex), str(device), str(feature), bool(on))
            for ifindex, device, feature, on in stored["offloads"]
        },
        {NextHop(int(ifindex), ip_address(address)) for ifindex, address in stored["managed"]},
    )
