"""``policies/detect.yaml``: what counts as an anomaly in a log line or in a reading."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Annotated, ClassVar, Self

from pydantic import BeforeValidator, Field, model_validator

from aiops_core.models import Domain, Level, Text
from aiops_core.policy.file import Place, Policy, Replay, Section, Setting
from anomaly_detection.judgement import Judgement, Positive
from anomaly_detection.metric_policy import Gaps, Metrics
from anomaly_detection.policy_layers import EVERYTHING, Globs, Layer, Poll
from anomaly_detection.template_policy import Templates

SPARSE = timedelta(minutes=1)  # between two samples of a series, usually less
LONGEST_BURST = timedelta(minutes=5)  # a restart reads up to 2.5 times this of all log lines again


def _compile(source: object) -> object:
    """Case does not matter in log lines; a wrong regex is refused with the place of the mistake."""
    if not isinstance(source, str):
        return source
    try:
        compiled = re.compile(source, re.IGNORECASE)
    except re.error as exc:
        raise ValueError(f"wrong regular expression: {exc}") from exc
    if compiled.search(""):
        raise ValueError("wrong regular expression: it matches every line, even an empty one")
    return compiled


Regex = Annotated[re.Pattern[str], BeforeValidator(_compile)]


class Scope(Section):
    """A rule and the senders it is about: shell globs over service and over device id or host."""

    id: Text
    services: Globs = EVERYTHING
    hosts: Globs = EVERYTHING


class ServiceDomain(Section):
    """To which domain the services of these globs belong."""

    services: Globs
    domain: Domain


class LineRule(Scope):
    """Lines that *regex* finds somewhere in the message; None of *levels* means any level."""

    regex: Regex
    levels: frozenset[Level] | None = None


class Pattern(LineRule, Judgement):
    """One line is enough. Named groups of the regex go to ``meta``; *says* ends a sentence."""

    domain: Domain
    says: Text


class Burst(LineRule, Judgement):
    """Single lines are normal, *count* of them *within* a time from the same *by* are not."""

    domain: Domain
    says: Text
    count: int = Field(ge=2, le=1000)
    within: Annotated[timedelta, Field(gt=timedelta(0), le=LONGEST_BURST)]
    by: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _groups_exist(self) -> Self:
        if missing := set(self.by) - set(self.regex.groupindex):
            raise ValueError(f"the regex has no group {', '.join(sorted(missing))} to count by")
        return self

    @property
    def memory(self) -> timedelta:
        """Half of a period for its rhythm, ``within`` and one more pause between lines to fill the count."""
        return self.within * (1.5 + 1 / (self.count - 1))


class Recovery(LineRule):
    """Lines that say that anomalies of the types *clears* are over on their device; with *same_service*
    only those of the service that says it. A group ``peer`` restricts it to that peer."""

    levels: frozenset[Level] | None = frozenset({Level.DEBUG, Level.INFO, Level.WARNING})
    clears: Annotated[tuple[Text, ...], Field(min_length=1)]
    same_service: bool = False
    says: Text


class Harmless(LineRule):
    """Lines that are no anomaly although their level says so. Patterns still find them."""

    why: Text


class Threshold(Scope, Judgement):
    """A reading on the wrong side of a limit for longer than *hold*; told again *repeat_every*."""

    metric: Text
    above: float | None = None
    below: float | None = None
    hold: timedelta = Field(alias="for", ge=timedelta(0))
    repeat_every: Positive
    unit: str = ""
    domain: Domain

    @model_validator(mode="after")
    def _one_limit(self) -> Self:
        if (self.above is None) == (self.below is None):
            raise ValueError("give either above or below")
        return self

    @property
    def limit(self) -> float:
        limit = self.above if self.above is not None else self.below
        assert limit is not None  # by _one_limit
        return limit

    @property
    def memory(self) -> timedelta:
        """Half of a period for its rhythm, and what must have lasted, with a sample at each end."""
        return self.hold + self.repeat_every / 2 + 2 * SPARSE

    def broken_by(self, value: float) -> bool:
        return value > self.limit if self.above is not None else value < self.limit

    def worse_of(self, one: float, other: float) -> float:
        return max(one, other) if self.above is not None else min(one, other)


class DetectPolicy(Policy):
    """The whole file. *series_kept* bounds the memory: least recently heard series are forgotten."""

    file: ClassVar[str] = "detect.yaml"

    series_kept: int = Field(ge=1)
    snapshot_every: Positive
    default_domain: Domain
    domains: tuple[ServiceDomain, ...]
    levels: Mapping[Level, Judgement]
    harmless: tuple[Harmless, ...]
    bursts: tuple[Burst, ...]
    patterns: tuple[Pattern, ...]
    recoveries: tuple[Recovery, ...]
    templates: Templates
    metrics: Metrics
    gaps: Gaps
    thresholds: tuple[Threshold, ...]
    polls: tuple[Poll, ...] = ()
    layers: tuple[Layer, ...] = ()

    @model_validator(mode="after")
    def _ids_are_unique(self) -> Self:
        rules = (*self.harmless, *self.bursts, *self.patterns, *self.recoveries, *self.thresholds)
        others = (*(layer.id for layer in self.layers), *(poll.name for poll in self.polls))
        ids = [*(rule.id for rule in rules), *others]
        twice = [id_ for id_, n in Counter(ids).items() if n > 1]
        if twice:
            raise ValueError(f"ids are used twice: {', '.join(sorted(twice))}")
        return self

    def queries(self) -> Mapping[Place, str]:
        return {("polls", n, "query"): poll.query for n, poll in enumerate(self.polls)}

    def replays(self) -> Sequence[Replay]:
        """What came after the last snapshot; without one, what rules remember."""
        bursts = (rule.memory for rule in self.bursts)
        thresholds = (rule.memory for rule in self.thresholds)
        span = max(self.snapshot_every, *bursts, *thresholds)
        return [Replay("logs", span, "snapshot_every, bursts and thresholds")]

    def explain(self, about: Mapping[str, str]) -> Sequence[Setting]:
        from anomaly_detection.explain import explain  # the layers need this module

        return explain(self, about) if about else super().explain(about)
