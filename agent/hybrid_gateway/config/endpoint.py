# SPDX-License-Identifier: GPL-2.0-or-later
"""Addresses and ports as the file has them: the schema checked their form, this what they mean."""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_network
from typing import TypeVar

from ..model import IPAddress, IPNetwork, PortRange
from .document import Document, Path

PORT_MAX = 65535
A = TypeVar("A", IPv4Address, IPv6Address)


def address(
    document: Document, path: Path, text: str, *, loopback: bool = False
) -> IPv4Address | None:
    """A unicast address that a host can have, or a problem; `loopback`: our own will do."""
    try:
        found = IPv4Address(text)
    except ValueError:
        document.add(path, f"{text} is not an IPv4 address", "config.address")
        return None
    kinds = (
        (found.is_multicast, "a multicast address"),
        (found.is_loopback and not loopback, "a loopback address"),
        (found.is_link_local, "a link-local address, which is never routed"),
        (int(found) >> 24 == 0, "no host's address"),
        (int(found) >> 28 == 15, "a reserved address"),
    )
    return _unless(document, path, text, found, kinds)


def address6(document: Document, path: Path, text: str) -> IPv6Address | None:
    """Likewise, of IPv6."""
    try:
        found = IPv6Address(text)
    except ValueError:
        document.add(path, f"{text} is not an IPv6 address", "config.address")
        return None
    kinds = (
        (found.is_unspecified, "no host's address"),
        (found.is_multicast, "a multicast address"),
        (found.is_loopback, "a loopback address"),
        (found.is_link_local, "a link-local address, which is never routed"),
        (found.ipv4_mapped is not None, "an IPv4 address: write it as one"),
    )
    return _unless(document, path, text, found, kinds)


def _unless(
    document: Document, path: Path, text: str, found: A, kinds: Iterable[tuple[bool, str]]
) -> A | None:
    """The address, or a problem: the first of the kinds that it is of."""
    for applies, what in kinds:
        if applies:
            document.add(path, f"{text} is {what}", "config.address")
            return None
    return found


def either_address(document: Document, path: Path, text: str) -> IPAddress | None:
    """An address of whichever family it looks like."""
    return address6(document, path, text) if ":" in text else address(document, path, text)


def prefix(document: Document, path: Path, text: str) -> IPNetwork | None:
    """A prefix that a route can be to, of either family."""
    try:
        found = ip_network(text)
    except ValueError as error:
        reason = str(error)
        if "host bits" in reason:
            meant = ip_network(text, strict=False)
            message = f"{text} is an address with its prefix length: the prefix is {meant}"
        else:
            message = f"{text} is no prefix"
        document.add(path, message, "config.address")
        return None
    kinds = (
        (found.is_multicast, "of multicast addresses"),
        (found.is_loopback, "of loopback addresses"),
        (found.is_link_local, "of link-local addresses, which are never routed"),
    )
    for applies, what in kinds:
        if applies:
            document.add(path, f"{text} is {what}", "config.address")
            return None
    return found


def ports(
    document: Document, path: Path, *, loopback: bool = False
) -> tuple[IPv4Address | None, PortRange] | None:
    """`ADDRESS:PORT`, `ADDRESS:LOW-HIGH` or either without the address; None: a problem."""
    text = document.get(*path)
    if text is None:
        return None
    host, _, numbers = text.rpartition(":")
    low, _, high = numbers.partition("-")
    found = PortRange(int(low), int(high or low))
    for port in (found.low, found.high):
        if not 1 <= port <= PORT_MAX:
            document.add(path, f"port {port} does not exist; ports are 1 to {PORT_MAX}")
            return None
    if found.low > found.high:
        message = f"{numbers} is empty: {found.low} is above {found.high}"
        document.add(path, message, "config.port-range")
        return None
    if not host:
        return None, found
    where = address(document, path, host, loopback=loopback)
    return (where, found) if where else None


def endpoint(
    document: Document, path: Path, *, loopback: bool = False
) -> tuple[IPv4Address, int] | None:
    """One port of one address; None: a problem, or there is nothing."""
    found = ports(document, path, loopback=loopback)
    if found is None or found[0] is None:
        return None
    return found[0], found[1].low
