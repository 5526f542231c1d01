"""``policies/privacy.yaml``: what is personal, and the words that stand for it. Pure.

Nothing personal leaves for a model, a cache or a store of vectors. Equal values get equal words
within one ``Redaction``, so that whoever reads them still sees that two lines mean the same person.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property, partial
from typing import Annotated, ClassVar, Self

from pydantic import ConfigDict, Field, field_validator, model_validator

from aiops_core.models import Text
from aiops_core.policy.file import Policy, Section

HIDDEN = re.compile(r"\[[a-z]+#\d+\]")  # a word that stands for something


class PrivacyRule(Section):
    """What *pattern* finds is hidden: its group ``value``, or all of it without such a group.

    *hides* are texts in which it finds something, *keeps* texts in which it finds nothing.
    """

    model_config = ConfigDict(ignored_types=(cached_property,))

    id: Annotated[str, Field(pattern=r"^[a-z]{2,20}$")]
    pattern: Text
    hides: Annotated[tuple[Text, ...], Field(min_length=1)]
    keeps: Annotated[tuple[Text, ...], Field(min_length=1)]

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str) -> str:
        try:
            re.compile(pattern)
        except re.error as exc:
            raise ValueError(f"not a regular expression: {exc}") from exc
        return pattern

    @cached_property
    def regex(self) -> re.Pattern[str]:
        return re.compile(self.pattern, re.IGNORECASE)

    @cached_property
    def group(self) -> str | int:
        return "value" if "value" in self.regex.groupindex else 0


class PrivacyPolicy(Policy):
    """Rules, applied from top to bottom. *spared* values (without regard to case) name no person.

    Each rule is tried on its own samples when the file is read.
    """

    model_config = ConfigDict(ignored_types=(cached_property,))
    file: ClassVar[str] = "privacy.yaml"

    spared: tuple[Text, ...] = ()
    rules: tuple[PrivacyRule, ...]

    @cached_property
    def never_hidden(self) -> frozenset[str]:
        return frozenset(value.casefold() for value in self.spared)

    @model_validator(mode="after")
    def _rules_do_what_they_say(self) -> Self:
        ids = [rule.id for rule in self.rules]
        if doubled := {id for id in ids if ids.count(id) > 1}:
            raise ValueError(f"two rules are called {doubled.pop()}")
        for rule in self.rules:
            for mistake in self._mistakes(rule):
                raise ValueError(mistake)
        return self

    def _mistakes(self, rule: PrivacyRule) -> Iterator[str]:
        for sample in rule.hides:
            if Redaction(self, rule).hide(sample) == sample:
                yield f"{rule.id} hides nothing in {sample!r}"
        for sample in rule.keeps:
            if (hidden := Redaction(self, rule).hide(sample)) != sample:
                yield f"{rule.id} makes {hidden!r} of {sample!r}"

    def redacted(self, text: str) -> str:
        """*text* without what is personal: ``[mail#1]`` stands for the first address in it.

        What one place shows to be personal is hidden in all others: ``jdoe`` where ``user=jdoe``
        stands in another line.
        """
        redaction = Redaction(self)
        return redaction.hide_known(redaction.hide(text))


class Redaction:
    """What was hidden in the texts of one question, and how it comes back."""

    def __init__(self, policy: PrivacyPolicy, *only: PrivacyRule) -> None:
        self._policy = policy
        self._rules = only or policy.rules
        self._words: dict[tuple[str, str], str] = {}  # by rule and value

    def hide(self, text: str) -> str:
        """*text* with a word in place of each personal value."""
        for rule in self._rules:
            text = rule.regex.sub(partial(self._instead, rule), text)
        return text

    def hide_known(self, text: str) -> str:
        """*text* with their words in place of the values that were hidden so far."""
        values = {value.casefold(): word for (_, value), word in self._words.items()}
        if not values:
            return text
        longest_first = sorted(values, key=len, reverse=True)
        anywhere = "|".join(map(re.escape, longest_first))
        whole = re.compile(rf"(?<!\w)(?:{anywhere})(?!\w|#\d+\])", re.IGNORECASE)
        return whole.sub(lambda found: values.get(found[0].casefold(), found[0]), text)

    def restore(self, text: str) -> str:
        """*text*, such as an answer, with the values in place of their words."""
        values = {word: value for (_, value), word in self._words.items()}
        return HIDDEN.sub(lambda found: values.get(found[0], found[0]), text)

    def _instead(self, rule: PrivacyRule, found: re.Match[str]) -> str:
        value = found[rule.group]
        if not value or HIDDEN.search(value) or value.casefold() in self._policy.never_hidden:
            return found[0]
        start, end = (place - found.start() for place in found.span(rule.group))
        return found[0][:start] + self._word(rule.id, value) + found[0][end:]

    def _word(self, id: str, value: str) -> str:
        known = self._words.get((id, value))
        if known is None:
            number = 1 + sum(1 for other, _ in self._words if other == id)
            known = self._words[id, value] = f"[{id}#{number}]"
        return known
