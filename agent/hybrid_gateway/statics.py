# SPDX-License-Identifier: GPL-2.0-or-later
"""Static entries of the configuration with the addresses that they have at the moment. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from .model import Identity, OneToOne, PortForward, PortRange, Static, StaticMapping

Addresses = Sequence[IPv4Address]
WHOLE = PortRange(0, 65535)


@dataclass(frozen=True, slots=True)
class Doubt:
    """What is wrong with a key of the entry at `index`, with the addresses that there are."""

    index: int
    line: int
    key: str
    message: str


def mappings(
    static: Sequence[Static], pool: Addresses, own: Addresses
) -> tuple[tuple[StaticMapping, ...], list[str]]:
    """What the data plane is to do, and warnings; `own` are the addresses of this host.

    A forward without an address holds for every address of the pool. Of two entries for one
    outside endpoint the first counts: only the address that a device has shows that there are two.
    """
    found: list[StaticMapping] = []
    warnings: list[str] = []
    owners: dict[tuple[int, IPv4Address], list[tuple[PortRange, int]]] = {}
    for entry in static:
        for mapping in _of(entry, pool, own):
            last = mapping.outside_port + mapping.ports - 1
            ports = PortRange(mapping.outside_port, last) if mapping.protocol else WHOLE
            others = owners.setdefault((mapping.protocol, mapping.outside), [])
            line = next((line for other, line in others if other.overlaps(ports)), None)
            if line is not None:
                warnings.append(
                    f"nat44.static, line {entry.line}: left out for {mapping.outside}, "
                    f"whose port is used already, on line {line}"
                )
                continue
            others.append((ports, entry.line))
            found.append(mapping)
    return tuple(found), warnings


def _of(entry: Static, pool: Addresses, own: Addresses) -> Iterator[StaticMapping]:
    if isinstance(entry, OneToOne):
        yield StaticMapping(0, entry.outside, 0, entry.inside, 0)
    elif isinstance(entry, Identity):
        host = entry.address in own or entry.address in pool
        same = (entry.address, entry.port)
        yield StaticMapping(entry.protocol.number, *same, *same, host=host)
    else:
        for address in (entry.outside_address,) if entry.outside_address else pool:
            yield StaticMapping(
                entry.protocol.number,
                address,
                entry.outside_port,
                entry.inside_address,
                entry.inside_port,
                entry.ports,
                entry.backends,
            )


def sharing(static: Sequence[Static], pool: Addresses) -> Iterator[Doubt]:
    """1:1 mappings of an address that all hosts share; of a listed pool the file shows it."""
    for index, entry in enumerate(static):
        if isinstance(entry, OneToOne) and entry.outside in pool:
            message = f"{entry.outside} is the address that all inside hosts share"
            yield Doubt(index, entry.line, "outside", message)


def inwards(static: Sequence[Static], own: Addresses) -> Iterator[Doubt]:
    """Forwards to this host itself, where nothing is translated to."""
    for index, entry in enumerate(static):
        if isinstance(entry, PortForward):
            inside = [backend.address for backend in entry.backends] or [entry.inside_address]
            for address in inside:
                if address in own:
                    message = f"{address} is an address of this host, not of one inside"
                    yield Doubt(index, entry.line, "inside", message)
                    break


def outside_addresses(static: Sequence[Static]) -> Iterator[IPv4Address]:
    """The ones that entries name; an identity mapping's is no outside address."""
    for entry in static:
        if isinstance(entry, OneToOne):
            yield entry.outside
        elif isinstance(entry, PortForward) and entry.outside_address:
            yield entry.outside_address


def outside_ports(static: Sequence[Static]) -> Iterator[PortRange]:
    """The ones that lead inside."""
    for entry in static:
        if isinstance(entry, PortForward):
            yield entry.outside_ports


def strangers(
    static: Sequence[Static], own: Addresses, inside: Sequence[IPv4Network]
) -> Iterator[str]:
    """Warnings about identity mappings of addresses that never come by here."""
    for entry in static:
        if (
            isinstance(entry, Identity)
            and entry.address not in own
            and not any(entry.address in network for network in inside)
        ):
            yield (
                f"nat44.static, line {entry.line}: {entry.address} is neither inside nor an "
                "address of this host"
            )
