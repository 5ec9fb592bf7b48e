# SPDX-License-Identifier: GPL-2.0-or-later
"""How often what was refused, and of whom. Pure."""

from collections import Counter
from collections.abc import Iterable

from ..model import IPAddress

REASONS_MAX = 64
"""Kinds of refusal that are told apart for one neighbour."""


class Refusals:
    """Counted until they are cleared, or the neighbour is none any more. A session that ends takes
    nothing along: what it ended for is in here. The first of a kind is worth a warning."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[IPAddress | None, str]] = Counter()
        """None: they are this gateway's own, and not announced."""
        self.warnings: list[str] = []
        """Not fetched yet."""
        self._kinds: Counter[IPAddress | None] = Counter()

    def add(self, peer: IPAddress | None, reason: str) -> None:
        if (peer, reason) not in self.counts:
            if self._kinds[peer] >= REASONS_MAX:
                reason = "other reasons"
            else:
                self._kinds[peer] += 1
            if (peer, reason) not in self.counts:
                whose = f"routes of {peer} are refused" if peer else "not all is announced"
                self.warnings.append(f"{whose}: {reason}")
        self.counts[peer, reason] += 1

    def clear(self) -> int:
        """How many kinds there were."""
        cleared = len(self.counts)
        self.counts.clear()
        self._kinds.clear()
        return cleared

    def forget(self, peers: Iterable[IPAddress]) -> None:
        """They are no neighbours any more."""
        gone = frozenset(peers)
        for key in [key for key in self.counts if key[0] in gone]:
            del self.counts[key]
        for peer in gone:
            del self._kinds[peer]
