# SPDX-License-Identifier: GPL-2.0-or-later
"""Persistent TAPs: they stay when nobody has them open, and so does what is configured on them."""

import fcntl
import hashlib
import os
import socket
import struct
from pathlib import Path

from ..errors import DeviceError, KernelError
from ..rtnl import RTM_DELLINK, RTM_NEWLINK, Rtnl
from . import messages, networkd
from .capture import IFLA_ADDRESS, IFLA_IFNAME, link_named, links

DEVICE = "/dev/net/tun"
TUNSETIFF, TUNSETPERSIST, TUNSETCARRIER = 0x400454CA, 0x400454CB, 0x400454E2
IFF_TAP, IFF_NO_PI, IFF_TUN_EXCL = 0x0002, 0x1000, 0x8000
REQUEST = struct.Struct("=16sH22x")
NAME_MAX = 15
NEWBORN = "gw-new%d"
"""What a TAP is called until it has its name."""


def create(rtnl: Rtnl, name: str, mac: str) -> int:
    """Makes it, down and without carrier, and returns its ifindex; its MAC address stays.

    Nobody sees it by its name without its MAC address: whoever configures devices by their names
    would begin with another one. DeviceError when the name is taken or cannot be one.
    """
    if not 0 < len(name.encode()) <= NAME_MAX or "/" in name or name != name.strip():
        raise DeviceError(f"{name!r} cannot be the name of a device", code="device.name")
    try:
        with open(DEVICE, "r+b", buffering=0) as file:
            request = REQUEST.pack(NEWBORN.encode(), IFF_TAP | IFF_NO_PI | IFF_TUN_EXCL)
            born = REQUEST.unpack(fcntl.ioctl(file, TUNSETIFF, request))[0].split(b"\0")[0]
            # An open TAP has carrier by default; this one's is its port's, and the worker's word.
            fcntl.ioctl(file, TUNSETCARRIER, struct.pack("=I", 0))
            ifindex = socket.if_nametoindex(born.decode())
            _set_mac(rtnl, ifindex, mac, messages.text(IFLA_IFNAME, name))
            # Last: whoever is killed before leaves nothing behind.
            fcntl.ioctl(file, TUNSETPERSIST, 1)
        # udev may have begun before the address was ours, and a TAP is born with one at random,
        # which on most systems udev replaces. What networkd.announce() says against that it may
        # not have heard; it is certain that it changes none later.
        networkd.settle_udev(ifindex)
        if links(rtnl)[ifindex].mac != mac:
            _set_mac(rtnl, ifindex, mac)
    except KernelError as error:
        raise DeviceError(f"making the TAP {name}: {error}", code="device.tap") from error
    except OSError as error:
        raise DeviceError(f"making the TAP {name}: {error.strerror}", code="device.tap") from error
    except KeyError:
        raise DeviceError(f"the TAP {name} is gone already", code="device.tap") from None
    return ifindex


def _set_mac(rtnl: Rtnl, ifindex: int, mac: str, *more: bytes) -> None:
    address = messages.attribute(IFLA_ADDRESS, bytes.fromhex(mac.replace(":", "")))
    rtnl.request_raw(RTM_NEWLINK, 0, messages.link(ifindex, address, *more))


def delete(rtnl: Rtnl, name: str) -> bool:
    """Removes it, open or not; False: there is none. Never a device of another kind."""
    found = link_named(rtnl, name)
    if found is None or not is_tap(found.kind):
        return False
    try:
        rtnl.request_raw(RTM_DELLINK, 0, messages.link(found.ifindex))
    except KernelError as error:
        raise DeviceError(f"removing the TAP {name}: {error}", code="device.tap") from error
    return True


def is_tap(kind: str) -> bool:
    return kind == "tun"


def made_up_mac(name: str) -> str:
    """Locally administered, and the same each time for one name on one machine."""
    try:
        machine = Path("/etc/machine-id").read_text().strip()
    except OSError:
        machine = os.uname().nodename
    digest = hashlib.sha256(f"{machine}/{name}".encode()).digest()
    return bytes([digest[0] & 0xFC | 0x02, *digest[1:6]]).hex(":")


def bring_up(rtnl: Rtnl, ifindex: int) -> None:
    rtnl.request_raw(RTM_NEWLINK, 0, messages.link(ifindex, flags=1, change=1))
