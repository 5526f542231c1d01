"""The state of one moment, taken in pieces while it goes on to change."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Generic, TypeVar

from pydantic import JsonValue

PIECE = 64  # items that are dumped in one go, about 1 ms

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
Dumped = dict[str, JsonValue]


class Image(Generic[K, V]):
    """What *items* are now. Until it is ``over``, who changes, adds or removes one must ``keep`` it first."""

    def __init__(self, items: Mapping[K, V], dump: Callable[[K, V], Dumped]) -> None:
        self._items, self._dump = items, dump
        self._order = list(items)
        self._order.reverse()  # the first is popped first
        self._done: set[K] = set()  # written out, or newer than the image
        self._copied: Dumped = {}
        self.over = False

    def keep(self, key: K) -> None:
        self._copied |= self._taken(key)

    def pieces(self) -> Iterator[Dumped]:
        while self._order:
            piece: Dumped = {}
            for _ in range(min(PIECE, len(self._order))):
                piece |= self._taken(self._order.pop())
            yield piece
        self.over = True
        yield self._copied

    def _taken(self, key: K) -> Dumped:
        if key in self._done:
            return {}
        self._done.add(key)
        return self._dump(key, self._items[key]) if key in self._items else {}
