"""What a rule asks of the facts: one condition, and whether it holds for a case. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from fnmatch import fnmatchcase
from functools import lru_cache
from types import MappingProxyType
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from aiops_core.models import Text
from aiops_core.policy.file import Section
from llm_enricher.rules.case import MEMBER, IncidentCase, Item
from llm_enricher.rules.words import PLACEHOLDERS, known_placeholders

Groups = Mapping[str, str]
NOTHING: Groups = MappingProxyType({})
SLACK = timedelta(seconds=5)  # clocks of two devices differ by so much


def _compiles(pattern: str) -> str:
    try:
        groups = _compiled(pattern).groupindex
    except re.error as exc:
        raise ValueError(f"not a regular expression: {exc}") from exc
    if unknown := set(groups) - set(PLACEHOLDERS):
        names = ", ".join(sorted(unknown))
        raise ValueError(f"unknown group {names}: try {known_placeholders()}")
    return pattern


Regex = Annotated[str, Field(min_length=1), AfterValidator(_compiles)]
Globs = tuple[Text, ...]
FactKind = Literal[
    "member", "line", "reading", "probe", "maintenance", "change", "login", "neighbour"
]


class Condition(Section):
    """Holds when a member or a fact around the incident is there that fits all that it states.

    *types* and *senders* (device or service) are globs, *patterns* regexes without regard to case,
    of which one must be found. *on* says where, seen from the member that the rule is about.
    *devices*: on so many different ones; *several*: this named group has two values or more.
    *before*, *after*: not later, not earlier than that member; *minutes*: at most so long before
    it. *same*: named groups that must be what the rule's own pattern found, such as the disk.
    *fine*: whether what was checked is as it should be; not stated, `requires` means what is not,
    `unless` means any.
    """

    kinds: tuple[FactKind, ...] = ()
    types: Globs = ()
    senders: Globs = ()
    patterns: tuple[Regex, ...] = ()
    on: Literal["same", "other", "any"] = "any"
    devices: Annotated[int, Field(ge=1)] = 1
    several: str = ""
    before: bool = False
    after: bool = False
    minutes: Annotated[int, Field(ge=1)] | None = None
    same: tuple[Text, ...] = ()
    fine: bool | None = None

    @model_validator(mode="after")
    def _asks_something(self) -> Self:
        if not (self.kinds or self.types or self.senders or self.patterns):
            raise ValueError("a condition needs kinds, types, senders or patterns")
        named = {name for pattern in self.patterns for name in _compiled(pattern).groupindex}
        if unknown := {*self.same, *filter(None, [self.several])} - named:
            raise ValueError(f"no pattern of the condition has the group {unknown.pop()}")
        return self

    def found(
        self, case: IncidentCase, subject: Item, *, fine: bool | None, known: Groups = NOTHING
    ) -> FoundFacts | None:
        """The items that fulfil it; None if there are too few.

        *fine* holds where it states none; *known* are the groups that the rule's pattern found.
        """
        fine = self.fine if self.fine is not None else fine
        fitting = [
            (item, groups)
            for item, groups in case.once(self, lambda: list(self._matching(case)))
            if (fine is None or item.fine == fine)
            and self._is_placed(item, subject)
            and all(_alike(groups.get(name), known.get(name)) for name in self.same)
        ]
        if len({item.device for item, _ in fitting}) < self.devices:
            return None
        if self.several and len({groups.get(self.several) for _, groups in fitting} - {None}) < 2:
            return None
        return FoundFacts([item for item, _ in fitting], _united(groups for _, groups in fitting))

    def _matching(self, case: IncidentCase) -> Iterator[tuple[Item, Groups]]:
        """The items that fit it, wherever they are and whatever was checked."""
        for item in case.members if self.types or self.kinds == (MEMBER,) else case.items:
            if (groups := self.matches(item)) is not None:
                yield item, groups

    def _is_placed(self, item: Item, subject: Item) -> bool:
        if self.on != "any" and (item.device == subject.device) != (self.on == "same"):
            return False
        if self.minutes and item.ts < subject.ts - timedelta(minutes=self.minutes):
            return False
        if self.after and item.ts < subject.ts - SLACK:
            return False
        return not self.before or item.ts <= subject.ts + SLACK

    def matches(self, item: Item) -> Groups | None:
        """The named groups when *item* itself fits, wherever it is."""
        if self.kinds and item.kind not in self.kinds:
            return None
        if not (fits(self.types, item.type) and fits(self.senders, item.device, item.service)):
            return None
        return groups_of(self.patterns, item.text)


def _alike(one: str | None, other: str | None) -> bool:
    return one is not None and other is not None and one.lower() == other.lower()


class FoundFacts:
    """The facts that fulfil a condition, and the named groups in their texts."""

    def __init__(self, items: list[Item], groups: Groups) -> None:
        self.items, self.groups = items, groups


@lru_cache(8192)
def fits(globs: Globs, *names: str) -> bool:
    """Whether one of *names* fits one of *globs*; no glob fits all."""
    return not globs or any(
        fnmatchcase(name.lower(), glob.lower()) for glob in globs for name in names
    )


@lru_cache(16384)
def groups_of(patterns: tuple[str, ...], text: str) -> Groups | None:
    """The named groups of the first of *patterns* that is in *text*; None if none is."""
    if not patterns:
        return {}
    for pattern in patterns:
        if found := _compiled(pattern).search(text):
            return {name: value for name, value in found.groupdict().items() if value}
    return None


@lru_cache(4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


def _united(all_groups: Iterable[Groups]) -> Groups:
    """The first value of each name."""
    united: dict[str, str] = {}
    for groups in all_groups:
        united = {**groups, **united}
    return united
