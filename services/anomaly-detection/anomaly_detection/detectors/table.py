"""Rules about lines, arranged so that a line which matches none costs next to nothing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Generic, TypeVar

from pydantic import JsonValue

from aiops_core.models import Level, LogEntry
from anomaly_detection.detectors.base import device_of, globs
from anomaly_detection.detectors.literals import Fragments, letters, required
from anomaly_detection.policy import LineRule

R = TypeVar("R", bound=LineRule)

SENDERS = 16_384  # whose applicable rules are remembered
# Characters of a line that are looked at. What is wrong stands at its beginning, and a regex may take
# time in the square of what a stranger sends.
LOOKED_AT = 2048


class Table(Generic[R]):
    """Finds the rules that a line fulfils: sender first, then a text it must contain, then the regex."""

    def __init__(self, rules: Sequence[R]) -> None:
        self._rules = [
            (
                rule,
                globs(rule.services),
                globs(rule.hosts),
                required(rule.regex) or frozenset(("",)),
            )
            for rule in rules
        ]
        self._texts = sorted({text for *_, texts in self._rules for text in texts})
        self._fragments = Fragments(self._texts)
        self._of_sender = lru_cache(SENDERS)(self._applicable)

    def _applicable(
        self, service: str, device: str, level: Level
    ) -> tuple[int, dict[int, list[int]]]:
        """The numbers of the texts to look for in such lines, as bits, and the rules of each."""
        places: dict[int, list[int]] = {}
        for place, (rule, of_service, of_host, texts) in enumerate(self._rules):
            of_level = rule.levels is None or level in rule.levels
            if of_level and of_service(service) and of_host(device):
                for text in texts:
                    places.setdefault(self._texts.index(text), []).append(place)
        return sum(1 << number for number in places), places

    def matches(self, line: LogEntry) -> Sequence[tuple[R, re.Match[str]]]:
        """Every rule that finds something in *line*, in the order of the file."""
        bits, rules_of = self._of_sender(line.service, device_of(line), line.level)
        lower, runs = letters(line.msg[:LOOKED_AT])
        bits &= self._fragments.possible(runs)
        if not bits:
            return ()
        places: set[int] = set()
        while bits:
            number = bits.bit_length() - 1
            bits ^= 1 << number
            if self._texts[number] in lower:
                places.update(rules_of[number])
        return [found for place in sorted(places) if (found := self._search(place, line.msg))]

    def _search(self, place: int, msg: str) -> tuple[R, re.Match[str]] | None:
        rule = self._rules[place][0]
        match = rule.regex.search(msg[:LOOKED_AT])
        return (rule, match) if match else None


def details(match: re.Match[str]) -> dict[str, JsonValue]:
    """The named groups that took part in the match."""
    return {name: value for name, value in match.groupdict().items() if value}


def listed(found: dict[str, JsonValue]) -> str:
    """`` (peer 10.0.0.1, user root)``, or nothing."""
    return f" ({', '.join(f'{k} {v}' for k, v in found.items())})" if found else ""
