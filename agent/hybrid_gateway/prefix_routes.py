# SPDX-License-Identifier: GPL-2.0-or-later
"""Which of the prefixes that EVPN is to advertise the kernel has routes for."""

import errno
import socket
from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network

from .errors import KernelError
from .events import ROUTE_FAMILY, ROUTE_HEADER, ROUTE_LENGTH, RTA_DST
from .model import IPNetwork
from .rtnl import RTM_GETROUTE, Rtnl, attributes

ROUTE_PROTOCOL = 16 + 5
"""rtm_protocol, behind the message's header."""
FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}


class PrefixRoutes:
    """A socket of its own, opened when there is something to ask."""

    def __init__(self) -> None:
        self._rtnl: Rtnl | None = None

    def close(self) -> None:
        if self._rtnl:
            self._rtnl.close()
            self._rtnl = None

    def present(
        self, table: int, wanted: Iterable[IPNetwork], unlike: int = 0
    ) -> frozenset[IPNetwork]:
        """Those for which the table has a route, of another protocol (rtm_protocol) than that."""
        asked = frozenset(wanted)
        found: set[IPNetwork] = set()
        for version in {prefix.version for prefix in asked}:
            for data in self._dump(table, FAMILIES[version]):
                prefix = _prefix(data)
                if prefix in asked and data[ROUTE_PROTOCOL] != unlike:
                    found.add(prefix)
        return frozenset(found)

    def _dump(self, table: int, family: int) -> list[bytes]:
        self._rtnl = self._rtnl or Rtnl()
        try:
            return self._rtnl.dump_raw(RTM_GETROUTE, ("RTA_TABLE", table), family=family)
        except KernelError as error:
            if error.errno == errno.ENOENT:
                return []  # a table in which there never was a route
            raise


def _prefix(data: bytes) -> IPNetwork:
    """The destination of a route message."""
    kind = IPv4Network if data[ROUTE_FAMILY] == socket.AF_INET else IPv6Network
    size = 4 if kind is IPv4Network else 16
    attrs = dict(attributes(data, ROUTE_HEADER))
    return kind((attrs.get(RTA_DST, bytes(size)), data[ROUTE_LENGTH]), strict=False)
