# SPDX-License-Identifier: GPL-2.0-or-later
"""What the kernel knows about links, addresses, routes and neighbours; and the few changes to it.

Everything is read in the network namespace that the process is in.
"""

import contextlib
import errno
import socket
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Interface, ip_address
from pathlib import Path
from typing import Any

from .errors import KernelError
from .link_messages import read_links
from .model import Address, Address6, IPAddress, Link, NextHop, Route
from .rtnl import (
    HEADER,
    NLM_F_CREATE,
    NLM_F_REPLACE,
    RTM_GETADDR,
    RTM_GETNEIGH,
    RTM_GETQDISC,
    RTM_GETROUTE,
    RTM_GETRULE,
    RTM_NEWNEIGH,
    Rtnl,
    attributes,
)

AF_BRIDGE = 7
IFA_F_SECONDARY = IFA_F_TEMPORARY = 1
IFA_F_DADFAILED, IFA_F_DEPRECATED, IFA_F_TENTATIVE = 0x08, 0x20, 0x40
RTN_UNICAST, RTN_LOCAL = 1, 2
RTM_F_CLONED = 0x200
RT_TABLE_LOCAL = 255
NTF_USE = 0x01
NTF_EXT_MANAGED = 1 << 0
NUD_NONE = 0x00
NUD_REACHABLE = 0x02
NUD_STALE = 0x04
NUD_DELAY = 0x08
NUD_NOARP = 0x40
NUD_PERMANENT = 0x80
TC_H_ROOT = 0xFFFFFFFF
RULE_HEADER = 12
FRA_SPORT_RANGE = 23
HASH_POLICIES = tuple(
    Path(f"/proc/sys/net/{family}/fib_multipath_hash_policy") for family in ("ipv4", "ipv6")
)
"""0: several next hops are chosen among by addresses alone."""
GONE = (errno.ENODEV, errno.ENOENT, errno.ENXIO, errno.EINVAL, errno.ENETDOWN)
"""What the kernel says about a neighbour whose device has left or is down."""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """One entry of a neighbour table; mac is empty while it is not known."""

    ifindex: int
    address: IPAddress
    mac: bytes
    state: int
    managed: bool = False


@dataclass(frozen=True, slots=True)
class Way:
    """Where the kernel would send a packet to one address; gateway None: it is on the link."""

    ifindex: int
    gateway: IPAddress | None = None
    local: bool = False
    """An address of this host."""
    source: IPAddress | None = None
    """What a packet of this host's would be sent from."""


@dataclass(frozen=True, slots=True)
class Qdisc:
    """The root queueing discipline of a device."""

    ifindex: int
    kind: str


def mac_bytes(text: str | None) -> bytes:
    """ "aa:bb:…" as bytes; empty for anything that is not six bytes long."""
    try:
        value = bytes.fromhex((text or "").replace(":", ""))
    except ValueError:
        return b""
    return value if len(value) == 6 else b""


