"""Rules of ``policies/detect.yaml`` and of packs: given ones, and those about what is learned."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from fnmatch import translate
from functools import lru_cache
from typing import Annotated, Literal, Self, get_args

from pydantic import BeforeValidator, Field, PrivateAttr, model_validator

from aiops_core.models import Domain, Fraction, Level, Severity, Text
from aiops_core.policy.file import Section
from anomaly_detection.detectors.literals import nested_repetition

SPARSE = timedelta(minutes=1)  # between two samples of a series, usually less
LONGEST_BURST = timedelta(minutes=5)  # a restart reads up to 2.5 times this of all log lines again

Positive = Annotated[timedelta, Field(gt=timedelta(0))]
Globs = Annotated[tuple[Text, ...], Field(min_length=1)]
EVERYTHING = ("*",)
GLOBS_KEPT = 8192  # compiled ones


@lru_cache(GLOBS_KEPT)
def globs(patterns: tuple[str, ...]) -> Callable[[str], bool]:
    """A test whether a text matches one of the shell globs, without regard to case."""
    if "*" in patterns:
        return lambda text: True
    matches = re.compile("|".join(map(translate, patterns)), re.IGNORECASE).match
    return lambda text: matches(text) is not None


def _compile(source: object) -> object:
    """Compile without regard to case; an error gets the place in the file from pydantic."""
    if not isinstance(source, str):
        return source
    try:
        compiled = re.compile(source, re.IGNORECASE)
    except re.error as exc:
        raise ValueError(f"wrong regular expression: {exc}") from exc
    if compiled.search(""):
        raise ValueError("wrong regular expression: it matches every line, even an empty one")
    if nested_repetition(compiled):
        raise ValueError("wrong regular expression: an unbounded repetition within another one")
    return compiled


Regex = Annotated[re.Pattern[str], BeforeValidator(_compile)]


# All detectors, as layers and polls name them.
DetectorName = Literal[
    "level",
    "pattern",
    "recovery",
    "speaking",
    "burst",
    "new_template",
    "rate",
    "mix",
    "silence",
    "threshold",
    "metric",
    "gap",
    "clock",
]
# The warm-up of each detector that learns, where no layer sets it; only these have a sensitivity.
WARM_UPS: Mapping[str, tuple[str, ...]] = {
    "new_template": ("templates", "new", "warm_up"),
    "rate": ("templates", "rate", "warm_up"),
    "mix": ("templates", "mix", "warm_up"),
    "silence": ("templates", "silence", "warm_up"),
    "metric": ("metrics", "known_for"),
}


class Judgement(Section):
    """Name and severity of a finding; *score* is its certainty, 0..1."""

    anomaly_type: Text
    severity: Severity
    score: Fraction


class ServiceDomain(Section):
    """The domain of the services that match one of the globs."""

    services: Globs
    domain: Domain


class ScopedRule(Section):
    """A rule with shell globs for its senders; ``device_id`` falls back to the host."""

    id: Text
    services: Globs = EVERYTHING
    device_id: Globs = EVERYTHING

    def concerns(self, service: str, device_id: str) -> bool:
        return globs(self.services)(service) and globs(self.device_id)(device_id)


class StatedLine(Section):
    """A line of a device by its fields, where the text alone would not do."""

    msg: Text
    service: Text | None = None
    level: Level | None = None
    host: Text | None = None
    labels: Mapping[str, str] = Field(default_factory=dict)


# A whole line as the device writes it, read by the normaliser; or what it reads from one.
Sample = StatedLine | Text

Kind = Literal["site", "maker", "topic", "generic"]  # of a pack, the most specific first
QUOTED = "quoted"  # in `in`: the whole message, also what the device only quotes


class LineRule(ScopedRule):
    """Lines in which *regex* matches somewhere; without *levels* any level.

    It looks into what the device itself says, or into the labels that *looks_in* names. The text
    must have one of the words *needs*, *near* at most *apart* characters before or after, and must
    not match *unless*. Rules that share them cost one search. *positive* are lines that it takes,
    *negative* those that look alike and that it does not take.
    """

    regex: Regex
    needs: frozenset[Annotated[str, Field(pattern="^[a-z]+$")]] | None = None
    near: Regex | None = None
    apart: int = Field(50, ge=0, le=400)
    unless: Regex | None = None
    levels: frozenset[Level] | None = None
    looks_in: tuple[Text, ...] = Field(default=(), alias="in")
    positive: tuple[Sample, ...] = ()
    negative: tuple[Sample, ...] = ()
    _kind: Kind = PrivateAttr("generic")

    @property
    def kind(self) -> Kind:
        """The kind of the pack that it is from."""
        return self._kind

    def of(self, kind: Kind, id_: str, services: tuple[str, ...]) -> Self:
        """This rule as one of a pack of *kind*, with its full name; *services* by default."""
        stated = self.services if "services" in self.model_fields_set else services
        rule = self.but(id=id_, services=stated)
        rule._kind = kind
        return rule

    def but(self, **changes: object) -> Self:
        """The same rule with other values."""
        return self.model_copy(update=changes)


class Scoped(LineRule):
    """A pattern: *scope* names the groups that say which part of the device it is about."""

    scope: tuple[Text, ...] = ()
    says: Text

    @model_validator(mode="after")
    def _scope_exists(self) -> Self:
        if missing := set(self.scope) - set(self.regex.groupindex):
            raise ValueError(f"the regex has no group {', '.join(sorted(missing))} of the scope")
        return self


class Pattern(Scoped, Judgement):
    """One line is enough. *says* ends a sentence.

    What is raised lasts until it is cleared; an event has happened. Named groups of the regex go to
    ``meta``; ``service`` replaces the service of the anomaly. *lasts* says whether it stays true
    until it is cleared; without it, what is raised does if the pack has a clear of its type, and of
    all else the type decides (``states`` in correlate.yaml).
    """

    state: Literal["raise", "event"] = "event"
    lasts: bool | None = None
    domain: Domain


class Burst(LineRule, Judgement):
    """Single lines are normal; *count* of them *within* a time with the same *by* are not."""

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
        """The span of lines that a restart needs: half a repeat period, ``within``, one pause."""
        return self.within * (1.5 + 1 / (self.count - 1))


class Recovery(Scoped):
    """Lines that clear anomalies of the types *clears* on their device.

    With *same_service* only those of the service that logged the line, which a group ``service``
    in the regex replaces. A group ``peer`` restricts it to anomalies of that peer, *scope* to those
    of that part of the device. One that names neither ends only what names no part, unless it is
    about the *whole*: all parts are well.
    """

    state: Literal["clear"] = "clear"
    clears: Annotated[tuple[Text, ...], Field(min_length=1)]
    same_service: bool = False
    whole: bool = False

    @model_validator(mode="after")
    def _whole_has_no_part(self) -> Self:
        if self.whole and self.scope:
            raise ValueError("what is about the whole device has no scope")
        return self

    def may_end(self, rule: Pattern) -> bool:
        """Whether it is about what *rule* raises: the same parts of the device, all, or none."""
        if rule.anomaly_type not in self.clears:
            return False
        if not rule.scope:
            return self._may_name_none
        of_peer = "peer" in self.regex.groupindex
        return self.whole or of_peer or not set(self.scope).isdisjoint(rule.scope)

    @property
    def _may_name_none(self) -> bool:
        """Whether there are lines of it that name no part, as its samples show."""
        texts = [one if isinstance(one, str) else one.msg for one in self.positive]
        found = filter(None, map(self.regex.search, texts))
        return not self.scope or any(not any(map(match.group, self.scope)) for match in found)


class Harmless(LineRule):
    """Lines that are no anomaly in spite of their level or of more general patterns."""

    why: Text


class Threshold(ScopedRule, Judgement):
    """A reading beyond a limit for longer than *hold*; repeated every *repeat_every*."""

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
        """The span of samples that a restart needs: half a repeat period, ``for``, two samples."""
        return self.hold + self.repeat_every / 2 + 2 * SPARSE

    def broken_by(self, value: float) -> bool:
        return value > self.limit if self.above is not None else value < self.limit

    def worse_of(self, one: float, other: float) -> float:
        return max(one, other) if self.above is not None else min(one, other)


class NewTemplateRule(Judgement):
    """A template seen for the first time, on a device known for *warm_up*."""

    warm_up: Positive
    most_per_day: int = Field(ge=1, le=100)


class ExcessRule(Judgement):
    """More lines in a window than *least*, and *factor* times more than the recent maximum."""

    least: int = Field(ge=2)
    factor: float = Field(gt=1)


class RateRule(ExcessRule):
    """The same for one template; *window* and *warm_up* hold for all counts."""

    window: Positive
    warm_up: Positive


class DropRule(Judgement):
    """No lines for *windows* in a row of a template that usually has *least* or more in each."""

    least: int = Field(ge=2)
    windows: int = Field(ge=2)


class MixRule(Judgement):
    """A *share* of the lines of a *window* differs from the usual mix.

    The share must be *factor* times the recent maximum, in a window of *least* lines or more.
    """

    window: Positive
    warm_up: Positive
    least: int = Field(ge=10)
    share: Fraction
    factor: float = Field(gt=1)


class SilenceRule(Judgement):
    """A device with *lines* over *warm_up* is silent while others speak.

    Silent means: for *least*, and for *factor* times its longest pause so far.
    """

    warm_up: Positive
    lines: int = Field(ge=2)
    least: Positive
    factor: float = Field(gt=1)


class Templates(Section):
    """*kept*: template groups of one ship; the least recently used are evicted."""

    kept: int = Field(ge=16, le=100_000)
    new: NewTemplateRule
    rate: RateRule
    drop: DropRule
    errors: ExcessRule
    mix: MixRule
    silence: SilenceRule

    def excess(self, of_errors: bool) -> ExcessRule:
        return self.errors if of_errors else self.rate


# What the numbers of ``digest`` are multiplied with; of numbers of findings, divided by.
DIGEST_SCALE: Mapping[str, float] = {"low": 2.0, "normal": 1.0, "high": 0.5}


class DigestBurst(Section):
    """*least* lines of a message *within* a time, and *factor* times more than ever before."""

    least: int = Field(ge=2, le=1000)
    within: Positive
    factor: float = Field(gt=1)


class DigestSpread(Section):
    """A message on so many *devices* *within* a time."""

    devices: int = Field(ge=2, le=16)
    within: Positive


class DigestReturn(Section):
    """A message that was silent for *silence*, and for *factor* times its usual gap."""

    silence: Positive
    factor: float = Field(gt=1)


class DigestRules(Section):
    """Which findings that nobody can name open an incident; the others are digested.

    *types* are those of the level rules and of generic patterns. At most *new_per_hour* messages
    that are new on a device open one; none that *common* other devices of the ship have said.
    """

    sensitivity: Literal["low", "normal", "high"] = "normal"
    types: frozenset[Text]
    new_per_hour: int = Field(ge=1, le=100)
    common: int = Field(ge=1, le=1000)
    burst: DigestBurst
    spread: DigestSpread
    back: DigestReturn

    @property
    def scaled(self) -> Self:
        """These rules as the sensitivity wants them."""
        scale = DIGEST_SCALE[self.sensitivity]
        burst, spread, back = self.burst, self.spread, self.back
        return self.model_copy(
            update={
                "new_per_hour": max(1, round(self.new_per_hour / scale)),
                "common": max(1, round(self.common / scale)),
                "burst": burst.model_copy(
                    update={
                        "least": max(2, round(burst.least * scale)),
                        "factor": 1 + (burst.factor - 1) * scale,
                    }
                ),
                "spread": spread.model_copy(
                    update={"devices": max(2, round(spread.devices * scale))}
                ),
                "back": back.model_copy(update={"silence": back.silence * scale}),
            }
        )


# The ways in which a series of readings can be abnormal without a rule.
Deviation = Literal["outlier", "shift", "unsteady", "stuck"]


class DeviationJudgement(Section):
    """Name and severity of a finding whose score is measured."""

    anomaly_type: Text
    severity: Severity


class Gaps(Judgement):
    """A sender of *readings* or more stops for *least*, and *factor* times its longest pause."""

    readings: int = Field(ge=2)
    least: Positive
    factor: float = Field(gt=1)


class Metrics(Section):
    """How the readings of a series are judged by its own history."""

    margin: float = Field(gt=0)
    readings: int = Field(ge=50)
    known_for: Positive
    accept_after: Positive
    kinds: Mapping[Deviation, DeviationJudgement]

    @model_validator(mode="after")
    def _all_kinds(self) -> Self:
        if missing := set(get_args(Deviation)) - set(self.kinds):
            raise ValueError(f"kinds lacks {', '.join(sorted(missing))}")
        return self

    def tuned(self, scale: float, warm_up: timedelta | None) -> Metrics:
        """For a series that must deviate *scale* times more than normally.

        Readings within the known range are never reported, whatever the sensitivity.
        """
        margin = (1 + self.margin) * scale - 1 if scale > 1 else self.margin * scale
        tuned = {"margin": margin, "known_for": warm_up or self.known_for}
        return self.model_copy(update=tuned)
