"""Rules about lines, arranged so that a line which matches none costs next to nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Generic, TypeVar

from pydantic import JsonValue

from aiops_core.models import Level, LogEntry
from anomaly_detection.detectors.base import device_of, globs
from anomaly_detection.detectors.literals import required
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
            (rule, globs(rule.services), globs(rule.hosts), sorted(required(rule.regex) or ("",)))
            for rule in rules
        ]
        self._of_sender = lru_cache(SENDERS)(self._applicable)

    def _applicable(self, service: str, device: str, level: Level) -> tuple[tuple[str, int], ...]:
        """The texts to look for in such lines of this sender, each with the place of its rule."""
        return tuple(
            (text, place)
            for place, (rule, of_service, of_host, texts) in enumerate(self._rules)
            if (rule.levels is None or level in rule.levels)
            and of_service(service)
            and of_host(device)
            for text in texts
        )

    def matches(self, line: LogEntry) -> Iterator[tuple[R, re.Match[str]]]:
        """Every rule that finds something in *line*, in the order of the file."""
        msg = line.msg[:LOOKED_AT]
        lower = msg.lower()
        texts = self._of_sender(line.service, device_of(line), line.level)
        for place in dict.fromkeys([place for text, place in texts if text in lower]):
            rule = self._rules[place][0]
            if match := rule.regex.search(msg):
                yield rule, match


def details(match: re.Match[str]) -> dict[str, JsonValue]:
    """The named groups that took part in the match."""
    return {name: value for name, value in match.groupdict().items() if value}


def listed(found: dict[str, JsonValue]) -> str:
    """`` (peer 10.0.0.1, user root)``, or nothing."""
    return f" ({', '.join(f'{k} {v}' for k, v in found.items())})" if found else ""
