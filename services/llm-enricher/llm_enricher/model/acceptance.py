"""Whether a model may be used on this host: what its examination showed, against policy. Pure."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

from aiops_core.models import Record, Severity, Text, UtcDatetime
from llm_enricher.model.policy import AcceptanceRules, ModelPolicy
from llm_enricher.model.server import ModelCard, ModelFailure

Standing = Literal["unchecked", "missing", "unfit", "too_slow", "accepted"]


class CaseResult(Record):
    """One question of an examination. *failure* is the kind of one that got no answer by the
    schema; times in seconds."""

    case: str
    failure: str = ""
    verified: bool = False
    dropped: tuple[str, ...] = ()
    root_cause: str = ""
    prompt_tokens: int = 0
    answer_tokens: int = 0
    first_token: float = 0.0
    seconds: float = 0.0
    tokens_per_second: float = 0.0

    @property
    def valid(self) -> bool:
        return not self.failure


class Examination(Record):
    """All that a model showed on a host."""

    model: Text
    digest: str
    host: str
    at: UtcDatetime
    cases: tuple[CaseResult, ...]

    @property
    def valid(self) -> float:
        return sum(case.valid for case in self.cases) / max(len(self.cases), 1)

    @property
    def verified(self) -> float:
        return sum(case.verified for case in self.cases) / max(len(self.cases), 1)

    @property
    def seconds(self) -> float:
        """Of the slowest answer."""
        return max((case.seconds for case in self.cases if case.valid), default=0.0)

    @property
    def tokens_per_second(self) -> float:
        """Of the slowest answer."""
        return min((case.tokens_per_second for case in self.cases if case.valid), default=0.0)


class ModelVerdict(NamedTuple):
    """*text* says why, for people."""

    standing: Standing
    text: str

    def admit(self, severity: Severity, rules: AcceptanceRules) -> None:
        """Raises ModelFailure when the model is not asked about an incident of *severity*."""
        slow = self.standing == "too_slow"
        if self.standing == "accepted" or (slow and severity in rules.slow_severities):
            return
        raise ModelFailure(self.standing, self.text)

    def stale(self, examined: Examination, now: datetime, rules: AcceptanceRules) -> bool:
        """Whether a verdict that a busy host may have brought about is old enough for another."""
        again = timedelta(hours=rules.again_after)
        return self.standing != "accepted" and now - examined.at > again


def judge(examined: Examination, rules: AcceptanceRules) -> ModelVerdict:
    shown = (
        f"{examined.valid:.0%} valid, {examined.verified:.0%} verified, "
        f"{examined.tokens_per_second:.0f} tokens/s, {examined.seconds:.1f} s at most, "
        f"{examined.at:%Y-%m-%d %H:%M} UTC"
    )
    if examined.valid < rules.valid:
        return ModelVerdict("unfit", f"{examined.model} answers not by the schema: {shown}")
    if examined.verified < rules.verified:
        return ModelVerdict("unfit", f"{examined.model} says what facts do not bear out: {shown}")
    if examined.tokens_per_second < rules.tokens_per_second or examined.seconds > rules.seconds:
        asked = ", ".join(rules.slow_severities) or "no"
        return ModelVerdict(
            "too_slow", f"{examined.model} is slow, used for {asked} incidents only: {shown}"
        )
    return ModelVerdict("accepted", f"{examined.model} accepted: {shown}")


def key_of(card: ModelCard, host: str, policy: ModelPolicy) -> str:
    """Under which an examination is kept: another model, host or way of asking has another one."""
    asked = policy.model_dump_json(include={"name", "prompt", "options", "limits"})
    return hashlib.sha256(f"{card.digest}\x1f{host}\x1f{asked}".encode()).hexdigest()[:32]


def found(cards: tuple[ModelCard, ...], name: str) -> ModelCard | None:
    """The model *name* of those that a server has; Ollama calls one without a tag ``latest``."""
    wanted = {name, f"{name}:latest"} if ":" not in name else {name}
    return next((card for card in cards if card.name in wanted), None)
