# SPDX-License-Identifier: GPL-2.0-or-later
"""The addresses of stations on this side, as the kernel's neighbour table has them. Pure."""

from collections.abc import Iterator
from itertools import islice

from ..model import IPAddress
from .entries import LocalBinding

ADDRESSES_MAX = 64
"""Of one station that are announced: more has a scanner's victim, or a router for others."""


class LocalBindings:
    """By address, and by MAC address."""

    def __init__(self) -> None:
        self._facts: dict[IPAddress, LocalBinding] = {}
        self._by_mac: dict[bytes, dict[IPAddress, None]] = {}

    def __iter__(self) -> Iterator[LocalBinding]:
        return iter(tuple(self._facts.values()))

    def get(self, address: IPAddress) -> LocalBinding | None:
        return self._facts.get(address)

    def of(self, mac: bytes) -> tuple[IPAddress, ...]:
        """In the order in which they came."""
        return tuple(islice(self._by_mac.get(mac, ()), ADDRESSES_MAX))

    def remove(self, address: IPAddress) -> LocalBinding | None:
        before = self._facts.pop(address, None)
        if before:
            addresses = self._by_mac[before.mac]
            del addresses[address]
            if not addresses:
                del self._by_mac[before.mac]
        return before

    def add(self, fact: LocalBinding) -> LocalBinding | None:
        """What stood there before, if anything did."""
        before = self._facts.get(fact.address)
        if before and before.mac == fact.mac:
            self._facts[fact.address] = fact
            return before
        self.remove(fact.address)
        self._facts[fact.address] = fact
        self._by_mac.setdefault(fact.mac, {})[fact.address] = None
        return before
