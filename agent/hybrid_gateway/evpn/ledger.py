# SPDX-License-Identifier: GPL-2.0-or-later
"""What somebody else should have, and what it has: the difference is what there is to do. Pure."""

from collections.abc import Callable, Hashable, Iterator
from typing import Generic, TypeVar

V = TypeVar("V")


class Ledger(Generic[V]):
    """Values by key. That something is wanted twice, or again, makes no work."""

    def __init__(self, key: Callable[[V], Hashable]) -> None:
        self._key = key
        self._wanted: dict[Hashable, V] = {}
        self._done: dict[Hashable, V] = {}
        self._dirty: set[Hashable] = set()
        self._stale: set[Hashable] = set()
        self._undone: set[Hashable] = set()

    def __len__(self) -> int:
        """Of what is wanted."""
        return len(self._wanted)

    @property
    def done(self) -> int:
        """How many the other side has."""
        return len(self._done)

    @property
    def pending(self) -> int:
        """At most so many has `drain`."""
        return len(self._dirty)

    def __iter__(self) -> Iterator[V]:
        return iter(self._wanted.values())

    def want(self, key: Hashable, value: V | None) -> None:
        """From now on, this; None: nothing. What was found from before stays until `sweep`."""
        if value is not None:
            self._wanted[key] = value
            self._stale.discard(key)
        elif self._wanted.pop(key, None) is None or key in self._stale:
            return
        self._dirty.add(key)

    def want_nothing(self) -> None:
        """All of it is about to be wanted anew, and what is not is taken back."""
        self._wanted.clear()
        self._dirty |= self._done.keys() - self._stale

    def found(self, value: V) -> None:
        """It was there before anything was wanted; it may be wanted yet."""
        key = self._key(value)
        self._done[key] = value
        if key in self._wanted:
            self._dirty.add(key)
        else:
            self._stale.add(key)

    def lost(self) -> None:
        """The other side began anew and has nothing."""
        self._done.clear()
        self._stale.clear()
        self._dirty = set(self._wanted)

    def vanished(self, gone: Callable[[V], bool]) -> None:
        """The other side has not got these any more, of what was found and nobody wants yet."""
        for key in [key for key in self._stale if gone(self._done[key])]:
            self._stale.discard(key)
            del self._done[key]

    def get(self, key: Hashable) -> V | None:
        """What is wanted."""
        return self._wanted.get(key)

    def agree(self, key: Hashable, value: V) -> None:
        """The other side made this of it, and that is as good."""
        self._wanted[key] = self._done[key] = value

    def again(self, key: Hashable) -> None:
        """Somebody undid it: it is taken away for good, and done again if it is wanted still."""
        if key in self._done:
            self._undone.add(key)
            self._dirty.add(key)

    def failed(self, value: V) -> None:
        """It was not done; the next `drain` has it again, if it is wanted still."""
        key = self._key(value)
        if self._done.get(key) == value:
            del self._done[key]
        self._dirty.add(key)

    def sweep(self) -> int:
        """Nobody wants what is left from before: it goes with the next `drain`. How many."""
        count = len(self._stale)
        self._dirty |= self._stale
        self._stale.clear()
        return count

    def drain(self) -> tuple[list[V], list[V]]:
        """What is to be added or replaced, and what is to be taken away before that; from now on
        it is taken for done."""
        add: list[V] = []
        remove: list[V] = []
        for key in self._dirty:
            wanted, done = self._wanted.get(key), self._done.get(key)
            undone = key in self._undone
            if wanted == done and not undone:
                continue
            if wanted is not None:
                if undone and done is not None:
                    remove.append(done)
                self._done[key] = wanted
                add.append(wanted)
            elif done is not None:
                del self._done[key]
                remove.append(done)
        self._dirty.clear()
        self._undone.clear()
        return add, remove
