"""The section ``answering`` of ``policies/llm.yaml``."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field

from aiops_core.models import Fraction
from aiops_core.policy.file import Section

CACHED_MOST = timedelta(minutes=45)  # then ClickHouse drops the row


class RenewalPolicy(Section):
    """How much an incident grows or shrinks until it is explained anew."""

    extent: float = Field(2.0, gt=1)  # times as many devices, or kinds of anomalies
    anomalies: float = Field(10.0, gt=1)  # times as many anomalies, of whatever kind


class BreakerPolicy(Section):
    """When the model is asked no more, and for how long."""

    failures: int = Field(5, ge=1)  # in a row
    open_for: timedelta = Field(timedelta(seconds=60), gt=timedelta(0))


class CachePolicy(Section):
    """Answers of the model that are used again for the same fault elsewhere."""

    kept: int = Field(1000, ge=1)  # answers in memory
    ttl: timedelta = Field(CACHED_MOST, gt=timedelta(0), le=CACHED_MOST)


class RunbookPolicy(Section):
    """When the best runbook is recommended to people, and not only shown to the model."""

    similarity: Fraction = 0.45  # cosine of the part that fits best, at least
    words: Fraction = 0.5  # found by words alone: part of the question's words, at least


class AnsweringPolicy(Section):
    """Times and limits of both answers."""

    first_within: timedelta = Field(timedelta(milliseconds=200), gt=timedelta(0))
    facts_within: timedelta = Field(timedelta(seconds=2), gt=timedelta(0))  # for the model
    answer_within: timedelta = Field(timedelta(seconds=65), gt=timedelta(0))  # facts and model
    calls_at_once: int = Field(1, ge=1, le=3)  # OLLAMA_NUM_PARALLEL of docker-compose.yml
    queue: int = Field(100, ge=1)  # incidents that wait for the model
    retries: int = Field(1, ge=0)
    memory: timedelta = Field(timedelta(hours=1), gt=timedelta(0))  # of facts read at start
    older: timedelta = Field(timedelta(days=2), ge=timedelta(0))  # of explanations before that
    renewal: RenewalPolicy = RenewalPolicy()
    breaker: BreakerPolicy = BreakerPolicy()
    cache: CachePolicy = CachePolicy()
    runbook: RunbookPolicy = RunbookPolicy()
