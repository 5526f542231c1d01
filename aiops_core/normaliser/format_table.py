"""Which formats of a table can read a text: few of a hundred are tried. Pure.

The first character and a text that every line of a format has decide about most formats; the rest
are one regular expression, whose first alternative that matches is the first format to try.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from aiops_core.normaliser.app_format import AppFormat
from aiops_core.normaliser.line_format import LineFormat, TextFormat

_OF_DATES = frozenset("-/")  # the fifth character of 2026-11-30
_GROUP = re.compile(r"\(\?P<\w+>")
_REFERENCE = re.compile(r"\(\?P=|\(\?\(|\\[1-9]")


class FormatTable:
    """*formats* in the order in which they are tried."""

    def __init__(self, formats: Iterable[TextFormat]) -> None:
        self._formats = tuple(formats)
        self._by_name = {one.name: one for one in reversed(self._formats)}
        self._beginning = lru_cache(1024)(self._of_beginning)

    def named(self, name: str, text: str) -> TextFormat | None:
        """The format *name*, if *text* begins as its lines do."""
        one = self._by_name.get(name)
        return one if one and _begins(one, text[:1], text[4:5] in _OF_DATES) else None

    def possible(self, text: str) -> Sequence[TextFormat]:
        """The formats that may read *text*, without most that cannot."""
        return self._beginning(text[:1], text[4:5] in _OF_DATES).possible(text)

    def _of_beginning(self, first: str, iso: bool) -> _Beginning:
        return _Beginning([one for one in self._formats if _begins(one, first, iso)])


def _begins(one: TextFormat, first: str, iso: bool) -> bool:
    """Whether lines of a format may begin with *first*, a date if *iso*."""
    if one.starts and not (first and first in one.starts):
        return False
    return not first.isdecimal() or getattr(one, "iso", None) in (None, iso)


class _Beginning:
    """The formats of texts with the same first character."""

    def __init__(self, formats: Sequence[TextFormat]) -> None:
        self._joined: list[tuple[int, TextFormat]] = []
        self._single: list[tuple[int, str, TextFormat]] = []
        sources: list[str] = []
        for place, one in enumerate(formats):
            has = getattr(one, "has", "")
            source = None if has.strip() else _source(one)
            if source is None:
                self._single.append((place, has, one))
            else:
                self._joined.append((place, one))
                sources.append(f"(?sx:{source}\n)(?P<f{place}>)")
        self._any = re.compile("|".join(sources)).match if sources else None

    def possible(self, text: str) -> Sequence[TextFormat]:
        found = [(place, one) for place, has, one in self._single if has in text]
        if self._any is not None and (match := self._any(text)):
            first = int((match.lastgroup or "f0")[1:])
            found += [(place, one) for place, one in self._joined if place >= first]
            found.sort(key=_place)
        return [one for _, one in found]


def _place(one: tuple[int, TextFormat]) -> int:
    return one[0]


def _source(one: TextFormat) -> str | None:
    """The regular expression of a format that tries nothing else, with groups without names."""
    if type(one) not in (AppFormat, LineFormat):
        return None
    pattern = one.pattern  # type: ignore[attr-defined]
    if pattern.flags & ~re.UNICODE != re.VERBOSE | re.DOTALL or _REFERENCE.search(pattern.pattern):
        return None
    return _GROUP.sub("(?:", pattern.pattern)
