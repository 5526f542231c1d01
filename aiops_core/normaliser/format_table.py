"""The formats of a table that may read a text: few of a hundred are tried. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from aiops_core.normaliser.app_format import AppFormat
from aiops_core.normaliser.guards import Guarded, Guards
from aiops_core.normaliser.line_format import LineFormat, TextFormat

_OF_DATES = frozenset("-/")  # the fifth character of 2026-11-30
_GROUP = re.compile(r"\(\?P<\w+>")
_REFERENCE = re.compile(r"\(\?P=|\(\?\(|\\[1-9]")
_FLAGS = re.VERBOSE | re.DOTALL


class FormatTable:
    """*formats* in the order in which they are tried."""

    def __init__(self, formats: Iterable[TextFormat]) -> None:
        self._formats = tuple(formats)
        self._by_name = {one.name: one for one in reversed(self._formats)}
        self._beginning = lru_cache(1024)(self._of_beginning)

    def named(self, name: str, text: str) -> TextFormat | None:
        """The format *name*, if *text* begins as its lines do."""
        one = self._by_name.get(name)
        return one if one and _begins(one, *beginning(text)) else None

    def possible(self, text: str) -> Sequence[TextFormat]:
        """The formats that may read *text*, without most that cannot."""
        return self._beginning(*beginning(text)).possible(text)

    def guarded(self, first: str, iso: bool) -> Sequence[Guarded[TextFormat]]:
        """The formats of texts that begin with *first*, and with a date if *iso*."""
        known = (one for one in self._formats if _begins(one, first, iso))
        return [Guarded(one, _rare(one), _guard(one)) for one in known]

    def _of_beginning(self, first: str, iso: bool) -> Guards[TextFormat]:
        return Guards(self.guarded(first, iso))


def beginning(text: str) -> tuple[str, bool]:
    """The first character of *text*, and whether it may begin with a date as 2026-11-30."""
    return text[:1], text[4:5] in _OF_DATES


def _begins(one: TextFormat, first: str, iso: bool) -> bool:
    """Whether lines of a format may begin with *first*, a date if *iso*."""
    if one.starts and not (first and first in one.starts):
        return False
    return not first.isdecimal() or getattr(one, "iso", None) in (None, iso)


def _rare(one: TextFormat) -> str:
    """A text that lines of a format have, and hardly others."""
    has: str = getattr(one, "has", "")
    return has if len(has.strip()) > 1 or _guard(one) is None else ""


def _guard(one: TextFormat) -> str | None:
    """What the lines of a format begin with: all of it, where it is an expression only."""
    if type(one) not in (AppFormat, LineFormat):
        return getattr(one, "begins", None)
    pattern: re.Pattern[str] = one.pattern  # type: ignore[attr-defined]
    if pattern.flags & ~re.UNICODE != _FLAGS or _REFERENCE.search(pattern.pattern):
        return None
    return f"(?sx:{_GROUP.sub('(?:', pattern.pattern)}\n)"
