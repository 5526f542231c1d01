"""Silences and their matchers. Pure.

Matchers are those of Prometheus' Alertmanager: ``=``, ``!=``, ``=~`` and ``!~`` over labels.
Regular expressions match the whole value, a missing label is the empty string, and all matchers
of a silence must hold. Names of devices (DEVICE_LABELS) are compared without regard to case.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cached_property, lru_cache
from typing import Annotated, Literal, Self

from pydantic import (
    Field,
    PlainSerializer,
    PlainValidator,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)

from aiops_core.errors import in_words
from aiops_core.models import Record, Text, UtcDatetime
from aiops_core.suppression.labels import NAMES, Labels, is_label

BUCKET = "silences"  # of the key-value store: silence id -> Silence as JSON

NO_VALUE = ("",)
DEVICE_LABELS = ("device_id", "host")
LONGEST_VALUE = 255  # characters, of a matcher's value and of a label's value that it is tried on
REPEATS = 3  # * + { in one regular expression: its time grows with the length to this power
OPTIONS = 3  # question marks in one regular expression: its time doubles with each
ANYTHING = ("a", "7", "Z-9", "x_y.z", " ~\u6f22")  # values that have nothing in common

_WRITTEN = re.compile(r"\s*([^\s=!~\"]+)\s*(=~|!~|!=|=)\s*(.*?)\s*", re.DOTALL)
# Inside of these *, + and { are no repeats.
_ESCAPED = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]", re.DOTALL)
_REPEATED_GROUP = re.compile(r"\)[*+{]")
_REPEAT = re.compile(r"[*+{]")
_WORDS = re.compile(r"[\w.\- ]+(?:\|[\w.\- ]+)*")

State = Literal["pending", "active", "expired"]
Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=300)]


class Op(StrEnum):
    IS = "="
    IS_NOT = "!="
    LIKE = "=~"
    UNLIKE = "!~"


@dataclass(frozen=True)
class Matcher:
    """One condition on one label, written as ``device_id=sw-1``.

    Raises ValueError for an unknown label, and for a regular expression that may take too long.
    """

    name: str
    op: Op
    value: str

    def __post_init__(self) -> None:
        if not is_label(self.name):
            raise ValueError(f"there is no label {self.name}; there are {', '.join(NAMES)}")
        if len(self.value) > LONGEST_VALUE:
            raise ValueError(f"the value of {self.name} is longer than {LONGEST_VALUE} characters")
        if self.is_regex:
            _check_regex(self.value)

    @classmethod
    def parse(cls, text: str) -> Matcher:
        """A matcher from ``device_id=sw-1`` or ``anomaly_type=~"link_.*"``."""
        found = _WRITTEN.fullmatch(text)
        if found is None:
            raise ValueError(f"{text!r} is no matcher; write LABEL=VALUE, with =, !=, =~ or !~")
        name, op, value = found.groups()
        if len(value) >= 2 and value[0] == value[-1] == '"':
            value = value[1:-1]
        return cls(name, Op(op), value)

    def __str__(self) -> str:
        plain = self.value == self.value.strip() and not self.value.startswith(("~", '"'))
        return (
            f"{self.name}{self.op}{self.value}" if plain else f'{self.name}{self.op}"{self.value}"'
        )

    @cached_property
    def is_regex(self) -> bool:
        return self.op in (Op.LIKE, Op.UNLIKE)

    @cached_property
    def is_positive(self) -> bool:
        return self.op in (Op.IS, Op.LIKE)

    @property
    def words(self) -> tuple[str, ...]:
        """The values that a positive matcher names one by one; none for a pattern."""
        if self.op is Op.IS:
            return (self.value,)
        if self.op is Op.LIKE and _WORDS.fullmatch(self.value) and "." not in self.value:
            return tuple(self.value.split("|"))
        return ()

    @property
    def names_something(self) -> bool:
        """False for negative matchers, and for those that fit anything or the empty value."""
        if not self.is_positive or self._fits(""):
            return False
        return not all(self._fits(anything) for anything in ANYTHING)

    def matches(self, labels: Labels) -> bool:
        """Of a label with several values (tag) one must fit; a negative matcher wants none to."""
        for value in labels.get(self.name) or NO_VALUE:
            if self._fits(value):
                return self.is_positive
        return not self.is_positive

    def _fits(self, value: str) -> bool:
        ignoring = self.name in DEVICE_LABELS
        if self.is_regex:
            return _fits(self.value, value[:LONGEST_VALUE], ignoring)
        return value == self.value or (ignoring and value.casefold() == self.value.casefold())


def _parsed(given: object) -> Matcher:
    return given if isinstance(given, Matcher) else Matcher.parse(str(given))


MatcherText = Annotated[  # a Matcher that is text in JSON
    Matcher,
    PlainValidator(_parsed),
    PlainSerializer(str),
    WithJsonSchema({"type": "string", "examples": ["device_id=sw-1"]}),
]
Matchers = Annotated[tuple[MatcherText, ...], Field(min_length=1, max_length=20)]


class Silence(Record):
    """Hides what all *matchers* fit, from *starts_at* until just before *ends_at*.

    *created_by* is the owner, *updated_by* the user or role that made the last change.
    """

    id: Text
    matchers: Matchers
    starts_at: UtcDatetime
    ends_at: UtcDatetime
    created_by: Line
    comment: Line
    created_at: UtcDatetime
    updated_at: UtcDatetime
    updated_by: Text

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.ends_at < self.starts_at:
            raise ValueError("a silence ends after it starts")
        return self

    def state_at(self, now: datetime) -> State:
        if now < self.starts_at:
            return "pending"
        return "active" if self.holds(now) else "expired"

    def holds(self, moment: datetime) -> bool:
        return self.starts_at <= moment < self.ends_at

    def matches(self, labels: Labels) -> bool:
        return all(matcher.matches(labels) for matcher in self.matchers)


def decode(stored: Mapping[str, bytes]) -> tuple[list[Silence], dict[str, str]]:
    """The silences of the bucket by start, and for each unreadable key the reason."""
    silences, wrong = [], {}
    for key, value in stored.items():
        try:
            silences.append(Silence.model_validate_json(value))
        except ValueError as exc:
            wrong[key] = in_words(exc)
    return sorted(silences, key=lambda s: (s.starts_at, s.id)), wrong


@lru_cache(maxsize=16_384)
def _fits(pattern: str, value: str, ignoring_case: bool) -> bool:
    """Cached: the same devices and types come again and again."""
    return _compiled(pattern, ignoring_case).fullmatch(value) is not None


@lru_cache(maxsize=4096)
def _compiled(pattern: str, ignoring_case: bool = False) -> re.Pattern[str]:
    return re.compile(pattern, re.DOTALL | (re.IGNORECASE if ignoring_case else 0))


def _check_regex(pattern: str) -> None:
    """Refuse patterns that do not compile, and those that could block correlation for long."""
    try:
        _compiled(pattern)
    except (re.error, OverflowError, RecursionError) as exc:
        raise ValueError(f"{pattern!r} is no regular expression: {exc}") from exc
    bare = _ESCAPED.sub("x", pattern).replace("(?:", "(")
    if "(?" in bare or re.search(r"\\\d", pattern):
        raise ValueError(
            f"{pattern!r}: of groups only ( ) and (?: ) are allowed, and no references"
        )
    many = len(_REPEAT.findall(bare)) > REPEATS or bare.count("?") > OPTIONS
    if many or _REPEATED_GROUP.search(bare):
        raise ValueError(
            f"{pattern!r} could take too long: no group may be repeated, and there may be at most "
            f"{REPEATS} of * + {{ and {OPTIONS} of ?"
        )
