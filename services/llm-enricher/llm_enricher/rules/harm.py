"""Advice that does harm: what a topic forbids, and whether a text advises it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

from aiops_core.models import Text
from aiops_core.policy.file import Section
from llm_enricher.rules.conditions import Regex

_SENTENCES = re.compile(r"(?<=[.!?;])\s+")
# "do not restart", "never format", "instead of a restart": it is warned of, not advised.
_WARNED = re.compile(
    r"\b(not|never|no|nobody|nothing|without|avoid|instead of|rather than|n't)\b|n't\b",
    re.IGNORECASE,
)


class HarmfulAdvice(Section):
    """What a recommendation must never say (a regex without regard to case), and why."""

    never: Regex
    because: Text

    def is_in(self, text: str) -> bool:
        """Whether *text* advises it; a sentence that warns of it does not."""
        pattern = re.compile(self.never, re.IGNORECASE)
        for sentence in _SENTENCES.split(text):
            found = pattern.search(sentence)
            if found and not _WARNED.search(sentence[: found.end()]):
                return True
        return False


def harmless(texts: Iterable[str], forbidden: Iterable[HarmfulAdvice]) -> tuple[str, ...]:
    """The *texts* that advise nothing of what is *forbidden*."""
    all_of_it = tuple(forbidden)
    return tuple(text for text in texts if not any(one.is_in(text) for one in all_of_it))
