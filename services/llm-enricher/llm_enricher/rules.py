"""Explanations from the rules of ``policies/llm.yaml``: at once, and always one. Pure.

Rules are matched with the evidence at the root of the incident, then with the others, worst and
earliest first; the first match explains the incident. Every explanation cites its evidence.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import NamedTuple

from aiops_core.models import Citation, Evidence, Incident, LlmInsights
from llm_enricher.narrative import narrative
from llm_enricher.policy import PLACEHOLDERS, Explanation, ExplanationRule, LlmPolicy
from llm_enricher.question import Question

CITED_MOST = 5
READ_MOST = 500  # characters of a text that are searched: this bounds backtracking


class RuleMatch(NamedTuple):
    """An explanation, its evidence, and the named groups in the text."""

    explanation: Explanation
    evidence: Evidence | None = None
    groups: Mapping[str, str] = MappingProxyType({})


class RuledIncident(NamedTuple):
    """The answer to a question."""

    insights: LlmInsights


class QuestionRules:
    """A rule book that is asked questions, of which it reads the incident."""

    def __init__(self, book: RuleBook) -> None:
        self._book = book

    def explain(self, question: Question) -> RuledIncident:
        return RuledIncident(self._book.explain(question.incident))


class RuleBook:
    """The explainer that always has an answer."""

    def __init__(self, policy: LlmPolicy) -> None:
        self._rules = [
            (rule, [re.compile(p, re.IGNORECASE) for p in rule.patterns]) for rule in policy.rules
        ]
        self._generic = policy.generic

    def explain(self, incident: Incident) -> LlmInsights:
        """The explanation of the first matching rule, without ``latency_ms``."""
        match = self._match(incident)
        words = _words(incident, match)
        explanation = match.explanation
        root_cause = _fill(explanation.root_cause, words)
        return LlmInsights(
            root_cause=root_cause,
            impact=_fill(explanation.impact, words),
            recommendations=tuple(_fill(text, words) for text in explanation.recommendations),
            narrative=narrative(incident, root_cause),
            confidence=explanation.confidence,
            citations=_citations(incident, match.evidence),
            source="rules",
        )

    def _match(self, incident: Incident) -> RuleMatch:
        evidence = _by_weight(incident)
        for item in evidence:
            if found := self._of_evidence(item):
                return found
        if found := self._of_texts(incident):
            return found
        return RuleMatch(self._generic[incident.domain], evidence[0] if evidence else None)

    def _of_evidence(self, evidence: Evidence) -> RuleMatch | None:
        for rule, patterns in self._rules:
            groups = _groups(patterns, evidence.msg) if _covers(rule, evidence) else None
            if groups is not None:
                return RuleMatch(rule, evidence, groups)
        return None

    def _of_texts(self, incident: Incident) -> RuleMatch | None:
        """A rule whose patterns match the title or description written by a person.

        Those of an incident with evidence were made from it, and say nothing more.
        """
        if incident.evidence:
            return None
        for rule, patterns in self._rules:
            if patterns and (not rule.domains or incident.domain in rule.domains):
                groups = _groups(patterns, f"{incident.title}\n{incident.description}")
                if groups is not None:
                    return RuleMatch(rule, None, groups)
        return None


def _by_weight(incident: Incident) -> list[Evidence]:
    """The root cause first, then by severity and time."""
    root = incident.root_cause.anomaly if incident.root_cause else None
    return sorted(incident.evidence, key=lambda e: (e.anomaly_id != root, -e.severity.rank, e.ts))


def _covers(rule: ExplanationRule, evidence: Evidence) -> bool:
    return (
        (not rule.domains or evidence.domain in rule.domains)
        and _fits(rule.types, evidence.anomaly_type)
        and _fits(rule.senders, evidence.device, evidence.service)
    )


def _fits(globs: tuple[str, ...], *names: str) -> bool:
    return not globs or any(fnmatchcase(name.lower(), glob) for glob in globs for name in names)


def _groups(patterns: list[re.Pattern[str]], text: str) -> Mapping[str, str] | None:
    """The named groups of the first pattern that matches; None without a match."""
    if not patterns:
        return {}
    found = next(filter(None, (pattern.search(text[:READ_MOST]) for pattern in patterns)), None)
    return {k: v for k, v in found.groupdict().items() if v} if found else None


def _words(incident: Incident, match: RuleMatch) -> dict[str, str]:
    """The placeholders: from the text, else the evidence or the incident, else in general."""
    root, evidence = incident.root_cause, match.evidence
    service = evidence.service if evidence else (root.service if root else None)
    known = {
        "device": evidence.device if evidence else (root.device if root else None),
        "service": None if service == "unknown" else service,
        "peer": next((k.split("|", 2)[2] for k in incident.corr_keys if "|peer|" in k), None),
        "count": str(incident.anomaly_count) if incident.anomaly_count else None,
    }
    return PLACEHOLDERS | {k: v for k, v in known.items() if v} | dict(match.groups)


def _fill(text: str, words: Mapping[str, str]) -> str:
    """*text* as a sentence; a device or service at its beginning keeps its spelling."""
    filled = text.format_map(words)
    begins_generally = filled.startswith(tuple(PLACEHOLDERS.values()))
    return filled[:1].upper() + filled[1:] if begins_generally else filled


def _citations(incident: Incident, matched: Evidence | None) -> tuple[Citation, ...]:
    """The matched evidence, then the others by weight."""
    ids = [e.anomaly_id for e in ([matched] if matched else []) + _by_weight(incident)]
    return tuple(Citation(kind="evidence", id=id) for id in list(dict.fromkeys(ids))[:CITED_MOST])
