# SPDX-License-Identifier: GPL-2.0-or-later
"""Neighbours whose link goes down: they are given up at once, not when their hold time is over.

That is for neighbours on a link of ours, without a router in between. If the kernel knows another
way to one of them, its session may live on, and is left alone.
"""

import contextlib
import logging
import os
import select
import socket
import struct
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from ..errors import KernelError
from ..model import IPAddress
from ..rtnl import (
    HEADER,
    RTM_DELLINK,
    RTM_GETROUTE,
    RTM_NEWLINK,
    RTNLGRP_LINK,
    EventSocket,
    Rtnl,
    attributes,
)

log = logging.getLogger(__name__)

ROUTE, LINK = struct.Struct("=BBBBBBBBI"), struct.Struct("=BBHiII")
"""struct rtmsg, struct ifinfomsg."""
ATTRIBUTE = struct.Struct("=HH")
RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_MULTIPATH, RTA_VIA, RTA_NH_ID = 1, 4, 5, 9, 18, 30
RTM_F_FIB_MATCH = 0x2000
"""The kernel answers with the route that it found, not with the address that was asked for."""
READY = 0x41
"""IFF_UP and IFF_RUNNING: a link that can carry something."""


@dataclass(frozen=True, slots=True)
class Way:
    """How the kernel reaches an address."""

    device: int
    """ifindex; 0: by several, or none of its own."""
    direct: bool
    """The address is on the link."""
    default: bool
    """Only as any other address is reached."""


def way_to(rtnl: Rtnl, address: IPAddress) -> Way | None:
    """None: there is none."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    body = ROUTE.pack(family, address.max_prefixlen, 0, 0, 0, 0, 0, 0, RTM_F_FIB_MATCH)
    packed = address.packed
    body += ATTRIBUTE.pack(ATTRIBUTE.size + len(packed), RTA_DST) + packed
    try:
        answer = rtnl.ask_body(RTM_GETROUTE, body)
    except KernelError:
        return None
    length = ROUTE.unpack_from(answer, HEADER.size)[1]
    found = dict(attributes(answer, HEADER.size + ROUTE.size))
    through = found.keys() & {RTA_GATEWAY, RTA_VIA, RTA_MULTIPATH, RTA_NH_ID}
    device = int.from_bytes(found.get(RTA_OIF, b""), sys.byteorder)
    return Way(device, device != 0 and not through, length == 0)


def links_of(events: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, bool]]:
    """The (ifindex, whether it can carry anything) that a link has from now on."""
    for kind, message in events:
        if kind in (RTM_NEWLINK, RTM_DELLINK) and len(message) >= HEADER.size + LINK.size:
            family, _, _, ifindex, flags, _ = LINK.unpack_from(message, HEADER.size)
            # Bridges tell of their ports under a family of their own.
            if family == socket.AF_UNSPEC:
                yield ifindex, kind == RTM_NEWLINK and flags & READY == READY


class Fallover:
    """Follows links in a thread, in the network namespace of whoever makes it.

    `cut` is called in that thread with neighbours whose link is down, once for each time.
    """

    def __init__(self, cut: Callable[[frozenset[IPAddress]], None]) -> None:
        self._cut = cut
        self._lock = threading.Lock()
        self._rtnl = Rtnl()
        self._events = EventSocket(socket.NETLINK_ROUTE, (RTNLGRP_LINK,))
        self._end = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._ways: dict[IPAddress, int] = {}
        """Of neighbours with a session, on which link they are, by ifindex."""
        self._thread = threading.Thread(target=self._run, name="evpn-links", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        os.eventfd_write(self._end, 1)
        if self._thread.ident:
            self._thread.join()
        self._events.close()
        self._rtnl.close()
        os.close(self._end)

    def follow(self, neighbors: Iterable[IPAddress]) -> None:
        """Those that have a session now, and none else; ways are looked up anew each time."""
        with self._lock:
            ways = {address: way_to(self._rtnl, address) for address in neighbors}
            before = self._ways
            self._ways = {
                address: way.device if way and way.direct else before[address]
                for address, way in ways.items()
                # One whose link went a moment ago is not reached directly any more.
                if (way and way.direct) or (address in before and (not way or way.default))
            }

    def _run(self) -> None:
        with select.epoll() as poll:
            poll.register(self._events.fileno(), select.EPOLLIN)
            poll.register(self._end, select.EPOLLIN)
            while self._end not in {fd for fd, _ in poll.poll()}:
                with contextlib.suppress(OSError):
                    events, _ = self._events.read()
                    self._take({ifindex for ifindex, ready in links_of(events) if not ready})

    def _take(self, down: set[int]) -> None:
        with self._lock:
            concerned = [one for one, device in self._ways.items() if device in down]
            lost = frozenset(one for one in concerned if not self._other_way(one, down))
            for one in lost:
                del self._ways[one]
        if lost:
            self._cut(lost)

    def _other_way(self, address: IPAddress, down: set[int]) -> bool:
        """A default route counts for none: the neighbour was on the link."""
        way = way_to(self._rtnl, address)
        return way is not None and not way.default and way.device not in down
