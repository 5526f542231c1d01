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
    """What *items* are now. Who changes one of them must ``keep`` it first, until the image is ``over``."""

    def __init__(self, items: Mapping[K, V], dump: Callable[[K, V], Dumped]) -> None:
        self._left = dict(items)
        self._order = list(reversed(self._left))  # the first is popped first
        self._dump = dump
        self._copied: Dumped = {}
        self.over = False

    def keep(self, key: K) -> None:
        if key in self._left:
            self._copied |= self._dump(key, self._left.pop(key))

    def pieces(self) -> Iterator[Dumped]:
        while self._order:
            yield self._piece()
        self.over = True
        yield self._copied

    def _piece(self) -> Dumped:
        piece: Dumped = {}
        for _ in range(min(PIECE, len(self._order))):
            key = self._order.pop()
            if key in self._left:
                piece |= self._dump(key, self._left.pop(key))
        return piece