class Netlink:
    """Typed dumps and requests over one socket."""

    def __init__(self) -> None:
        self._rtnl = Rtnl()

    def close(self) -> None:
        self._rtnl.close()

    # ---- dumps ------------------------------------------------------------------------

    def links(self) -> tuple[Link, ...]:
        return read_links(self._rtnl)

    def addresses(self) -> tuple[Address, ...]:
        """IPv4, of all devices, in the kernel's order: the primary ones come first."""
        found = []
        for message in self._rtnl.dump(RTM_GETADDR, family=socket.AF_INET):
            local = message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS")
            if not local:
                continue
            address = IPv4Interface(f"{local}/{message['prefixlen']}")
            secondary = bool(message["flags"] & IFA_F_SECONDARY)
            found.append(Address(message["index"], address, secondary))
        return tuple(found)

    def addresses6(self) -> tuple[Address6, ...]:
        """IPv6, of all devices, but for those that are not the host's yet or never will be."""
        found = []
        for message in self._rtnl.dump(RTM_GETADDR, family=socket.AF_INET6):
            local = message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS")
            flags = message.get_attr("IFA_FLAGS") or message["flags"]
            if not local or flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED):
                continue
            address = IPv6Interface(f"{local}/{message['prefixlen']}")
            temporary = bool(flags & (IFA_F_TEMPORARY | IFA_F_DEPRECATED))
            found.append(Address6(message["index"], address, temporary))
        return tuple(found)

    def routes(self, ifindexes: frozenset[int]) -> tuple[Route, ...]:
        """IPv4 unicast routes, of all tables, that leave by one of the devices."""
        found: dict[Route, None] = {}
        for ifindex in sorted(ifindexes):
            try:
                answers = self._rtnl.dump(RTM_GETROUTE, ("RTA_OIF", ifindex), family=socket.AF_INET)
            except KernelError as error:
                if error.errno in GONE:
                    continue
                raise
            for message in answers:
                for route in _routes(message):
                    if route.ifindex in ifindexes:
                        found[route] = None
        return tuple(found)

    def way(
        self, destination: IPAddress, source: IPAddress | None = None, ingress: int = 0
    ) -> Way | None:
        """The route of a packet of this host's, or of one that came in at `ingress`; None: none."""
        bits = destination.max_prefixlen
        attrs: list[tuple[str, Any]] = [("RTA_DST", str(destination))]
        if source:
            attrs.append(("RTA_SRC", str(source)))
        if ingress:
            attrs.append(("RTA_IIF", ingress))
        try:
            found = self._rtnl.ask(
                RTM_GETROUTE,
                *attrs,
                family=family_of(destination),
                dst_len=bits,
                src_len=bits if source else 0,
            )
        except KernelError:
            return None
        if found["type"] not in (RTN_UNICAST, RTN_LOCAL):
            return None
        gateway, sent_from = _gateway(found), found.get_attr("RTA_PREFSRC")
        return Way(
            found.get_attr("RTA_OIF") or 0,
            gateway,
            found["type"] == RTN_LOCAL,
            ip_address(sent_from) if sent_from else None,
        )

    def any_path(self) -> bool:
        """Whether the way of a packet may hang on its UDP ports."""
        if any(policy.read_text().strip() != "0" for policy in HASH_POLICIES if policy.exists()):
            return True
        return any(
            kind == FRA_SPORT_RANGE
            for family in (socket.AF_INET, socket.AF_INET6)
            for data in self._rtnl.dump_raw(RTM_GETRULE, family=family)
            for kind, _ in attributes(data, HEADER.size + RULE_HEADER)
        )

    def neighbours(self, ifindex: int, family: int = socket.AF_INET) -> tuple[Neighbour, ...]:
        """The neighbours on one device, of one address family."""
        found = self._dump_neighbours(("NDA_IFINDEX", ifindex), family=family)
        return tuple(
            Neighbour(
                message["ifindex"],
                ip_address(message.get_attr("NDA_DST")),
                mac_bytes(message.get_attr("NDA_LLADDR")),
                message["state"],
                bool((message.get_attr("NDA_FLAGS_EXT") or 0) & NTF_EXT_MANAGED),
            )
            for message in found
            if message.get_attr("NDA_DST") and message["ifindex"] == ifindex
        )

    def _dump_neighbours(self, attr: tuple[str, int], family: int) -> list[Any]:
        try:
            return self._rtnl.dump(RTM_GETNEIGH, attr, family=family)
        except KernelError as error:
            if error.errno in GONE:
                return []
            raise

    def qdiscs(self) -> tuple[Qdisc, ...]:
        return tuple(
            Qdisc(message["index"], message.get_attr("TCA_KIND") or "")
            for message in self._rtnl.dump(RTM_GETQDISC, family=socket.AF_UNSPEC)
            if message["parent"] == TC_H_ROOT
        )

    # ---- changes ----------------------------------------------------------------------

    def manage(self, hop: NextHop) -> None:
        """Has the kernel keep this neighbour resolved and checked for as long as it exists."""
        self._change_neighbour(hop, NUD_NONE, 0, NTF_EXT_MANAGED)

    def unmanage(self, hop: NextHop) -> None:
        """Lets it age like any other; one that has gone meanwhile needs nothing."""
        with contextlib.suppress(KernelError):
            known = self.neighbours(hop.ifindex, family_of(hop.address))
            if any(n.address == hop.address and n.managed for n in known):
                self._change_neighbour(hop, NUD_NONE, NTF_USE, 0)

    def probe(self, hop: NextHop) -> None:
        """Tells the kernel that the neighbour is in use: a stale one gets asked."""
        with contextlib.suppress(KernelError):
            self._change_neighbour(hop, NUD_NONE, NTF_USE, 0)

    def _change_neighbour(
        self,
        hop: NextHop,
        state: int,
        flags: int,
        flags_ext: int,
        how: int = NLM_F_CREATE | NLM_F_REPLACE,
    ) -> None:
        attrs: list[tuple[str, Any]] = [("NDA_DST", str(hop.address))]
        if flags_ext:
            attrs.append(("NDA_FLAGS_EXT", flags_ext))
        self._rtnl.request(
            RTM_NEWNEIGH,
            how,
            *attrs,
            family=family_of(hop.address),
            ifindex=hop.ifindex,
            state=state,
            flags=flags,
        )


def family_of(address: IPAddress) -> int:
    return socket.AF_INET if address.version == 4 else socket.AF_INET6


def _gateway(message: Any) -> IPAddress | None:
    """An IPv4 route may go by an IPv6 router (RFC 5549)."""
    if gateway := message.get_attr("RTA_GATEWAY"):
        return ip_address(gateway)
    via = message.get_attr("RTA_VIA")
    return ip_address(via["addr"]) if via and via.get("addr") else None


def _routes(message: Any) -> list[Route]:
    """One for each next hop."""
    if (
        message["type"] != RTN_UNICAST
        or message["flags"] & RTM_F_CLONED
        or (message.get_attr("RTA_TABLE") or message["table"]) == RT_TABLE_LOCAL
    ):
        return []
    network = message.get_attr("RTA_DST") or "0.0.0.0"
    destination = IPv4Network(f"{network}/{message['dst_len']}", strict=False)
    hops = [
        (hop["oif"], hop.get_attr("RTA_GATEWAY")) for hop in message.get_attr("RTA_MULTIPATH") or ()
    ]
    if not hops:
        hops = [(message.get_attr("RTA_OIF") or 0, message.get_attr("RTA_GATEWAY"))]
    return [
        Route(destination, ifindex, IPv4Address(gateway) if gateway else None)
        for ifindex, gateway in hops
    ]
