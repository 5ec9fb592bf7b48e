# SPDX-License-Identifier: GPL-2.0-or-later
"""The address pool, and what is mapped statically: port forwards, 1:1 and identity mappings."""

from ipaddress import IPv4Address

from ..model import (
    FALLBACK_PORTS,
    LOCAL_PORTS,
    LOCAL_PORTS_LEFT,
    Backend,
    Identity,
    Notice,
    OneToOne,
    PortForward,
    PortRange,
    Protocol,
    Static,
)
from . import endpoint
from .conflicts import Pool, refuse_conflicts
from .document import Document, Path

SHIFTED_MAX = 4096
"""Ports of a range with another base inside: nftables takes a map element for each."""
PORTS_LEFT = 100
"""With fewer to give out, perhaps not all of them were meant to be forwarded."""


def pool_of(document: Document) -> Pool:
    """`nat44.addresses`: the word interface alone, or addresses."""
    if document.get("nat44", "addresses") is None:
        return ("interface",)
    pool: list[str | IPv4Address] = []
    for path, text in document.under("nat44", "addresses"):
        if text == "interface":
            pool.append(text)
        elif address := endpoint.address(document, path, text):
            pool.append(address)
    if "interface" in pool and len(pool) > 1:
        message = "interface cannot be combined with a pool of addresses"
        document.add(("nat44", "addresses"), message, "config.conflict")
    return tuple(pool)


def statics_of(document: Document, pool: Pool) -> tuple[Static, ...]:
    """`nat44.static`; adds a problem to whichever entry repeats an earlier one."""
    found: list[tuple[Path, Static]] = []
    for path, entry in document.under("nat44", "static"):
        if not isinstance(entry, dict):
            continue
        static: Static | None
        if "identity" in entry:
            static = _identity(document, path)
        elif "protocol" in entry:
            static = _port_forward(document, path)
        else:
            static = _one_to_one(document, path)
        if static:
            found.append((path, static))
    refuse_conflicts(document, found, pool)
    return tuple(static for _, static in found)


def refuse_without_local_ports(
    document: Document, static: tuple[Static, ...], ports: PortRange
) -> None:
    """The gateway's own connections come from neither `nat44.ports` nor what is forwarded."""
    left = set(range(LOCAL_PORTS.low, LOCAL_PORTS.high + 1))
    for taken in (ports, *(s.outside_ports for s in static if isinstance(s, PortForward))):
        left.difference_update(range(taken.low, taken.high + 1))
    if len(left) < LOCAL_PORTS_LEFT:
        message = (
            f"what is forwarded leaves, with nat44.ports {ports}, the gateway's own connections "
            f"fewer than {LOCAL_PORTS_LEFT} of the ports {LOCAL_PORTS} that Linux gives out"
        )
        document.add(("nat44", "static"), message, "config.port-range")


def check_ports_left(
    document: Document,
    static: tuple[Static, ...],
    pool: Pool,
    ports: PortRange,
    notices: list[Notice],
) -> None:
    """What is forwarded is never given out, and each address has to have ports to give out.

    An entry that names the address which `interface` will mean is not known to be of it.
    """
    at = ("nat44", "static")
    if document.is_bad(("nat44", "ports")):
        return
    for address in pool:
        for protocol in Protocol:
            taken: set[int] = set()
            for entry in static:
                if (
                    isinstance(entry, PortForward)
                    and entry.protocol == protocol
                    and entry.outside_address in (None, address)
                ):
                    taken.update(range(entry.outside_port, entry.outside_ports.high + 1))
            left = len(set(range(ports.low, ports.high + 1)) - taken)
            of = "" if address == "interface" else f" of {address}"
            if not left:
                message = f"takes all {protocol.value} ports{of} in nat44.ports, {ports}"
                document.add(at, f"what is forwarded {message}", "config.port-range")
                return
            if left < min(PORTS_LEFT, len(ports)):
                message = f"leaves {left} {protocol.value} ports{of} in nat44.ports, {ports}"
                notices.append(Notice(document.where(at), f"what is forwarded {message}"))


