"""The section ``evidence`` of ``policies/llm.yaml``: where it is looked, and what lines are."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field

from aiops_core.models import Text
from aiops_core.policy.file import Section
from llm_enricher.rules.conditions import Regex

Count = Annotated[int, Field(ge=1)]


class LineKind(Section):
    """Lines of this kind have one of *patterns*, and of *words* at least one, as ClickHouse looks
    for them on all devices by their words alone."""

    kind: Literal["probe", "maintenance", "change", "login", "reading"]
    words: Annotated[tuple[Text, ...], Field(max_length=40)]
    patterns: Annotated[tuple[Regex, ...], Field(min_length=1)]


class EvidencePolicy(Section):
    """Where context is looked for: *before* the incident began and up to *during* after it.

    *budget* is for all of it, unless who asks has another one. After ClickHouse has not answered,
    for *pause* only those ask it who have more time than *budget*. *rows* are read at most, *facts*
    kept. A line is as it should be with one of *fine* and none of *not_fine*.
    """

    budget: timedelta
    pause: timedelta
    before: timedelta
    changes_before: timedelta
    during: timedelta
    rows: Count
    facts: Count
    upstream: Annotated[int, Field(ge=0, le=8)]
    kinds: tuple[LineKind, ...]
    fine: tuple[Regex, ...]
    not_fine: tuple[Regex, ...]
