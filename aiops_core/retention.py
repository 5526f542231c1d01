"""``policies/retention.yaml``: how long everything that is stored stays, from the first day on."""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar

from pydantic import Field

from aiops_core.policy import Policy, Section


class StreamLimits(Section):
    """When a stream drops its oldest messages: whichever limit comes first."""

    max_age: timedelta
    max_bytes: int = Field(ge=1_000_000)


class Streams(Section):
    logs: StreamLimits
    anomalies: StreamLimits
    incidents: StreamLimits
    ops: StreamLimits


class Tables(Section):
    """Days that rows stay in ClickHouse."""

    logs_raw: int = Field(ge=1)
    anomalies: int = Field(ge=1)
    incidents: int = Field(ge=1)


class RetentionPolicy(Policy):
    file: ClassVar[str] = "retention.yaml"

    streams: Streams
    tables_days: Tables
