"""Which lines around an incident are worth telling, what they are, and what they show. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from aiops_core.models import Level
from llm_enricher.evidence.objects import mentions
from llm_enricher.evidence.policy import EvidencePolicy
from llm_enricher.question import ContextFact
from llm_enricher.rules.conditions import groups_of

TEXT_KEPT = 300  # characters
ALIKE_KEPT = 2  # lines of one device that differ in numbers only: the newest
_NUMBERS = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class StoredLine:
    """A row of ``logs.raw``."""

    tracking_id: str
    ts: datetime
    device: str
    service: str
    level: str
    text: str


@dataclass(frozen=True, slots=True)
class Around:
    """What an incident is about: its *devices*, the *objects* on them, and when it *began*."""

    devices: frozenset[str]
    objects: tuple[str, ...]
    began: datetime


def facts_of(
    lines: Iterable[StoredLine], around: Around, policy: EvidencePolicy
) -> tuple[ContextFact, ...]:
    """The lines that say most, as facts in the order of their time."""
    judged = [(_fact(line, policy), line) for line in lines]
    worth = [(_worth(fact, line, around), fact) for fact, line in judged]
    ranked = sorted(worth, key=lambda one: (-one[0], abs(one[1].ts - around.began)))
    kept: list[ContextFact] = []
    alike: dict[tuple[str, str], int] = {}
    for value, fact in ranked:
        key = (fact.device, _NUMBERS.sub("#", fact.text))
        alike[key] = alike.get(key, 0) + 1
        if value > 0 and alike[key] <= ALIKE_KEPT and len(kept) < policy.facts:
            kept.append(fact)
    return tuple(sorted(kept, key=lambda fact: (fact.ts, fact.id)))


def _fact(line: StoredLine, policy: EvidencePolicy) -> ContextFact:
    return ContextFact(
        id=f"line:{line.tracking_id}",
        kind=_kind(line.text, policy),
        ts=line.ts,
        device=line.device,
        service=line.service,
        text=line.text[:TEXT_KEPT],
        fine=_is_fine(line, policy),
    )


def _kind(text: str, policy: EvidencePolicy) -> str:
    for one in policy.kinds:
        if groups_of(one.patterns, text) is not None:
            return one.kind
    return "line"


def _is_fine(line: StoredLine, policy: EvidencePolicy) -> bool:
    """A line says that something is as it should be: by its words, and not against its level."""
    if line.level in (Level.ERROR, Level.CRITICAL):
        return False
    if groups_of(policy.fine, line.text) is None:
        return False
    return groups_of(policy.not_fine, line.text) is None


def _worth(fact: ContextFact, line: StoredLine, around: Around) -> int:
    """0: of another device and about nothing of this incident."""
    here = fact.device in around.devices
    about = mentions(fact.text, around.objects)
    signal = fact.kind != "line"
    if not (here or about or signal):
        return 0
    loud = line.level in (Level.WARNING, Level.ERROR, Level.CRITICAL)
    return 4 * about + 3 * signal + 2 * here + fact.fine + loud


def signal_words(policy: EvidencePolicy) -> Sequence[str]:
    """The words by which lines of every device are looked for."""
    return [word for one in policy.kinds for word in one.words]
