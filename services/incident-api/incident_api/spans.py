"""Spans of time as requests write them: ``15m``, ``1h``, ``7d``."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import Field

from aiops_core.policy.spans import PATTERN, span_of
from incident_api.problems import Problem

LONGEST = timedelta(days=366)

Span = Annotated[str, Field(pattern=f"^{PATTERN.pattern}$")]


def parse_span(text: str, name: str = "query.time_range") -> timedelta:
    """``15m``, ``1h``, ``7d`` as a span; a Problem (422) about *name* for anything else."""
    span = span_of(text)
    if span is None or span > LONGEST:
        raise Problem(422, f"{name}: expected a span like 15m, 1h, 24h or 7d, up to 366d")
    return span
