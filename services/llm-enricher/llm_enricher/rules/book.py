"""The explanation of an incident by rules: always one, in milliseconds. Pure.

Every rule that fits is weighed: how sure it is, whether it is about the origin, how much of the
incident it explains. The weightiest is the cause; a fault that it does not explain is named beside
it. Where nothing fits, what is known is said, and that the cause is not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, zip_longest
from typing import Self

from aiops_core.models import Citation, LlmInsights, Record
from llm_enricher.policy import LlmPolicy
from llm_enricher.question import Question
from llm_enricher.rules.candidates import Candidate, CauseTable, Considered, chosen, considered
from llm_enricher.rules.case import IncidentCase, Item
from llm_enricher.rules.harm import HarmfulAdvice, harmless
from llm_enricher.rules.narrative import narrative
from llm_enricher.rules.packs import NamedRule
from llm_enricher.rules.policy import RulesPolicy
from llm_enricher.rules.unknown import UNKNOWN, what_is_seen, what_speaks_for_what
from llm_enricher.rules.words import Words, fill, without_repeats

CITED_MOST = 5
STEPS_MOST = 6
UNKNOWN_CONFIDENCE = 0.2
BESIDE = "Besides, and not explained by it:"
_READING = re.compile(r"^(?P<name>\w+) is (?P<value>[^,]+), limit (?P<limit>\S+(?: \S+)?)$")


class SaidFault(Record):
    """A fault that an explanation names: by which rule, where, and how sure."""

    rule: str
    device: str
    anomaly: str
    root_cause: str
    confidence: float


class RuleAnswer(Record):
    """An explanation by rules, and what whoever explains further must respect.

    No *faults*: the cause is not known. *ruled_out*: rules whose cause a fact excludes.
    *forbidden*: advice that the topics concerned list as harmful. *facts*: ids of the context that
    it rests on.
    """

    insights: LlmInsights
    faults: tuple[SaidFault, ...] = ()
    ruled_out: tuple[str, ...] = ()
    forbidden: tuple[HarmfulAdvice, ...] = ()
    facts: tuple[str, ...] = ()


class RuleBook:
    """Answers every question."""

    def __init__(
        self,
        rules: Sequence[NamedRule],
        harmful: Mapping[str, Sequence[HarmfulAdvice]],
        policy: RulesPolicy,
    ) -> None:
        self._table = CauseTable(rules)
        self._harmful = harmful
        self._policy = policy

    @classmethod
    def of(cls, policy: LlmPolicy) -> Self:
        return cls(policy.packs.rules, policy.packs.harmful, policy.rules)

    def explain(self, question: Question) -> RuleAnswer:
        """The explanation, without ``latency_ms``."""
        case = IncidentCase.of(question)
        found = considered(case, self._table, self._policy.weights)
        said = chosen(case, found, self._policy)
        forbidden = self._forbidden(found)
        facts = tuple(dict.fromkeys(chain.from_iterable(_rests_on(one) for one in said)))
        return RuleAnswer(
            insights=self._insights(case, said, forbidden, facts),
            faults=tuple(_said_fault(case, one) for one in said),
            ruled_out=tuple(sorted(found.ruled_out)),
            forbidden=forbidden,
            facts=tuple(fact.id for fact in facts if not fact.is_member),
        )

    def _forbidden(self, found: Considered) -> tuple[HarmfulAdvice, ...]:
        """Of every topic that comes into question, also by a rule that is ruled out."""
        names = (*(one.named.name for one in found.candidates), *found.ruled_out)
        packs = dict.fromkeys(name.partition("/")[0] for name in names)
        return tuple(one for pack in packs for one in self._harmful.get(pack, ()))

    def _insights(
        self,
        case: IncidentCase,
        said: Sequence[Candidate],
        forbidden: Sequence[HarmfulAdvice],
        facts: Sequence[Item],
    ) -> LlmInsights:
        cause, impact, steps = self._texts(case, said)
        safe = harmless(steps, forbidden)
        cause, impact, *advised = without_repeats((cause, impact, *safe), keep=2)
        told = without_repeats((cause, impact, *narrative(case, facts)), keep=2)[2:]
        return LlmInsights(
            root_cause=cause,
            impact=impact,
            recommendations=tuple(advised[:STEPS_MOST]),
            narrative=" ".join(told),
            confidence=min((one.rule.confidence for one in said), default=UNKNOWN_CONFIDENCE),
            citations=_citations(case, said),
            source="rules",
        )

    def _texts(
        self, case: IncidentCase, said: Sequence[Candidate]
    ) -> tuple[str, str, tuple[str, ...]]:
        """Root cause, impact and steps."""
        if not said:
            return self._unknown(case)
        causes = [_filled(one.rule.root_cause, case, one) for one in said]
        first = said[0].rule
        if first.confidence < self._policy.unsure_below:
            causes = [
                *causes,
                f"{UNKNOWN.replace('The cause', 'Why')}.",
                *what_speaks_for_what(case),
            ]
        elif len(causes) > 1:
            causes.insert(1, BESIDE)
        impacts = [_filled(one.rule.impact, case, one) for one in said]
        steps = [[_filled(t, case, one) for t in one.rule.recommendations] for one in said]
        return " ".join(causes), " ".join(without_repeats(impacts)), tuple(_by_turns(steps))

    def _unknown(self, case: IncidentCase) -> tuple[str, str, tuple[str, ...]]:
        general = self._policy.unknown[case.incident.domain]
        words = _words_of(case, case.members[0])
        cause = " ".join((what_is_seen(case), *what_speaks_for_what(case)))
        steps = tuple(fill(text, words) for text in general.recommendations)
        return cause, fill(general.impact, words), steps


def _rests_on(one: Candidate) -> Iterator[Item]:
    if not one.about.is_member:
        yield one.about
    yield from one.facts


def _by_turns(steps: Sequence[Sequence[str]]) -> Iterator[str]:
    """The first of each fault, then the second: none is cut off for the other."""
    for turn in zip_longest(*steps):
        yield from filter(None, turn)


def _said_fault(case: IncidentCase, one: Candidate) -> SaidFault:
    return SaidFault(
        rule=one.named.name,
        device=one.about.device,
        anomaly=one.about.id,
        root_cause=_filled(one.rule.root_cause, case, one),
        confidence=one.rule.confidence,
    )


def _filled(text: str, case: IncidentCase, one: Candidate) -> str:
    return fill(text, {**_words_of(case, one.about), **one.groups})


def _words_of(case: IncidentCase, item: Item) -> Words:
    """Values of the member, else of the incident."""
    incident = case.incident
    peer = next((key.split("|", 2)[2] for key in incident.corr_keys if "|peer|" in key), "")
    words = {
        "device": item.device or case.root_device,
        "devices": ", ".join(incident.affected_devices[:5]),
        "service": item.service,
        "peer": item.peer or peer,
        "count": str(incident.anomaly_count or ""),
        **_parts(item),
    }
    return {name: value for name, value in words.items() if value}


def _parts(item: Item) -> dict[str, str]:
    """What the component (``interface Gi1/0/24, fan 2``) and the reading of a member say."""
    named = (part.partition(" ") for part in item.component.split(", ") if part)
    parts = {kind: value for kind, _, value in named if kind in ("interface", "disk", "array")}
    if reading := _READING.match(item.text):
        parts |= {name: value for name, value in reading.groupdict().items() if value}
    return parts


def _citations(case: IncidentCase, said: Sequence[Candidate]) -> tuple[Citation, ...]:
    """The members that the causes are about and rest on, then the others by weight."""
    about = chain.from_iterable((one.about, *one.facts) for one in said)
    ids = dict.fromkeys(item.id for item in (*about, *case.members) if item.is_member)
    return tuple(Citation(kind="evidence", id=id_) for id_ in list(ids)[:CITED_MOST])
