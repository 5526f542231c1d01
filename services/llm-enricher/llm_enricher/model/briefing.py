"""A question as a model may read it: short lines with ids, nothing personal, no orders. Pure.

``E1`` is evidence of the incident, ``C1`` context, ``D1`` a document, ``A1`` an action that is
offered. Ids are ours and stand for one question; an answer that uses another one cites nothing.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from aiops_core.models import Citation, Incident, LlmInsights, RootCause
from llm_enricher.model.policy import VerificationRules
from llm_enricher.model.privacy import Redaction
from llm_enricher.model.words import stems
from llm_enricher.question import WARNING, ContextFact, Document, MemberKind, Question
from llm_enricher.rules.harm import HarmfulAdvice, harmless

STEERED: Final = "(text that gives instructions, left out)"
LINE, PASSAGE, OFFER = 110, 140, 80  # characters that the prompt shows
SHORT = 48  # of a line, where there is little room
OFFERED_MOST: Final = 6
READ_MOST: Final = 2000  # characters of one text that are looked at
HARM_SHARED: Final = 0.75  # of the words of a warning, for advice to be what it warns of
_MARKUP = re.compile(r"<\|[^|>]{0,40}\|>|</?s>|\[/?INST\]|<</?SYS>>|<(?:start|end)_of_turn>")
_QUOTES = str.maketrans({'"': "'", "“": "'", "”": "'", "`": "'", "\\": "/"})
_MARK = r"[ \t]{0,8}(?:[-*•]|\d{1,2}[.)])[ \t]+"
_ITEM = re.compile(rf"^{_MARK}(.+(?:\n(?!{_MARK})[ \t]*\S.*)*)$", re.MULTILINE)
_ADVISES = re.compile(
    r"\b(?:fix(?:es)?|checks?|steps?|actions?|remed(?:y|ies)|repairs?|procedures?|what to do)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Fact:
    """*lines* are what the prompt may show, the longest first, *text* all that it stands for.
    *weight*: the higher, the sooner it is shown. *proves*: it can be what a cause rests on."""

    id: str
    citation: Citation
    lines: tuple[str, ...]
    text: str
    weight: tuple[int, float]
    device: str = ""
    proves: bool = True
    fine: bool = False


@dataclass(frozen=True)
class Briefing:
    """*head* says which incident it is. *offers* are recommendations by id, *harms* what documents
    warn of. *known* are further texts whose words an answer may use."""

    head: str
    facts: tuple[Fact, ...]
    offers: Mapping[str, str]
    harms: tuple[str, ...]
    known: tuple[str, ...]

    def only(self, shown: Container[str]) -> Briefing:
        """With no facts but those that the prompt has room for."""
        facts = tuple(fact for fact in self.facts if fact.id in shown)
        return Briefing(self.head, facts, self.offers, self.harms, self.known)


def brief(
    question: Question,
    first: LlmInsights,
    redaction: Redaction,
    rules: VerificationRules,
    forbidden: Sequence[HarmfulAdvice] = (),
) -> Briefing:
    """*first* is the explanation that stands now; its recommendations are offered, but nothing
    that is *forbidden*."""
    reader = _Reader(redaction, rules)
    incident = question.incident
    members = _members(question)
    facts = (
        *(reader.member(n, it, incident) for n, it in enumerate(members, start=1)),
        *(reader.context(n, it) for n, it in enumerate(question.context, start=1)),
        *(reader.document(n, it) for n, it in enumerate(question.documents, start=1)),
    )
    harms = tuple(reader.harms(question.documents))
    texts = [reader.read(text) for text in first.recommendations]
    texts += [reader.read(text) for text in _advice(question.documents)]
    texts = list(harmless(texts, forbidden))
    root = incident.root_cause or RootCause()
    known = (incident.title, root.device or "", root.service or "", *incident.affected_devices)
    said = (first.root_cause, first.impact, *first.recommendations)
    return Briefing(
        head=reader.head(incident),
        facts=facts,
        offers=_offers(texts, harms, rules),
        harms=harms,
        known=tuple(reader.read(text) for text in (*known, *incident.affected_services, *said)),
    )


def harmful(text: str, harms: Sequence[str]) -> bool:
    """*text* tells to do what one of *harms* warns of."""
    if WARNING.search(text):
        return False
    words = stems(text)
    for harm in harms:
        warned = stems(WARNING.sub(" ", harm))
        if len(warned) > 1 and len(warned & words) >= HARM_SHARED * len(warned):
            return True
    return False


@dataclass(frozen=True, slots=True)
class _Member:
    """Members of one kind: *msg* is of the newest, *id* its anomaly."""

    id: str
    device: str
    service: str
    type: str
    count: int
    last: datetime
    rank: int
    msg: str
    cleared: bool = False


def _members(question: Question) -> list[_Member]:
    """By kind; of an incident whose kinds were not gathered, its evidence by type and device."""
    if question.kinds:
        return [_of_kind(kind) for kind in question.kinds]
    found: dict[tuple[str, str, str], _Member] = {}
    for one in sorted(question.incident.evidence, key=lambda e: e.ts):
        key = (one.device, one.service, one.anomaly_type)
        count = found[key].count + 1 if key in found else 1
        found[key] = _Member(
            one.anomaly_id, *key, count, one.ts, one.severity.rank, one.msg or one.label
        )
    return list(found.values())


def _of_kind(kind: MemberKind) -> _Member:
    return _Member(
        kind.newest.anomaly_id,
        kind.device,
        kind.service,
        kind.anomaly_type,
        kind.count,
        kind.last,
        kind.severity.rank,
        kind.newest.msg or kind.newest.label,
        kind.cleared,
    )


class _Reader:
    """Texts of a question as the prompt may have them."""

    def __init__(self, redaction: Redaction, rules: VerificationRules) -> None:
        self._redaction, self._rules = redaction, rules

    def read(self, text: str) -> str:
        """*text* as data in one line: nothing personal, no markup of chats, no instructions."""
        plain = unicodedata.normalize("NFKC", text[:READ_MOST])
        plain = "".join(c if c.isprintable() else " " for c in plain if not _invisible(c))
        plain = _MARKUP.sub(" ", plain).translate(_QUOTES)
        plain = " ".join(plain.split())
        return STEERED if self._rules.steers(plain) else self._redaction.hide(plain)

    def head(self, incident: Incident) -> str:
        root = incident.root_cause
        at = f", probably from {root.device}" if root and root.device else ""
        many = len(incident.affected_devices)
        extent = f"{incident.anomaly_count} anomalies on {many} device{'s' * (many != 1)}"
        return self.read(f"{incident.severity} {incident.domain} incident: {extent}{at}.")

    def member(self, number: int, it: _Member, incident: Incident) -> Fact:
        root = incident.root_cause
        at_root = bool(root and (root.anomaly == it.id or root.device == it.device))
        text, ended = self.read(it.msg), " (ended)" if it.cleared else ""
        service = "" if it.service in ("", "unknown") else f" {self.read(it.service)}"
        what = f"{self.read(it.device)}{service} {it.type} x{it.count}{ended}"
        return Fact(
            id=f"E{number}",
            citation=Citation(kind="evidence", id=it.id),
            lines=_lines(f"E{number} {it.last:%H:%M:%S} {what}", text),
            text=f"{it.last:%H:%M:%S} {what}: {text}",
            weight=(20 + 10 * at_root + it.rank, it.last.timestamp()),
            device=it.device,
            proves=text != STEERED,
        )

    def context(self, number: int, it: ContextFact) -> Fact:
        text, fine = self.read(it.text), " (checked: fine)" if it.fine else ""
        where = " ".join(self.read(name) for name in (it.device, it.service) if name)
        what = f"{where} {it.kind}{fine}".strip()
        return Fact(
            id=f"C{number}",
            citation=Citation(kind="evidence", id=it.id),
            lines=_lines(f"C{number} {it.ts:%H:%M:%S} {what}", text),
            text=f"{it.ts:%H:%M:%S} {what}: {text}",
            weight=(12 if it.fine else 11, it.ts.timestamp()),
            device=it.device,
            proves=not it.fine and text != STEERED,
            fine=it.fine,
        )

    def document(self, number: int, it: Document) -> Fact:
        ended = f" Ended by: {self.read(it.resolution)}." if it.resolution else ""
        title, passage = self.read(it.title), self.read(it.text)
        kind = "runbook" if it.kind == "runbook" else "earlier incident"
        text = f"{kind} {title}: {passage}{ended}"
        shown = f"{title}.{ended} {passage}"
        return Fact(
            id=f"D{number}",
            citation=Citation(kind=it.kind, id=it.id),
            lines=_lines(f"D{number} {kind}", shown, PASSAGE),
            text=text,
            weight=(5, it.score),
            proves=False,
        )

    def harms(self, documents: Sequence[Document]) -> Iterator[str]:
        """What *documents* warn of: items of a part that says what not to do, and single ones."""
        for it in documents:
            if it.kind == "runbook":
                warns = WARNING.search(it.title) is not None
                for item in _ITEM.findall(it.text[:READ_MOST]):
                    if warns or WARNING.match(item):
                        yield self.read(item)


def _invisible(character: str) -> bool:
    """Of no width, or turning the direction of text: used to hide text from people."""
    return unicodedata.category(character) == "Cf"


def _advice(documents: Sequence[Document]) -> Iterator[str]:
    """Items of runbooks, of a part that says what to do: others have symptoms, or whom to call."""
    for it in documents:
        if it.kind == "runbook" and _ADVISES.search(it.part) and not WARNING.search(it.title):
            yield from (item for item in _ITEM.findall(it.text[:READ_MOST]))


def _offers(
    texts: Iterable[str], harms: Sequence[str], rules: VerificationRules
) -> Mapping[str, str]:
    fit = [
        text
        for text in dict.fromkeys(texts)
        if text != STEERED and not rules.forbids(text) and not harmful(text, harms)
    ]
    return {f"A{number}": text for number, text in enumerate(fit[:OFFERED_MOST], start=1)}


def _lines(what: str, text: str, most: int = LINE) -> tuple[str, ...]:
    return tuple(f'{what}: "{_clipped(text, size)}"' for size in (most, SHORT))


def _clipped(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"
