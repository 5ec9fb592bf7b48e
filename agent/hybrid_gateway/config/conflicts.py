# SPDX-License-Identifier: GPL-2.0-or-later
"""Static mappings that get in each other's way, whichever of two comes later in the file."""

from bisect import bisect
from collections import defaultdict
from collections.abc import Iterator
from ipaddress import IPv4Address

from ..model import Identity, OneToOne, PortForward, PortRange, Protocol, Static
from .document import Document, Path

Pool = tuple[str | IPv4Address, ...]
Found = list[tuple[Path, Static]]
CODE = "config.conflict"


def refuse_conflicts(document: Document, found: Found, pool: Pool) -> None:
    """Each outside endpoint leads to one place, and a 1:1 address belongs to one host alone."""
    _refuse_shared_addresses(document, found, pool)
    _refuse_shared_ports(document, found, pool)
    _refuse_translated_identities(document, found)


def _refuse_shared_addresses(document: Document, found: Found, pool: Pool) -> None:
    taken: dict[tuple[str, IPv4Address], Path] = {}
    for path, static in found:
        if not isinstance(static, OneToOne):
            continue
        for name, address in (("outside", static.outside), ("inside", static.inside)):
            first = taken.setdefault((name, address), path)
            if first != path:
                line = document.line(first)
                message = f"address {address} is used already, on line {line}"
                document.add((*path, name), message, CODE)
        if static.outside in pool:
            message = f"address {static.outside} is in the pool of nat44.addresses too"
            document.add((*path, "outside"), message, CODE)
    for path, static in found:
        for name, side, where in _addresses(static):
            if (side, where) in taken:
                line = document.line(taken[side, where])
                document.add((*path, name), f"address {where} is mapped 1:1 on line {line}", CODE)
                break


def _addresses(static: Static) -> Iterator[tuple[str, str, IPv4Address]]:
    """(key, side, address): the addresses that this entry needs to itself, on that side."""
    if isinstance(static, PortForward) and static.outside_address:
        yield "outside", "outside", static.outside_address
    elif isinstance(static, Identity):
        yield "identity", "outside", static.address
        yield "identity", "inside", static.address


class _Taken:
    """Ranges of ports that do not overlap, each with the entry that has it."""

    def __init__(self) -> None:
        self._lows: list[int] = []
        self._entries: list[tuple[PortRange, Path]] = []

    def take(self, ports: PortRange, path: Path) -> Path | None:
        """Whose it is already, in part at least; None: it is this entry's now."""
        place = bisect(self._lows, ports.high)
        if place and self._entries[place - 1][0].overlaps(ports):
            return self._entries[place - 1][1]
        self._lows.insert(place, ports.low)
        self._entries.insert(place, (ports, path))
        return None


def _refuse_shared_ports(document: Document, found: Found, pool: Pool) -> None:
    """Without an address an entry holds for every address of the pool."""
    everywhere = tuple(a for a in pool if isinstance(a, IPv4Address)) or (None,)
    taken: dict[tuple[Protocol, IPv4Address | None], _Taken] = defaultdict(_Taken)
    for path, static in found:
        if isinstance(static, PortForward):
            name, address, ports = "outside", static.outside_address, static.outside_ports
        elif isinstance(static, Identity):
            name, address = "identity", static.address
            ports = PortRange(static.port, static.port)
        else:
            continue
        claims = [
            taken[static.protocol, where].take(ports, path)
            for where in ((address,) if address else everywhere)
        ]
        owner = next((claim for claim in claims if claim), None)
        if owner is not None:
            number = str(ports.low) if len(ports) == 1 else str(ports)
            what = f"{static.protocol.value} {address or ''}:{number}"
            message = f"{what} is used already, on line {document.line(owner)}"
            document.add((*path, name), message, CODE)


def _refuse_translated_identities(document: Document, found: Found) -> None:
    """An endpoint that is forwarded to leaves translated."""
    forwards = [(path, entry) for path, entry in found if isinstance(entry, PortForward)]
    for path, static in found:
        if not isinstance(static, Identity):
            continue
        for other, forward in forwards:
            if forward.protocol == static.protocol and _leads_to(forward, static):
                line = document.line(other)
                message = f"line {line} forwards to it: it leaves as that outside endpoint"
                document.add((*path, "identity"), message, CODE)
                break


def _leads_to(forward: PortForward, identity: Identity) -> bool:
    if forward.backends:
        return any(
            (b.address, b.port) == (identity.address, identity.port) for b in forward.backends
        )
    return forward.inside_address == identity.address and identity.port in forward.inside_ports
