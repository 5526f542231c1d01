"""Which causes come into question for a case, and which of them explain it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from aiops_core.models import Severity
from llm_enricher.rules.case import IncidentCase, Item
from llm_enricher.rules.conditions import Groups, fits, groups_of
from llm_enricher.rules.packs import NamedRule, Rule
from llm_enricher.rules.policy import RulesPolicy, Weights

READINGS = ("metric_*", "level_shift", "sensor_stuck")
UNNAMED = ("log_*", "new_template", "error_burst", "unusual_mix", *READINGS)  # say nothing of why


@dataclass(frozen=True, slots=True)
class Candidate:
    """A rule that fits a case: the member it is about, the facts it needs, their values."""

    named: NamedRule
    about: Item
    facts: tuple[Item, ...]
    groups: Groups
    explained: frozenset[str]  # ids of members
    weight: float

    @property
    def rule(self) -> Rule:
        return self.named.rule


@dataclass(frozen=True, slots=True)
class Considered:
    """What fits, and the rules that would fit if no fact ruled them out."""

    candidates: Sequence[Candidate]
    ruled_out: frozenset[str]


class CauseTable:
    """Rules by the types of anomalies that they are about."""

    def __init__(self, rules: Sequence[NamedRule]) -> None:
        self._rules = tuple(rules)
        self.of_type = lru_cache(1024)(self._of_type)
        self.beside = [named for named in rules if named.rule.beside]

    def _of_type(self, type_: str) -> Sequence[NamedRule]:
        """What is of no type was written by a person: its words alone count."""
        if not type_:
            return [named for named in self._rules if named.rule.patterns]
        return [named for named in self._rules if fits(named.rule.types, type_)]


def considered(case: IncidentCase, table: CauseTable, weights: Weights) -> Considered:
    """All rules that fit, each with the member that speaks most for it, the weightiest first."""
    best: dict[str, Candidate] = {}
    ruled_out: set[str] = set()
    for item, named in _pairs(case, table):
        groups = _groups(named.rule, item)
        if groups is None:
            continue
        if _is_ruled_out(named.rule, case, item, groups):
            ruled_out.add(named.name)
        elif found := _candidate(named, case, item, groups, weights):
            before = best.get(_key(found))
            if before is None or found.weight > before.weight:
                best[_key(found)] = found
    ranked = sorted(best.values(), key=lambda one: (-one.weight, one.named.name))
    said = frozenset(candidate.named.name for candidate in ranked)
    return Considered(ranked, frozenset(ruled_out) - said)


def _pairs(case: IncidentCase, table: CauseTable) -> Iterator[tuple[Item, NamedRule]]:
    """What may be the cause, with the rules that may be about it: what has recovered may be too."""
    for item in case.members:
        for named in table.of_type(item.type):
            yield item, named
    for item in case.suspects:
        for named in table.beside:
            yield item, named


def _key(candidate: Candidate) -> str:
    return f"{candidate.named.name}\0{candidate.about.device}"


def _groups(rule: Rule, item: Item) -> Groups | None:
    if rule.domains and item.domain and item.domain not in rule.domains:
        return None
    if not fits(rule.senders, item.device, item.service):
        return None
    return groups_of(rule.patterns, item.text)


def _is_ruled_out(rule: Rule, case: IncidentCase, item: Item, groups: Groups) -> bool:
    return any(one.found(case, item, fine=None, known=groups) for one in rule.unless)


def _candidate(
    named: NamedRule, case: IncidentCase, item: Item, groups: Groups, weights: Weights
) -> Candidate | None:
    needed = [one.found(case, item, fine=False, known=groups) for one in named.rule.requires]
    if None in needed:
        return None
    told = [one.found(case, item, fine=None, known=groups) for one in named.rule.also]
    facts: list[Item] = []
    for found in filter(None, (*needed, *told)):
        facts += [fact for fact in found.items if fact.id != item.id]
        groups = {**found.groups, **groups}
    if elsewhere := next((fact.device for fact in facts if fact.device != item.device), ""):
        groups = {"other": elsewhere, **groups}
    explained = frozenset(member.id for member in case.worst if explains(named.rule, item, member))
    if not explained:
        return None
    weight = _weight(named.rule, case, item, len(explained), weights)
    return Candidate(named, item, tuple(facts), groups, explained, weight)


def _weight(rule: Rule, case: IncidentCase, item: Item, explained: int, weights: Weights) -> float:
    weight = rule.confidence + weights.explains * explained / len(case.worst)
    weight -= 0 if item.type else weights.beside
    if case.at_root(item):
        return weight + weights.origin
    return weight + weights.origin_device if item.device == case.root_device else weight


def explains(rule: Rule, about: Item, member: Item) -> bool:
    """Whether *member* follows from *rule*, which is about the member *about*."""
    if member.id == about.id:
        return True
    if member.device == about.device:
        alike = member.type == about.type and member.service == about.service
        return alike or fits(UNNAMED, member.type) or _follows(rule, member)
    by_chance = (
        bool(member.upstream) or not about.type
    )  # nothing else says that they belong together
    return _follows(rule, member) and (
        rule.ship_wide or about.device in member.upstream or not by_chance
    )


def _follows(rule: Rule, member: Item) -> bool:
    return bool(rule.explains) and fits(rule.explains, member.type)


def chosen(case: IncidentCase, found: Considered, policy: RulesPolicy) -> Sequence[Candidate]:
    """The cause, and a second one if it is a fault of its own: neither explains the other."""
    if not found.candidates:
        return ()
    first = found.candidates[0]
    return (first, *_second(case, first, found.candidates[1:], policy))


def _second(
    case: IncidentCase, first: Candidate, others: Sequence[Candidate], policy: RulesPolicy
) -> Iterator[Candidate]:
    left = {item.id for item in case.worst} - first.explained
    for one in others:
        if (
            one.about.id in left
            and not one.rule.symptom
            and not first.rule.symptom
            and one.rule.confidence >= policy.second_fault
            and one.about.is_member
            and one.about.severity >= Severity.MEDIUM
            and first.about.id not in one.explained
            and (one.named.pack != first.named.pack or one.about.device != first.about.device)
            and one.named.name != first.named.name
        ):
            yield one
            return
