# SPDX-License-Identifier: GPL-2.0-or-later
"""By what addresses the sites reach each other. Pure.

A received prefix in the main table that has one of them in it would send what goes between the
sites into the tunnels that are made of it: whoever announces it would cut this site off.
"""

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Iterable

from ..model import IPAddress, IPNetwork


class Underlay:
    """Neighbours, and VTEPs as long as any route has them."""

    def __init__(self) -> None:
        self._users: Counter[IPAddress] = Counter()
        self._neighbors: frozenset[IPAddress] = frozenset()
        self._sorted: dict[int, list[int]] = {4: [], 6: []}
        self._changed: set[IPAddress] = set()

    def follow(self, neighbors: Iterable[IPAddress]) -> None:
        """From now on these."""
        before, self._neighbors = self._neighbors, frozenset(neighbors)
        for address in self._neighbors - before:
            self.take(address)
        for address in before - self._neighbors:
            self.release(address)

    def take(self, address: IPAddress) -> None:
        """One more needs it."""
        self._users[address] += 1
        if self._users[address] == 1:
            insort(self._sorted[address.version], int(address))
            self._changed.add(address)

    def release(self, address: IPAddress) -> None:
        self._users[address] -= 1
        if not self._users[address]:
            del self._users[address]
            there = self._sorted[address.version]
            del there[bisect_left(there, int(address))]
            self._changed.add(address)

    def is_in(self, prefix: IPNetwork) -> bool:
        """Whether it has one of them in it. A default route counts for nothing: the host's own is
        the better one, and without any there would be no way to lose."""
        if not prefix.prefixlen:
            return False
        there = self._sorted[prefix.version]
        place = bisect_left(there, int(prefix.network_address))
        return place < len(there) and there[place] <= int(prefix.broadcast_address)

    def changes(self) -> set[IPAddress]:
        """Those that came or went since it was asked last."""
        changed, self._changed = self._changed, set()
        return changed