def _identity(document: Document, path: Path) -> Identity | None:
    for name in ("outside", "inside"):
        if name in document.get(*path):
            message = "has no place beside identity: both sides are the same"
            document.add((*path, name), message, "config.conflict")
    protocol = document.get(*path, "protocol")
    found = endpoint.endpoint(document, (*path, "identity"))
    if protocol is None or found is None:
        return None
    return Identity(Protocol(protocol), *found, document.line(path))


def _port_forward(document: Document, path: Path) -> PortForward | None:
    protocol = document.get(*path, "protocol")
    outside = endpoint.ports(document, (*path, "outside"))
    if outside:
        _refuse_fallback(document, (*path, "outside"), outside[1])
    shared = isinstance(document.get(*path, "inside"), list)
    backends = _backends(document, (*path, "inside"), outside) if shared else ()
    inside = (backends[0].address, backends[0].port) if backends else None
    if not shared:
        inside = _inside(document, (*path, "inside"), outside)
    if protocol is None or outside is None or inside is None:
        return None
    line = document.line(path)
    address, ports = outside
    return PortForward(Protocol(protocol), address, ports.low, *inside, line, len(ports), backends)


def _refuse_fallback(document: Document, path: Path, ports: PortRange) -> None:
    if not ports.overlaps(FALLBACK_PORTS):
        return
    owner = "the ports of flows that the kernel translates"
    if len(ports) == 1:
        message = f"port {ports.low} is one of {FALLBACK_PORTS}, {owner}"
    else:
        message = f"{ports} overlaps {FALLBACK_PORTS}, {owner}"
    document.add(path, message, "config.port-range")


Outside = tuple[IPv4Address | None, PortRange] | None
"""None: there is a problem with it, and nothing to compare with."""


def _inside(document: Document, path: Path, outside: Outside) -> tuple[IPv4Address, int] | None:
    """The first of as many ports as there are outside."""
    found = endpoint.ports(document, path)
    if found is None or found[0] is None:
        return None
    address, ports = found[0], found[1]
    count = len(outside[1]) if outside else len(ports)
    last = ports.low + count - 1
    message = ""
    if len(ports) not in (1, count):
        message = f"{ports} has {len(ports)} ports, and outside has {count}"
    elif last > endpoint.PORT_MAX:
        message = f"{count} ports from {ports.low} on end at {last}; the highest is 65535"
    elif outside and ports.low != outside[1].low and count > SHIFTED_MAX:
        message = (
            f"{count} ports from {ports.low} on are too many for a range that begins at "
            f"{outside[1].low} outside: the kernel keeps an entry for each, so that "
            f"{SHIFTED_MAX} is the most; there is no limit if both begin at the same port"
        )
    if message:
        document.add(path, message, "config.port-range")
        return None
    return address, ports.low


def _backends(document: Document, path: Path, outside: Outside) -> tuple[Backend, ...]:
    if outside and len(outside[1]) > 1:
        message = f"{outside[1]} is a range of ports: it leads to one host, not to a list"
        document.add(path, message, "config.conflict")
        return ()
    found: dict[tuple[IPv4Address, int], Backend] = {}
    for item, _ in document.under(*path):
        to = endpoint.endpoint(document, (*item, "to"))
        if to is None:
            continue
        if to in found:
            message = f"{to[0]}:{to[1]} is in the list already: give it a larger weight instead"
            document.add((*item, "to"), message, "config.conflict")
        weight = document.get(*item, "weight")
        found[to] = Backend(*to, 1 if weight is None else weight)
    return tuple(found.values())


def _one_to_one(document: Document, path: Path) -> OneToOne | None:
    addresses = []
    for name in ("outside", "inside"):
        text = document.get(*path, name)
        addresses.append(endpoint.address(document, (*path, name), text) if text else None)
    outside, inside = addresses
    if outside is None or inside is None:
        return None
    if outside == inside:
        message = (
            "is the inside address itself; for an endpoint that leaves untranslated use identity"
        )
        document.add((*path, "outside"), message, "config.conflict")
        return None
    return OneToOne(outside, inside, document.line(path))
