"""Which two faults may share an answer of the model, and how its names change hands. Pure.

They are alike when everything that the model reads is, but for the names of devices, of their parts
and of the other side. Such names stand as ``{{device 1}}`` in the key and in what is kept, and are
filled in from the incident that uses it; the kind of object behind a name (``sw-core-`` of
``sw-core-2``) is in the key. Long numbers (ports, processes) of a line that has a template, or is
context, are not in the key, so an answer that quotes one is not kept.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from aiops_core.models import Citation, Evidence, LlmInsights
from llm_enricher.model.privacy import HIDDEN
from llm_enricher.question import ContextFact, MemberKind, Question

Redact = Callable[[str], str]

SHORTEST_NAME = 2  # characters; a shorter one is no name that can be found in a text
PASSING = re.compile(r"\b\d{4,}\b")  # ports, processes, times since some start
NUMBERS = re.compile(r"(?<![\w.])\d+(?![\w.]*\d)")
TIMES = re.compile(r"\b\d{1,2}:\d{2}\b|\b\d{4}-\d{2}-\d{2}\b")
DIGITS = re.compile(r"\d+")
PLACEHOLDER = re.compile(r"\{\{[a-z]+ \d+\}\}")
MEASURED = ("reading", "probe")  # kinds of context whose numbers are what they say
TEXTS = ("root_cause", "impact", "narrative")


@dataclass(frozen=True)
class Names:
    """The names in a question, and what stands for each."""

    placeholders: Mapping[str, str]

    @classmethod
    def of(cls, question: Question) -> Names:
        found: dict[str, str] = {}
        counts: dict[str, int] = {}
        for word, name in _named(question):
            if len(name) >= SHORTEST_NAME and name not in found:
                counts[word] = counts.get(word, 0) + 1
                found[name] = f"{{{{{word} {counts[word]}}}}}"
        return cls(found)

    def hidden(self, text: str) -> str:
        """*text* with placeholders; a name is none within a longer word."""
        if not self.placeholders:
            return text
        longest = sorted(self.placeholders, key=len, reverse=True)
        either = "|".join(map(re.escape, longest))
        pattern = rf"(?<![\w-])(?:{either})(?![\w-])"
        return re.sub(pattern, lambda found: self.placeholders[found[0]], text)

    def shown(self, text: str) -> str | None:
        """*text* with names; None when it has a placeholder that stands for none of them."""
        names = {placeholder: name for name, placeholder in self.placeholders.items()}
        if not names.keys() >= set(PLACEHOLDER.findall(text)):
            return None
        return PLACEHOLDER.sub(lambda found: names[found[0]], text)


def _named(question: Question) -> Iterator[tuple[str, str]]:
    """Names with the word for each, in an order that does not depend on them."""
    root = question.incident.root_cause
    if root and root.device:
        yield "device", root.device
    for kind in _ordered(question):
        yield "device", kind.device
        yield "device", kind.newest.host
        yield "part", kind.newest.component
        yield "peer", kind.newest.peer
    for fact in question.context:
        yield "device", fact.device
    for device in sorted(question.incident.affected_devices, key=lambda name: (_stem(name), name)):
        yield "device", device


def _ordered(question: Question) -> list[MemberKind]:
    return sorted(question.kinds, key=lambda one: (*_place(one), one.device))


def _place(kind: MemberKind) -> tuple[object, ...]:
    return (
        -kind.severity.rank,
        kind.anomaly_type,
        kind.service,
        _stem(kind.device),
        kind.newest.template_id,
    )


def _stem(name: str) -> str:
    """The kind of object that a name speaks of: the name without its numbers."""
    return DIGITS.sub("", name)


def key_of(question: Question, identity: str, redact: Redact) -> str:
    """The key of all faults that are like this one, for the model and prompt *identity*."""
    names = Names.of(question)

    def said(text: str) -> str:
        return redact(names.hidden(text))

    incident = question.incident
    root = incident.root_cause
    facts = {
        "identity": identity,
        "kind": (incident.domain, incident.category, incident.severity),
        "root": (said(root.device or ""), _stem(root.device or ""), root.service) if root else (),
        "root_type": _root_type(question),
        "often": incident.recurrence.occurrence > 1 if incident.recurrence else False,
        "members": [_member(one, said) for one in _ordered(question)],
        "context": [
            (one.kind, said(one.device), one.service, one.fine, _context_text(one, said))
            for one in question.context
        ],
        "documents": sorted(
            (one.kind, one.id, one.title, one.text, one.resolution) for one in question.documents
        ),
        "missing": question.missing,
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _root_type(question: Question) -> str:
    root = question.incident.root_cause
    types = {one.anomaly_id: one.anomaly_type for one in question.incident.evidence}
    return types.get(root.anomaly or "", "") if root else ""


def _member(kind: MemberKind, said: Redact) -> tuple[object, ...]:
    newest = kind.newest
    return (
        *_place(kind)[:4],
        said(kind.device),
        said(newest.component),
        kind.cleared,
        kind.count > 1,
        newest.template_id,
        newest.metric,
        _without_passing(newest, said(newest.msg)),
    )


def _without_passing(member: Evidence, text: str) -> str:
    """A reading is the fault itself; a line with a template is alike without its long numbers."""
    return PASSING.sub("#", text) if member.template_id and not member.metric else text


def _context_text(fact: ContextFact, said: Redact) -> str:
    text = said(fact.text)
    return text if fact.kind in MEASURED else PASSING.sub("#", text)


def kept_of(question: Question, insights: LlmInsights, redact: Redact) -> LlmInsights | None:
    """*insights* with placeholders; None when they quote what another fault need not have, or
    what is personal. A narrative that does so is left out. What was missing is not kept."""
    passing = _passing(question)
    if passing.in_any(_advised(insights)):
        return None
    if passing.in_any((insights.narrative,)):
        insights = insights.model_copy(update={"narrative": ""})
    names = Names.of(question)
    cited = _cited(question)
    if any(one.kind == "evidence" and one.id not in cited for one in insights.citations):
        return None
    citations = [
        Citation(kind=one.kind, id=cited.get(one.id, one.id)) for one in insights.citations
    ]
    kept = _rewritten(insights, lambda text: redact(names.hidden(text)), citations)
    if any(HIDDEN.search(text) for text in _advised(kept)):
        return None
    narrative = "" if HIDDEN.search(kept.narrative) else kept.narrative
    return kept.model_copy(update={"narrative": narrative, "missing": ()})


def _advised(insights: LlmInsights) -> tuple[str, ...]:
    return insights.root_cause, insights.impact, *insights.recommendations


@dataclass(frozen=True)
class Passing:
    """Numbers that faults which are alike need not share; times of day and dates never are."""

    numbers: frozenset[str]

    def in_any(self, texts: Iterable[str]) -> bool:
        return any(
            TIMES.search(text) or not self.numbers.isdisjoint(NUMBERS.findall(text))
            for text in texts
        )


def _passing(question: Question) -> Passing:
    """Long numbers of its lines, and how many there are of what."""
    incident = question.incident
    lines = [kind.newest.msg for kind in question.kinds]
    lines += [fact.text for fact in question.context if fact.kind not in MEASURED]
    said = {found for text in lines for found in PASSING.findall(text)}
    counts = {incident.anomaly_count, len(incident.affected_devices)}
    counts |= {kind.count for kind in question.kinds}
    if incident.recurrence:
        counts.add(incident.recurrence.occurrence)
    return Passing(frozenset(said | {str(count) for count in counts if count > 1}))


def used_of(question: Question, kept: LlmInsights) -> LlmInsights | None:
    """*kept* with the names of this question; None when it speaks of what is not here."""
    names = Names.of(question)
    here = {place: id for id, place in reversed(_cited(question).items())}
    if any(one.id.startswith("#") and one.id not in here for one in kept.citations):
        return None
    if any(names.shown(text) is None for text in _texts(kept)):
        return None
    citations = [Citation(kind=one.kind, id=here.get(one.id, one.id)) for one in kept.citations]
    used = _rewritten(kept, lambda text: names.shown(text) or "", citations)
    return used.model_copy(update={"source": "cache"})


def _texts(insights: LlmInsights) -> Iterator[str]:
    yield from (getattr(insights, name) for name in TEXTS)
    yield from insights.recommendations


def _cited(question: Question) -> dict[str, str]:
    """What can be cited, and its place in the question: ``#2`` is evidence of the second kind."""
    places: dict[str, str] = {}
    for n, kind in enumerate(_ordered(question), 1):
        places[kind.newest.anomaly_id] = f"#{n}"
    orders = {place: n for n, place in enumerate(_keys(question))}
    for member in question.incident.evidence:
        if (found := orders.get((member.device, member.service, member.anomaly_type))) is not None:
            places.setdefault(member.anomaly_id, f"#{found + 1}")
    for n, fact in enumerate(question.context, 1):
        places.setdefault(fact.id, f"#context {n}")
    return places


def _keys(question: Question) -> Iterator[tuple[str, str, str]]:
    for kind in _ordered(question):
        yield kind.device, kind.service, kind.anomaly_type


def _rewritten(insights: LlmInsights, change: Redact, citations: Iterable[Citation]) -> LlmInsights:
    texts = {name: change(getattr(insights, name)) for name in TEXTS}
    return insights.model_copy(
        update={
            **texts,
            "recommendations": tuple(map(change, insights.recommendations)),
            "citations": tuple(citations),
        }
    )
