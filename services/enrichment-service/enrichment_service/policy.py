"""``policies/enrich.yaml``: severity of anomalies, health of services."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator

from aiops_core.models import Domain, Fraction, Severity, ShipMode
from aiops_core.policy.file import Policy, Replay, Section

BLIND_REPLAY = timedelta(hours=1)  # of the stream at a start without ClickHouse
Count = Annotated[int, Field(ge=1)]
Name = Annotated[str, Field(min_length=1)]
Steps = Annotated[int, Field(ge=-3, le=3)]


class Noise(Section):
    """Anomalies at a steady rate all day lose a step."""

    count_24h: Count
    ceiling: Severity


class Rising(Section):
    """Anomalies that come much more often than in the hours before gain a step."""

    count_1h: Count
    times_usual: Annotated[float, Field(gt=1)]
    ceiling: Severity


class ShipRule(Section):
    """Steps in some modes of the ship. Devices, services and types are optional globs."""

    id: Name
    modes: Annotated[tuple[ShipMode, ...], Field(min_length=1)]
    device_id: tuple[Name, ...] = ()
    device_types: tuple[Name, ...] = ()
    services: tuple[Name, ...] = ()
    anomaly_types: tuple[Name, ...] = ()
    domains: tuple[Domain, ...] = ()
    steps: Steps
    reason: Name


class Maintenance(Section):
    """Anomalies in a maintenance window are expected."""

    steps: Steps


class SeverityRules(Section):
    criticality: dict[Severity, Steps]
    doubtful_below: Fraction
    recurring_24h: Count
    noise: Noise
    rising: Rising
    ship: tuple[ShipRule, ...]
    maintenance: Maintenance
    never_lowered: tuple[Domain, ...]
    most_steps: Annotated[int, Field(ge=0, le=3)]


class Health(Section):
    """Anomalies of one service on one device within the window."""

    window_minutes: Annotated[int, Field(ge=1, le=24 * 60)]
    degraded: Count
    failing: Count

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.failing <= self.degraded:
            raise ValueError("failing must be greater than degraded")
        return self


class EnrichPolicy(Policy):
    file: ClassVar[str] = "enrich.yaml"

    severity: SeverityRules
    health: Health

    def replays(self) -> Sequence[Replay]:
        return [Replay("anomalies", BLIND_REPLAY, "read again while ClickHouse is away")]
