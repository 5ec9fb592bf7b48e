# SPDX-License-Identifier: GPL-2.0-or-later
"""What the kernel would do with a packet to an address, in the words that the worker has for it.

The kernel is asked for the route that matches (`ip route get fibmatch`), with all its next hops,
and for its neighbours. What both say is one or several ways, by the flow.
"""

import errno
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from hybrid_gateway.lab.namespaces import entered
from hybrid_gateway.rtnl import (
    HEADER,
    NLM_F_DUMP,
    NLM_F_REQUEST,
    NLMSG_DONE,
    NLMSG_ERROR,
    RTM_GETNEIGH,
    RTM_GETROUTE,
    attributes,
    split,
)
from hybrid_gateway.worker_client import Way
from hybrid_gateway.worker_values import WayKind

IPAddress = IPv4Address | IPv6Address

RTMSG = struct.Struct("=BBBBBBBBI")
NDMSG = struct.Struct("=BBHiHBB")
NEXTHOP = struct.Struct("=HBBi")
RTM_F_FIB_MATCH = 0x2000
RTNH_F_DEAD = 1
RTN_UNICAST, RTN_BLACKHOLE, RTN_THROW = 1, 6, 9
RTN_LOCAL = {2, 3, 4}
RTN_UNREACHABLE = {7, 8}
RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_MULTIPATH, RTA_VIA, RTA_ENCAP_TYPE = 1, 4, 5, 9, 18, 21
NDA_DST, NDA_LLADDR = 1, 2
NUD_USABLE = 0x02 | 0x04 | 0x08 | 0x10 | 0x40 | 0x80
BUFFER = 1 << 17


@dataclass(frozen=True, slots=True)
class Hop:
    ifindex: int
    gateway: IPAddress | None
    weight: int = 1


@dataclass(frozen=True, slots=True)
class Match:
    """The route; of what is no unicast, why."""

    reason: str
    """Empty, or the worker's counter for it."""
    hops: tuple[Hop, ...] = ()


