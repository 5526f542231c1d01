"""A briefing as a prompt of at most so many tokens, by a file whose name is its version. Pure.

Facts come first. Those that find no room are left out: documents before context, context before
evidence, and of equal ones the oldest.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib import resources
from string import Template
from typing import Final

from aiops_core.errors import Misconfigured
from llm_enricher.model.briefing import OFFER, Briefing, Fact

_SPLIT: Final = "\n---\n"
# What tokenisers make of logs: digits and signs are tokens each, long words are several.
_TOKENS: Final = re.compile(r"[A-Za-z]{1,7}|\d|[^\sA-Za-z\d]|\n")
CHAT: Final = 20  # tokens of the chat's own markup


@dataclass(frozen=True, slots=True)
class Prompt:
    """*briefing* has the facts that are shown, and no others."""

    system: str
    user: str
    briefing: Briefing

    @property
    def tokens(self) -> int:
        return CHAT + estimated_tokens(self.system) + estimated_tokens(self.user)


@dataclass(frozen=True, slots=True)
class PromptFile:
    """*version* names it."""

    version: str
    system: str
    user: Template

    def fill(self, briefing: Briefing, most: int) -> Prompt:
        """A prompt of at most *most* estimated tokens; the weightiest fact is always shown."""
        offers = "\n".join(f"{id} {_short(text)}" for id, text in briefing.offers.items()) or "none"
        bare = self.user.substitute(facts="", offers=offers, head=briefing.head)
        room = most - CHAT - estimated_tokens(self.system) - estimated_tokens(bare)
        lines = _fitting(briefing.facts, room)
        shown = briefing.only(lines)
        facts = "\n".join(lines[fact.id] for fact in shown.facts)
        user = self.user.substitute(facts=facts, offers=offers, head=briefing.head)
        return Prompt(self.system, user.strip(), shown)


@cache
def prompt_file(version: str) -> PromptFile:
    """Raises Misconfigured when there is no such prompt, or when it lacks a part."""
    folder = resources.files(__package__) / "prompts"
    try:
        system, user = (folder / f"{version}.txt").read_text(encoding="utf-8").split(_SPLIT)
        template = Template(user)
        template.substitute(facts="", offers="", head="")
    except OSError as exc:
        known = ", ".join(sorted(it.name.removesuffix(".txt") for it in folder.iterdir()))
        raise Misconfigured(f"llm.yaml: model.prompt: {version}: there are {known}") from exc
    except (ValueError, KeyError) as exc:
        raise Misconfigured(f"prompt {version}: a part or a place is wrong: {exc}") from exc
    return PromptFile(version, system.strip(), template)


def estimated_tokens(text: str) -> int:
    """Rather too many than too few."""
    return len(_TOKENS.findall(text))


def _fitting(facts: tuple[Fact, ...], room: int) -> dict[str, str]:
    """By id the lines that find room, shortened where that helps."""
    fitting: dict[str, str] = {}
    for fact in sorted(facts, key=lambda it: it.weight, reverse=True):
        for line in fact.lines:
            cost = 1 + estimated_tokens(line)
            if cost <= room:
                fitting[fact.id] = line
                room -= cost
                break
    if not fitting and facts:
        heaviest = max(facts, key=lambda it: it.weight)
        fitting[heaviest.id] = heaviest.lines[-1]
    return fitting


def _short(text: str) -> str:
    """An action as far as its first pause: its id stands for all of it."""
    start = re.split(r"[,;:(]|\. ", text, maxsplit=1)[0].rstrip(".")
    return start if len(start) <= OFFER else start[: OFFER - 1].rstrip() + "…"
