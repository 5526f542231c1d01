"""Rules about lines, indexed so that a line without a match costs next to nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import TypeVar

from pydantic import JsonValue

from aiops_core.models import Level, LogEntry
from anomaly_detection.detectors.base import SENDERS, device_of
from anomaly_detection.detectors.literals import Fragments, parts, required, stand_in
from anomaly_detection.rules import LineRule

R = TypeVar("R", bound=LineRule)
LineMatch = tuple[LineRule, re.Match[str]]

# Characters of a line that are searched. The message stands at its beginning, and the time of a
# regex may grow with the square of the length.
LOOKED_AT = 2048


class RuleTable:
    """Finds the rules that match a line: by sender, then by a text it must contain, then by regex.

    Detectors that share a table ask for the same line in turn; it is searched once. Sets of texts
    and of rules are bit sets in integers: for most lines one ``&`` is enough.
    """

    def __init__(self, rules: Sequence[LineRule]) -> None:
        needed = [required(rule.regex) or frozenset(("",)) for rule in rules]
        self._rules = rules
        self._parts = [parts(rule.regex) for rule in rules]
        self._texts = sorted(frozenset[str]().union(*needed))
        self._texts_of = [_set(n for n, t in enumerate(self._texts) if t in of) for of in needed]
        self._rules_of = [_set(n for n, of in enumerate(needed) if t in of) for t in self._texts]
        self._fragments = Fragments(self._texts)
        self._of_sender = lru_cache(SENDERS)(self._applicable)
        self._line: LogEntry | None = None
        self._matches: Sequence[LineMatch] = ()

    def matches(self, line: LogEntry) -> Sequence[LineMatch]:
        """The rules that match *line*, in the order of the file."""
        if line is not self._line:
            self._line, self._matches = line, self._found(line)
        return self._matches

    def of(self, kind: type[R], line: LogEntry) -> Sequence[tuple[R, re.Match[str]]]:
        """The matches of one *kind* of rules."""
        return [(rule, match) for rule, match in self.matches(line) if isinstance(rule, kind)]

    def _found(self, line: LogEntry) -> Sequence[LineMatch]:
        texts, rules = self._of_sender(line.service, device_of(line), line.level)
        looked_at = line.msg[:LOOKED_AT]
        lower = looked_at.lower()
        texts &= self._fragments.possible(lower)
        if not texts:
            return ()
        candidates = 0
        for n in _members(texts):
            if self._texts[n] in lower:
                candidates |= self._rules_of[n]
        candidates &= rules
        if not candidates:
            return ()
        likely = (self._rules[n] for n in _members(candidates) if self._may(n, lower))
        return [(rule, match) for rule in likely if (match := rule.regex.search(looked_at))]

    def _may(self, n: int, lower: str) -> bool:
        """Whether the line has the other texts that the nth rule needs.

        A regex without regard to case equates some non-ASCII letters, such as the long s, with
        ASCII ones; a search for a text does not.
        """
        return stand_in(self._parts[n], lower) or not lower.isascii()

    def _applicable(self, service: str, device: str, level: Level) -> tuple[int, int]:
        """The texts to look for in such lines, and the rules to try."""
        texts = rules = 0
        for n, rule in enumerate(self._rules):
            of_level = rule.levels is None or level in rule.levels
            if of_level and rule.concerns(service, device):
                texts |= self._texts_of[n]
                rules |= 1 << n
        return texts, rules


def _set(members: Iterable[int]) -> int:
    return sum(1 << n for n in members)


def _members(bits: int) -> Iterator[int]:
    """In ascending order."""
    while bits:
        lowest = bits & -bits
        yield lowest.bit_length() - 1
        bits ^= lowest


def details(match: re.Match[str]) -> dict[str, JsonValue]:
    """The named groups that took part in the match."""
    return {name: value for name, value in match.groupdict().items() if value}


def listed(found: dict[str, JsonValue]) -> str:
    """`` (peer 10.0.0.1, user root)``, or nothing."""
    return f" ({', '.join(f'{k} {v}' for k, v in found.items())})" if found else ""
