"""Packs of explanations: what a topic's troubles come from, and what to do about them.

Each file of ``policies/insight`` is one pack; a site's own are in ``policies/site/insight``, where
a rule of the same pack and id replaces ours, and ``enabled: false`` removes it. A pack with a
mistake is left out as a whole, and named.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from aiops_core.errors import Misconfigured
from aiops_core.models import Domain, Fraction, Text
from aiops_core.policy.file import Section, read_model
from llm_enricher.rules.conditions import Condition, Globs, Regex
from llm_enricher.rules.harm import HarmfulAdvice
from llm_enricher.rules.samples import Sample
from llm_enricher.rules.words import checked

OURS, SITES = Path("insight"), Path("site", "insight")  # in the folder of the policies
Filled = Annotated[Text, AfterValidator(checked)]


class Rule(Section):
    """One cause, or with *symptom* what is only seen of one, and what to do about it.

    It is about a member of the incident that fits *domains*, *types*, *senders* (globs; of device
    or service) and one of *patterns*; all of *requires* must hold, and none of *unless*. What
    *also* finds is told, and fills the texts, where it is there. *explains* are types of anomalies
    that follow from it, on its device and on those that depend on it; with *ship_wide* on any
    device. With *beside* its patterns say enough by themselves, so it may be about a line that was
    no anomaly too, if a member follows from it. Named groups of patterns and conditions fill the
    texts.
    """

    id: Text
    domains: tuple[Domain, ...] = ()
    types: Globs = ()
    senders: Globs = ()
    patterns: tuple[Regex, ...] = ()
    requires: tuple[Condition, ...] = ()
    unless: tuple[Condition, ...] = ()
    also: tuple[Condition, ...] = ()
    beside: bool = False
    symptom: bool = False
    explains: Globs = ()
    ship_wide: bool = False
    root_cause: Filled
    impact: Filled
    recommendations: Annotated[tuple[Filled, ...], Field(min_length=1, max_length=6)]
    confidence: Fraction
    positive: Annotated[tuple[Sample, ...], Field(min_length=1)]
    negative: tuple[Sample, ...] = ()

    @model_validator(mode="after")
    def _restricts(self) -> Self:
        if not (self.types or self.patterns):
            raise ValueError("a rule needs types or patterns; what fits all explains nothing")
        if self.beside and not (self.patterns and self.explains):
            raise ValueError("a rule that is beside needs patterns, and what it explains")
        if not (self.symptom or self.negative):
            raise ValueError("a cause needs a negative sample: when it must not be said")
        return self


class RemovedRule(Section):
    """``enabled: false`` in a site's pack: our rule of this id is not used."""

    id: Text
    enabled: bool


def _tag(rule: Any) -> str:
    """Which of the models *rule* in a file is of; `<`: no part of a place in the file."""
    return "<removed>" if isinstance(rule, Mapping) and "enabled" in rule else "<rule>"


AnyRule = Annotated[
    Annotated[Rule, Tag("<rule>")] | Annotated[RemovedRule, Tag("<removed>")], Discriminator(_tag)
]


