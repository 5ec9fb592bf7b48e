# SPDX-License-Identifier: GPL-2.0-or-later
"""Who may do what over a socket of ours, as the kernel tells who is at the other end.

Root and the group gw-admin change things, the group gw looks at them.
"""

import contextlib
import grp
import os
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

ADMIN_GROUP = "gw-admin"
READ_GROUP = "gw"

# SO_PEERCRED has the primary group only; this has the supplementary ones. Python lacks the name.
SO_PEERGROUPS = 59
_GROUPS_MAX = 256  # what Python's getsockopt can return

# struct posix_acl_xattr_header and its entries, <linux/posix_acl_xattr.h>.
_ACL_VERSION = 2
_ACL_USER_OBJ, _ACL_GROUP_OBJ, _ACL_GROUP, _ACL_MASK, _ACL_OTHER = 0x01, 0x04, 0x08, 0x10, 0x20
_ACL_READ_WRITE = 6
_ACL_NO_ID = 0xFFFFFFFF


class Access(IntEnum):
    """What a peer may do; each includes the ones before it."""

    NONE = 0
    READ = 1
    WRITE = 2


def group_id(name: str) -> int | None:
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        return None


def access_of(uid: int, groups: set[int]) -> Access:
    """The daemon's own user counts as root, so that it can be run and tested without being root."""
    if uid in (0, os.geteuid()) or group_id(ADMIN_GROUP) in groups:
        return Access.WRITE
    return Access.READ if group_id(READ_GROUP) in groups else Access.NONE


def peer_access(connection: socket.socket) -> Access:
    """What the process that connected may do; NONE when the kernel does not tell who it is."""
    peer = _peer(connection)
    if peer is None:
        return Access.NONE
    uid, gid = peer
    groups = {gid}
    # Fails for a peer in more groups than fit: then only its primary group counts.
    with contextlib.suppress(OSError):
        raw = connection.getsockopt(socket.SOL_SOCKET, SO_PEERGROUPS, 4 * _GROUPS_MAX)
        groups.update(struct.unpack(f"{len(raw) // 4}I", raw))
    return access_of(uid, groups)


def root_access(connection: socket.socket) -> Access:
    """As peer_access, of a socket that no group may use."""
    peer = _peer(connection)
    return Access.WRITE if peer and peer[0] in (0, os.geteuid()) else Access.NONE


def _peer(connection: socket.socket) -> tuple[int, int] | None:
    """The user and the primary group at the other end."""
    try:
        size = struct.calcsize("iII")
        raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
        _, uid, gid = struct.unpack("iII", raw)
    except (OSError, struct.error):
        return None
    return uid, gid


def restrict(path: Path) -> None:
    """Let root and both groups connect, and nobody else."""
    groups = [gid for gid in (group_id(READ_GROUP), group_id(ADMIN_GROUP)) if gid is not None]
    path.chmod(0o660 if groups else 0o600)
    if not groups or os.geteuid() != 0:
        return
    os.chown(path, 0, groups[0])
    if len(groups) == 1:
        return
    # A file has one group; the second needs an ACL.
    entries = (
        (_ACL_USER_OBJ, _ACL_READ_WRITE, _ACL_NO_ID),
        (_ACL_GROUP_OBJ, _ACL_READ_WRITE, _ACL_NO_ID),
        (_ACL_GROUP, _ACL_READ_WRITE, groups[1]),
        (_ACL_MASK, _ACL_READ_WRITE, _ACL_NO_ID),
        (_ACL_OTHER, 0, _ACL_NO_ID),
    )
    acl = struct.pack("<I", _ACL_VERSION) + b"".join(struct.pack("<HHI", *e) for e in entries)
    # Debian's /run has ACLs; without them, members of gw-admin have to be in gw as well.
    with contextlib.suppress(OSError):
        os.setxattr(path, "system.posix_acl_access", acl)


@dataclass(frozen=True, slots=True)
class Admission:
    """Who may use a socket."""

    who: str
    """In words, for whoever may not."""
    peer_access: Callable[[socket.socket], Access]
    restrict: Callable[[Path], None]
    """What is done to the socket's file, which only its owner can use until then."""


BY_GROUP = Admission("root and the groups gw-admin and gw", peer_access, restrict)
ROOT_ONLY = Admission("root", root_access, lambda path: path.chmod(0o600))
