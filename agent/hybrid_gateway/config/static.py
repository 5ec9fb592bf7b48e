# SPDX-License-Identifier: GPL-2.0-or-later
"""The address pool, port forwards and 1:1 mappings, and what they must not share."""

from ipaddress import IPv4Address

from ..model import FALLBACK_PORTS, OneToOne, PortForward, Protocol, Static
from .document import Document, Path

Endpoint = tuple[IPv4Address | None, int]


def pool_of(document: Document) -> tuple[str | IPv4Address, ...]:
    """`nat44.addresses`: the word interface alone, or addresses."""
    if document.get("nat44", "addresses") is None:
        return ("interface",)
    pool: list[str | IPv4Address] = []
    for path, text in document.under("nat44", "addresses"):
        if text == "interface":
            pool.append(text)
        elif address := _address(document, path, text):
            pool.append(address)
    if "interface" in pool and len(pool) > 1:
        message = "interface cannot be combined with a pool of addresses"
        document.add(("nat44", "addresses"), message, "config.conflict")
    return tuple(pool)


def statics_of(document: Document, pool: tuple[str | IPv4Address, ...]) -> tuple[Static, ...]:
    """`nat44.static`; adds a problem to whichever entry repeats an earlier one."""
    found: list[tuple[Path, Static]] = []
    for path, entry in document.under("nat44", "static"):
        if not isinstance(entry, dict):
            continue
        static = (
            _port_forward(document, path) if "protocol" in entry else _one_to_one(document, path)
        )
        if static:
            found.append((path, static))
    _refuse_conflicts(document, found, pool)
    return tuple(static for _, static in found)


def _port_forward(document: Document, path: Path) -> PortForward | None:
    protocol = document.get(*path, "protocol")
    outside = _endpoint(document, (*path, "outside"))
    inside = _endpoint(document, (*path, "inside"))
    if protocol is None or outside is None or inside is None or inside[0] is None:
        return None
    if outside[1] in FALLBACK_PORTS:
        message = (
            f"port {outside[1]} is one of {FALLBACK_PORTS}, "
            "the ports of flows that the kernel translates"
        )
        document.add((*path, "outside"), message, "config.port-range")
    return PortForward(Protocol(protocol), *outside, inside[0], inside[1], document.line(path))


def _one_to_one(document: Document, path: Path) -> OneToOne | None:
    addresses = []
    for name in ("outside", "inside"):
        text = document.get(*path, name)
        addresses.append(_address(document, (*path, name), text) if text else None)
    outside, inside = addresses
    if outside is None or inside is None:
        return None
    return OneToOne(outside, inside, document.line(path))


def _endpoint(document: Document, path: Path) -> Endpoint | None:
    """`ADDRESS:PORT` or `:PORT`, whose form the schema has checked."""
    text = document.get(*path)
    if text is None:
        return None
    host, _, number = text.rpartition(":")
    port = int(number)
    if not 1 <= port <= 65535:
        document.add(path, f"port {port} does not exist; ports are 1 to 65535")
        return None
    if not host:
        return None, port
    address = _address(document, path, host)
    return (address, port) if address else None


def _address(document: Document, path: Path, text: str) -> IPv4Address | None:
    """A unicast address that a host can have, or a problem."""
    try:
        address = IPv4Address(text)
    except ValueError:
        document.add(path, f"{text} is not an IPv4 address", "config.address")
        return None
    kinds = (
        (address.is_multicast, "a multicast address"),
        (address.is_loopback, "a loopback address"),
        (address.is_link_local, "a link-local address, which is never routed"),
        (int(address) >> 24 == 0, "no host's address"),
        (int(address) >> 28 == 15, "a reserved address"),
    )
    for applies, what in kinds:
        if applies:
            document.add(path, f"{address} is {what}", "config.address")
            return None
    return address


def _refuse_conflicts(
    document: Document, found: list[tuple[Path, Static]], pool: tuple[str | IPv4Address, ...]
) -> None:
    """Each outside endpoint leads to one place, and a 1:1 address belongs to one host alone."""
    taken: dict[tuple[object, ...], Path] = {}
    one_to_one: dict[IPv4Address | None, Path] = {}
    for path, static in found:
        if isinstance(static, OneToOne):
            one_to_one.setdefault(static.outside, path)

    def claim(path: Path, name: str, key: tuple[object, ...], what: str) -> None:
        first = taken.setdefault(key, path)
        if first != path:
            message = f"{what} is used already, on line {document.line(first)}"
            document.add((*path, name), message, "config.conflict")

    for path, static in found:
        if isinstance(static, OneToOne):
            claim(path, "outside", ("outside", static.outside), f"address {static.outside}")
            claim(path, "inside", ("inside", static.inside), f"address {static.inside}")
            if static.outside in pool:
                message = f"address {static.outside} is in the pool of nat44.addresses too"
                document.add((*path, "outside"), message, "config.conflict")
            continue
        what = f"{static.protocol.value} {static.outside_address or ''}:{static.outside_port}"
        key = (static.protocol, static.outside_address, static.outside_port)
        claim(path, "outside", key, what)
        if static.outside_address in one_to_one:
            line = document.line(one_to_one[static.outside_address])
            message = f"address {static.outside_address} is mapped 1:1 on line {line}"
            document.add((*path, "outside"), message, "config.conflict")
