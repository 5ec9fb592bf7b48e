# SPDX-License-Identifier: GPL-2.0-or-later
"""Which devices the owner's way into this machine goes through."""

import contextlib
import socket
import struct
from collections.abc import Collection, Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

from ..model import IPAddress
from ..netlink import Netlink
from ..rtnl import HEADER, RTM_GETNEIGH, RTM_GETROUTE, Rtnl, attributes
from . import messages, routing
from .capture import AF_BRIDGE, links
from .messages import NEIGHBOUR
from .routing import ROUTE, RTN_UNICAST

PROC = Path("/proc")
SSH = (b"sshd", b"sshd-session", b"sshd-auth", b"dropbear", b"tinysshd")
"""Bytes: what others call their processes need not be text, nor cut between two characters."""
SSH_PORT = 22
"""Without CAP_SYS_PTRACE the kernel does not tell us of the sockets of processes that have more
capabilities than we: those at this port are taken for an SSH server's all the same."""
ESTABLISHED = "01"
RT_TABLE_MAIN = 254


class WaysIn:
    """As things are now, in this network namespace."""

    def __init__(self, rtnl: Rtnl) -> None:
        self._rtnl = rtnl
        self._links = links(rtnl)

    def session(self, ifindex: int, sessions: Iterable[IPAddress]) -> IPAddress | None:
        """The peer of an SSH session that comes by the device: one of these, or of sshd's."""
        netlink = Netlink()
        try:
            for peer in (*sessions, *ssh_peers()):
                if any(self._by(ifindex, *way) for way in self._ways(netlink, peer)):
                    return peer
        finally:
            netlink.close()
        return None

    def _ways(self, netlink: Netlink, peer: IPAddress) -> Iterator[tuple[int, IPAddress]]:
        """(ifindex, neighbour) by which packets to the peer leave. Every device has a route to
        a link-local address: it is where the kernel knows it for a neighbour."""
        if peer.version == 6 and peer.is_link_local:
            for index, attrs in self._neighbours(socket.AF_INET6):
                if attrs.get(messages.NDA_DST) == peer.packed:
                    yield index, peer
            return
        way = netlink.way(peer)
        if way and not way.local:
            yield way.ifindex, way.gateway or peer

    def _neighbours(self, family: int) -> Iterator[tuple[int, dict[int, bytes]]]:
        """(ifindex, attributes) of each."""
        for data in self._rtnl.dump_body(RTM_GETNEIGH, NEIGHBOUR.pack(family, 0, 0, 0, 0)):
            index = int(NEIGHBOUR.unpack_from(data, HEADER.size)[1])
            yield index, dict(attributes(data, HEADER.size + NEIGHBOUR.size))

    def last_default(self, ifindex: int, others: Collection[int] = ()) -> str | None:
        """ "IPv4" or "IPv6", when a default route of that family leaves by the device, and none by
        any that is not one of `others`."""
        for family, name in ((socket.AF_INET, "IPv4"), (socket.AF_INET6, "IPv6")):
            ways = list(self._defaults(family))
            left = [way for way in ways if not self._by(ifindex, *way)]
            if len(left) < len(ways) and all(
                any(self._by(o, *way) for o in others) for way in left
            ):
                return name
        return None

    def _defaults(self, family: int) -> Iterator[tuple[int, IPAddress | None]]:
        for data in self._rtnl.dump_body(RTM_GETROUTE, ROUTE.pack(family, *[0] * 8)):
            one = messages.fields(ROUTE, data[HEADER.size :])
            _, bits, _, _, table, _, _, kind, _ = one.head
            table = messages.u32(one.get(routing.RTA_TABLE)) or table
            if bits or kind != RTN_UNICAST or table != RT_TABLE_MAIN:
                continue
            if not one.get(routing.RTA_MULTIPATH):
                via = one.get(routing.RTA_GATEWAY)
                yield (
                    messages.u32(one.get(routing.RTA_OIF)),
                    ip_address(via) if via else None,
                )
            for _, _, out, rest in routing.hops(one.get(routing.RTA_MULTIPATH)):
                via = dict(attributes(rest)).get(routing.RTA_GATEWAY, b"")
                yield out, ip_address(via) if via else None

    def _by(self, ifindex: int, out: int, neighbour: IPAddress | None) -> bool:
        """Whether what leaves by `out` to that neighbour goes through the device, be it below or
        as the port of a bridge; when nobody knows which port, it might. Out of 0: nobody knows
        anything, as of a route whose next hop object the kernel does not spell out."""
        lowest = self._lowest(out, ifindex)
        if lowest in (0, ifindex):
            return True
        own = self._links.get(ifindex)
        if own is None or not own.master or own.master != lowest:
            return False
        port = self._station_port(lowest, self._mac(out, neighbour)) if neighbour else 0
        return port in (0, ifindex)

    def _lowest(self, out: int, ifindex: int) -> int:
        """What a device is made on, as a VLAN is; down to a port, or to the device itself."""
        while out != ifindex:
            link = self._links.get(out)
            if link is None or not link.lower or link.kind == "veth":
                break
            out = link.lower
        return out

    def _mac(self, out: int, address: IPAddress) -> bytes:
        """Of a neighbour, where it is known; else empty."""
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        for index, attrs in self._neighbours(family):
            if index == out and attrs.get(messages.NDA_DST) == address.packed:
                return attrs.get(messages.NDA_LLADDR, b"")
        return b""

    def _station_port(self, bridge: int, mac: bytes) -> int:
        """ifindex of the port that the FDB has for a MAC address; 0: none."""
        for index, attrs in self._neighbours(AF_BRIDGE):
            of_bridge = messages.u32(attrs.get(messages.NDA_MASTER, b"")) == bridge
            if mac and of_bridge and attrs.get(messages.NDA_LLADDR) == mac:
                return index
        return 0


def ssh_peers() -> set[IPAddress]:
    """Who has a connection to an SSH server of this network namespace."""
    inodes = _sockets_of(SSH)
    found: set[IPAddress] = set()
    for table in ("tcp", "tcp6"):
        for line in _lines(PROC / "thread-self" / "net" / table)[1:]:
            columns = line.split()
            if len(columns) < 10 or columns[3] != ESTABLISHED:
                continue
            port = int(columns[1].split(":")[1], 16)
            if port == SSH_PORT or columns[9] in inodes:
                found.add(_address(columns[2].split(":")[0]))
    return found


def _sockets_of(names: tuple[bytes, ...]) -> set[str]:
    """Inodes of the sockets of all processes with such a name."""
    inodes = set()
    for process in PROC.glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (process / "comm").read_bytes().strip() not in names:
                continue
            for handle in (process / "fd").iterdir():
                with contextlib.suppress(OSError):
                    target = str(handle.readlink())
                    if target.startswith("socket:["):
                        inodes.add(target[len("socket:[") : -1])
    return inodes


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []


def _address(text: str) -> IPAddress:
    """The kernel prints words of 32 bits as the machine has them."""
    words = [int(text[at : at + 8], 16) for at in range(0, len(text), 8)]
    packed = struct.pack(f"={len(words)}I", *words)
    if len(words) == 1:
        return IPv4Address(packed)
    six = IPv6Address(packed)
    return six.ipv4_mapped or six
