"""One text in which rules are looked for; what several rules share is looked for once. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import islice

from aiops_core.normaliser.statement import statement
from anomaly_detection.rules import QUOTED, LineRule

NEAR_BEGINNING = 400  # characters of a text in which rules with `near` look
MOST_PLACES = 16  # of one `near` in a text

Places = Sequence[tuple[int, int]]  # beginnings and ends of matches


class SearchedText:
    """*text*, and what was found in it so far."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._has: dict[str, bool] = {}  # by regex: whether it is in the text
        self._places: dict[str, Places] = {}  # by regex: where it is in the text

    def match(self, rule: LineRule) -> re.Match[str] | None:
        """The match of *rule*, unless the text has what excludes it."""
        match = self._near(rule, rule.near) if rule.near else rule.regex.search(self._text)
        return None if match and rule.unless and self._is_in(rule.unless) else match

    def _near(self, rule: LineRule, near: re.Pattern[str]) -> re.Match[str] | None:
        """The match of *rule* that has *near* close to it; one that names a component first."""
        best: re.Match[str] | None = None
        for match in rule.regex.finditer(self._text, 0, NEAR_BEGINNING):
            start, end = match.span()
            if any(start - b <= rule.apart and a - end <= rule.apart for a, b in self._of(near)):
                if match.lastgroup:
                    return match
                best = best or match
        return best

    def _of(self, near: re.Pattern[str]) -> Places:
        places = self._places.get(near.pattern)
        if places is None:
            spans = (found.span() for found in near.finditer(self._text, 0, NEAR_BEGINNING))
            places = self._places[near.pattern] = tuple(islice(spans, MOST_PLACES))
        return places

    def _is_in(self, regex: re.Pattern[str]) -> bool:
        answer = self._has.get(regex.pattern)
        if answer is None:
            answer = self._has[regex.pattern] = regex.search(self._text) is not None
        return answer


class SearchedMessage:
    """A message in which rules match what the device itself says (decision 28)."""

    def __init__(self, message: str, labels: Mapping[str, str]) -> None:
        self._message, self._labels = message, labels
        self._whole = SearchedText(message)
        self._said: SearchedText | None = None

    def match(self, rule: LineRule) -> re.Match[str] | None:
        """The match of *rule*: in the statement, if the rule does not look into quoted text."""
        match, whole = self._whole.match(rule), self._whole
        if match is None or QUOTED in rule.looks_in or self._statement is whole:
            return match
        return self._statement.match(rule)

    @property
    def _statement(self) -> SearchedText:
        """Where nothing is quoted, the statement is the message."""
        if self._said is None:
            said = statement(self._message, self._labels)
            self._said = self._whole if said == self._message else SearchedText(said)
        return self._said