class InsightPack(Section):
    """One file. *facts* are conditions by name: ``requires``, ``unless`` and ``also`` may
    say the name."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    title: Text
    facts: Mapping[str, Condition] = Field(default_factory=dict)
    harmful: tuple[HarmfulAdvice, ...] = ()
    rules: tuple[AnyRule, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _with_facts(cls, stated: Any) -> Any:
        """The file, with conditions in the place of their names."""
        if not isinstance(stated, Mapping) or not isinstance(stated.get("rules"), list):
            return stated
        named = stated.get("facts")
        facts = named if isinstance(named, Mapping) else {}
        return {**stated, "rules": [_put_facts(rule, facts) for rule in stated["rules"]]}

    @property
    def active(self) -> Sequence[Rule]:
        return [rule for rule in self.rules if isinstance(rule, Rule)]

    @property
    def removed(self) -> Sequence[str]:
        return [rule.id for rule in self.rules if isinstance(rule, RemovedRule)]

    @model_validator(mode="after")
    def _ids_are_unique(self) -> Self:
        ids = Counter(rule.id for rule in self.rules)
        if twice := sorted(id_ for id_, n in ids.items() if n > 1):
            raise ValueError(f"ids are used twice: {', '.join(twice)}")
        return self

    @model_validator(mode="after")
    def _advises_no_harm(self) -> Self:
        for rule in self.active:
            for text in rule.recommendations:
                for one in self.harmful:
                    if one.is_in(text):
                        raise ValueError(f"{rule.id} advises harm ({one.because}): {text}")
        return self


def _put_facts(rule: Any, facts: Mapping[str, Any]) -> Any:
    if not isinstance(rule, Mapping):
        return rule
    put = {
        key: [_fact(one, facts) for one in rule[key]]
        for key in ("requires", "unless", "also")
        if isinstance(rule.get(key), list)
    }
    return {**rule, **put}


def _fact(one: Any, facts: Mapping[str, Any]) -> Any:
    if not isinstance(one, str):
        return one
    if one not in facts:
        raise ValueError(f"no fact is called {one}: the pack has {', '.join(facts) or 'none'}")
    return facts[one]


@dataclass(frozen=True, slots=True)
class UnusedPack:
    """A pack that is not used, and the mistake in it."""

    file: str
    problem: str


@dataclass(frozen=True, slots=True)
class NamedRule:
    """A rule with its full name, and the pack that it is of."""

    name: str  # pack/rule
    pack: str
    file: str
    rule: Rule


@dataclass(frozen=True, slots=True)
class ReadPack:
    """A pack and its file, relative to the policies."""

    pack: InsightPack
    file: str
    site: bool = False


@dataclass(frozen=True, slots=True)
class InsightPacks:
    """All packs in force, and those that were left out."""

    read: Sequence[ReadPack] = ()
    left_out: Sequence[UnusedPack] = ()

    @property
    def rules(self) -> Sequence[NamedRule]:
        """Rules in force: a site's replace and remove ours."""
        rules: dict[str, NamedRule] = {}
        for one in sorted(self.read, key=lambda one: one.site):
            pack = one.pack
            for rule in pack.active:
                name = f"{pack.id}/{rule.id}"
                rules[name] = NamedRule(name, pack.id, one.file, rule)
            for id_ in pack.removed:
                rules.pop(f"{pack.id}/{id_}", None)
        return tuple(rules.values())

    @property
    def harmful(self) -> Mapping[str, Sequence[HarmfulAdvice]]:
        """What each pack forbids; what a site forbids is added."""
        forbidden: dict[str, list[HarmfulAdvice]] = {}
        for one in self.read:
            forbidden.setdefault(one.pack.id, []).extend(one.pack.harmful)
        return forbidden


def load_insight_packs(folder: Path) -> InsightPacks:
    """All packs in *folder*, that of the policies; a folder without packs has none."""
    read: list[ReadPack] = []
    left_out: list[UnusedPack] = []
    for part in (OURS, SITES):
        for path in sorted((folder / part).glob("*.y*ml")):
            try:
                read.append(_read(path, folder))
            except Misconfigured as exc:
                left_out.append(UnusedPack(str(path.relative_to(folder)), str(exc)))
    return InsightPacks(tuple(read), tuple(left_out))


def _read(path: Path, folder: Path) -> ReadPack:
    """The pack in the file *path*; raises Misconfigured with line and key of each mistake."""
    pack, site = read_model(path, InsightPack), path.is_relative_to(folder / SITES)
    if pack.id != path.stem:
        raise Misconfigured(f"{path}: the id {pack.id} is not the name of the file")
    if pack.removed and not site:
        raise Misconfigured(f"{path}: only a site's own pack may say `enabled: false`")
    return ReadPack(pack, str(path.relative_to(folder)), site)