class KernelRoutes:
    """One socket in the namespace; the neighbours are those of the last `look`."""

    def __init__(self, namespace: str, stack: ExitStack) -> None:
        with entered(namespace):
            self._socket = socket.socket(
                socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE
            )
        self._socket.bind((0, 0))
        stack.callback(self._socket.close)
        self._sequence = 0
        self._macs: dict[tuple[int, IPAddress], str] = {}

    def look(self) -> None:
        self._macs = {}
        for family in (socket.AF_INET, socket.AF_INET6):
            body = NDMSG.pack(family, 0, 0, 0, 0, 0, 0)
            for data in self._ask(RTM_GETNEIGH, NLM_F_DUMP, body):
                _, _, _, ifindex, state, _, _ = NDMSG.unpack_from(data, HEADER.size)
                found = dict(attributes(data, HEADER.size + NDMSG.size))
                if state & NUD_USABLE and NDA_DST in found and len(found.get(NDA_LLADDR, b"")) == 6:
                    mac = ":".join(f"{byte:02x}" for byte in found[NDA_LLADDR])
                    self._macs[ifindex, ip_address(found[NDA_DST])] = mac

    def match(self, address: IPAddress) -> Match:
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        packed = address.packed
        body = RTMSG.pack(family, len(packed) * 8, 0, 0, 0, 0, 0, 0, RTM_F_FIB_MATCH)
        body += struct.pack("=HH", 4 + len(packed), RTA_DST) + packed
        try:
            data = self._ask(RTM_GETROUTE, 0, body)[0]
        except OSError as error:
            return Match(_reason_of(error.errno or 0))
        kind = data[HEADER.size + 7]
        flags = RTMSG.unpack_from(data, HEADER.size)[8]
        reason = _reason(kind)
        if reason:
            return Match(reason)
        return Match("", tuple(_hops(data[HEADER.size + RTMSG.size :], flags)))

    def ways(self, address: IPAddress, ours: dict[int, bool]) -> dict[Way, int]:
        """How the packet would go, with weights. `ours`: ifindexes, and which are bridges.

        Without what the worker alone knows: MTUs and its own MAC addresses.
        """
        match = self.match(address)
        if match.reason:
            kind = WayKind.DROP if match.reason.startswith("DROP") else WayKind.PUNT
            return {Way(kind, match.reason, 0, 0, "", ""): 1}
        ways: dict[Way, int] = {}
        for hop in match.hops:
            way = self._way(hop, address, ours)
            ways[way] = ways.get(way, 0) + hop.weight
        return ways

    def _way(self, hop: Hop, address: IPAddress, ours: dict[int, bool]) -> Way:
        if hop.ifindex not in ours:
            return Way(WayKind.PUNT, "PUNT_OTHER_DEVICE", 0, 0, "", "")
        mac = self._macs.get((hop.ifindex, hop.gateway or address))
        if not mac:
            return Way(WayKind.PUNT, "PUNT_NEIGHBOUR", hop.ifindex, 0, "", "")
        kind = WayKind.BRIDGE if ours[hop.ifindex] else WayKind.PORT
        return Way(kind, "", hop.ifindex, 0, mac, "")

    def _ask(self, kind: int, flags: int, body: bytes) -> list[bytes]:
        self._sequence += 1
        head = HEADER.pack(HEADER.size + len(body), kind, NLM_F_REQUEST | flags, self._sequence, 0)
        self._socket.send(head + body)
        answers: list[bytes] = []
        while True:
            for answer, _, number, data in split(self._socket.recv(BUFFER)):
                if number != self._sequence:
                    continue
                if answer == NLMSG_ERROR:
                    (code,) = struct.unpack_from("=i", data, HEADER.size)
                    raise OSError(-code, "the kernel has no answer")
                if answer == NLMSG_DONE:
                    return answers
                answers.append(data)
                if flags != NLM_F_DUMP:
                    return answers


def _reason(kind: int) -> str:
    if kind in RTN_LOCAL:
        return "PUNT_LOCAL"
    if kind in RTN_UNREACHABLE:
        return "PUNT_UNREACHABLE"
    if kind == RTN_BLACKHOLE:
        return "DROP_BLACKHOLE"
    return "" if kind == RTN_UNICAST else "PUNT_NO_ROUTE"


def _reason_of(number: int) -> str:
    if number in (errno.EHOSTUNREACH, errno.EACCES):
        return "PUNT_UNREACHABLE"
    return "DROP_BLACKHOLE" if number == errno.EINVAL else "PUNT_NO_ROUTE"


def _gateway(found: dict[int, bytes]) -> IPAddress | None:
    if RTA_GATEWAY in found:
        return ip_address(found[RTA_GATEWAY])
    return ip_address(found[RTA_VIA][2:]) if RTA_VIA in found else None


def _hops(data: bytes, flags: int) -> Iterator[Hop]:
    found = dict(attributes(data))
    if RTA_MULTIPATH not in found:
        if not flags & RTNH_F_DEAD:
            (ifindex,) = struct.unpack("=I", found[RTA_OIF])
            yield Hop(ifindex, _gateway(found))
        return
    several = found[RTA_MULTIPATH]
    while several:
        length, flags, weight, ifindex = NEXTHOP.unpack_from(several)
        if not flags & RTNH_F_DEAD:
            inside = dict(attributes(several[NEXTHOP.size : length]))
            yield Hop(ifindex, _gateway(inside), weight + 1)
        several = several[(length + 3) & ~3 :]


def reduced(way: Way) -> Way:
    """Of the worker's answer, what `KernelRoutes.ways` knows too."""
    ifindex = way.ifindex if way.reason in ("", "PUNT_NEIGHBOUR") else 0
    return Way(way.kind, way.reason, ifindex, 0, way.mac, "")
