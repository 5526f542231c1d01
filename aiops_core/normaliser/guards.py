"""Which of many readers may find their format in a text. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")


class Guarded(NamedTuple, Generic[T]):
    """A reader. What it reads has the text *has*, and begins with the regular expression *begins*
    (None: with anything), which has no names of groups and no references to them."""

    reader: T
    has: str = ""
    begins: str | None = None


class Guards(Generic[T]):
    """Readers in order. Their beginnings are alternatives of one expression: a text of no format
    costs one search, whatever their number. A reader may be given several times, once for each of
    its formats: it is possible once."""

    def __init__(self, readers: Iterable[Guarded[T]]) -> None:
        self._always: list[tuple[int, T]] = []
        self._having: list[tuple[int, str, T]] = []
        self._joined: list[tuple[int, T]] = []
        alternatives: list[str] = []
        for place, one in enumerate(readers):
            if one.has:
                self._having.append((place, one.has, one.reader))
            elif one.begins is None:
                self._always.append((place, one.reader))
            else:
                self._joined.append((place, one.reader))
                alternatives.append(f"(?:{one.begins})(?P<f{place}>)")
        self._begins = re.compile("|".join(alternatives)).match if alternatives else None
        self._usual = tuple(dict.fromkeys(one for _, one in self._always))

    def possible(self, text: str) -> Sequence[T]:
        """The readers that may read *text*."""
        found = [(place, one) for place, has, one in self._having if has in text]
        match = self._begins(text) if self._begins is not None else None
        if match is None and not found:
            return self._usual
        if match is not None:
            first = int((match.lastgroup or "f0")[1:])  # the alternatives before it do not match
            found += [(place, one) for place, one in self._joined if place >= first]
        in_order = sorted((*self._always, *found), key=_place)
        return tuple(dict.fromkeys(one for _, one in in_order))


def _place(one: tuple[int, object]) -> int:
    return one[0]
