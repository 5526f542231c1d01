"""An explanation from the table of ``policies/llm.yaml``: at once, and always one. No I/O, no clock.

The evidence at the root of the incident is asked first, then the others, worst and earliest first;
the first rule that fits one of them speaks. Every explanation cites the evidence that it rests on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import NamedTuple

from aiops_core.models import Citation, Evidence, Incident, LlmInsights
from llm_enricher.narrative import narrative
from llm_enricher.policy import PLACEHOLDERS, Explanation, LlmPolicy, Rule

CITED_MOST = 5
READ_MOST = 500  # characters of a text that patterns are tried on: a backtracking one stays cheap


class Match(NamedTuple):
    """What to say, on which evidence, and what its text told."""

    explanation: Explanation
    evidence: Evidence | None = None
    told: Mapping[str, str] = MappingProxyType({})


class RuleBook:
    """The explainer that never has to pass."""

    def __init__(self, policy: LlmPolicy) -> None:
        self._rules = [
            (rule, [re.compile(p, re.IGNORECASE) for p in rule.patterns]) for rule in policy.rules
        ]
        self._generic = policy.generic

    def explain(self, incident: Incident) -> LlmInsights:
        """What the first fitting rule says; ``latency_ms`` is left to whoever has a clock."""
        match = self._match(incident)
        words = _words(incident, match)
        said = match.explanation
        root_cause = _fill(said.root_cause, words)
        return LlmInsights(
            root_cause=root_cause,
            impact=_fill(said.impact, words),
            recommendations=tuple(_fill(text, words) for text in said.recommendations),
            narrative=narrative(incident, root_cause),
            confidence=said.confidence,
            citations=_citations(incident, match.evidence),
            source="rules",
        )

    def _match(self, incident: Incident) -> Match:
        evidence = _by_weight(incident)
        for item in evidence:
            if found := self._fitting(item):
                return found
        if found := self._in_words(incident):
            return found
        return Match(self._generic[incident.domain], evidence[0] if evidence else None)

    def _fitting(self, evidence: Evidence) -> Match | None:
        for rule, patterns in self._rules:
            told = _told(patterns, evidence.msg) if _covers(rule, evidence) else None
            if told is not None:
                return Match(rule, evidence, told)
        return None

    def _in_words(self, incident: Incident) -> Match | None:
        """A rule whose patterns fit what a person wrote, for an incident without telling evidence."""
        for rule, patterns in self._rules:
            if patterns and (not rule.domains or incident.domain in rule.domains):
                told = _told(patterns, f"{incident.title}\n{incident.description}")
                if told is not None:
                    return Match(rule, None, told)
        return None


def _by_weight(incident: Incident) -> list[Evidence]:
    """Evidence in the order in which it may explain the incident."""
    root = incident.root_cause.anomaly if incident.root_cause else None
    return sorted(incident.evidence, key=lambda e: (e.anomaly_id != root, -e.severity.rank, e.ts))


def _covers(rule: Rule, evidence: Evidence) -> bool:
    return (
        (not rule.domains or evidence.domain in rule.domains)
        and _fits(rule.types, evidence.anomaly_type)
        and _fits(rule.senders, evidence.device, evidence.service)
    )


def _fits(globs: tuple[str, ...], *names: str) -> bool:
    return not globs or any(fnmatchcase(name.lower(), glob) for glob in globs for name in names)


def _told(patterns: list[re.Pattern[str]], text: str) -> Mapping[str, str] | None:
    """What the named groups of the first fitting pattern caught; None when no pattern fits."""
    if not patterns:
        return {}
    found = next(filter(None, (pattern.search(text[:READ_MOST]) for pattern in patterns)), None)
    return {k: v for k, v in found.groupdict().items() if v} if found else None


def _words(incident: Incident, match: Match) -> dict[str, str]:
    """Every placeholder: as the text told it, else from the evidence or incident, else in general."""
    root, evidence = incident.root_cause, match.evidence
    service = evidence.service if evidence else (root.service if root else None)
    known = {
        "device": evidence.device if evidence else (root.device if root else None),
        "service": None if service == "unknown" else service,
        "peer": next((k.split("|", 2)[2] for k in incident.corr_keys if "|peer|" in k), None),
        "count": str(incident.anomaly_count) if incident.anomaly_count else None,
    }
    return PLACEHOLDERS | {k: v for k, v in known.items() if v} | dict(match.told)


def _fill(text: str, words: Mapping[str, str]) -> str:
    """*text* as a sentence; the name of a device or service keeps its spelling at the beginning too."""
    filled = text.format_map(words)
    begins_generally = filled.startswith(tuple(PLACEHOLDERS.values()))
    return filled[:1].upper() + filled[1:] if begins_generally else filled


def _citations(incident: Incident, matched: Evidence | None) -> tuple[Citation, ...]:
    """The evidence that was decisive, then the rest by weight; only what the incident carries."""
    ids = [e.anomaly_id for e in ([matched] if matched else []) + _by_weight(incident)]
    return tuple(Citation(kind="evidence", id=id) for id in list(dict.fromkeys(ids))[:CITED_MOST])
