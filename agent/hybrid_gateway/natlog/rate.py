# SPDX-License-Identifier: GPL-2.0-or-later
"""How much is allowed, and how much there is, in a second."""

import time
from collections.abc import Callable

PERIOD = 5.0
"""Seconds over which a rate is averaged."""


class Allowance:
    """A token bucket: `rate` a second, and up to `burst` at once."""

    def __init__(
        self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._left = burst
        self._at = clock()

    def take(self, wanted: int) -> int:
        """How many of these may pass now."""
        now = self._clock()
        self._left = min(self._burst, self._left + (now - self._at) * self._rate)
        self._at = now
        taken = min(wanted, int(self._left))
        self._left -= taken
        return taken


class Meter:
    """Counts, and tells how fast lately: over the last whole PERIOD and what came since."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.total = 0
        self._clock = clock
        self._marks = [(clock(), 0), (clock(), 0)]

    def add(self, count: int) -> None:
        self._turn()
        self.total += count

    def rate(self) -> float:
        """A second."""
        self._turn()
        at, total = self._marks[0]
        passed = self._clock() - at
        return (self.total - total) / passed if passed > 0 else 0.0

    def _turn(self) -> None:
        now = self._clock()
        passed = now - self._marks[1][0]
        if passed >= PERIOD:
            older = self._marks[1] if passed < 2 * PERIOD else (now - PERIOD, self.total)
            self._marks = [older, (now, self.total)]
