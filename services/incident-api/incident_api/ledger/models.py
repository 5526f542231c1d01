"""The answer of ``/api/v3/ledger``."""

from __future__ import annotations

from pydantic import BaseModel, Field, computed_field

from aiops_core.models import FAST_PATH, Stages, UtcDatetime


class Balance(BaseModel):
    """``detected`` is the sum of the next six. ``unaccounted`` and ``doubled`` must be 0."""

    detected: int = Field(description="Anomalies that are known of in the span.", examples=[1234])
    members: int = Field(description="First of their kind in an incident.")
    duplicates: int = Field(description="Repetitions of a member.")
    suppressed: int = Field(description="Hidden by a rule that is named.")
    dead_letters: int = Field(description="Could not be handled; `aiops dead list` says why.")
    in_flight: int = Field(description="Younger than `settled_after_s`, or still waiting.")
    unaccounted: int = Field(description="Lost: in none of the places above.", examples=[0])
    unread: int = Field(
        default=0,
        description="Of the unaccounted, those that detection published and nobody has read:"
        " a stream discarded them. Counted over whole minutes that have settled.",
    )
    doubled: int = Field(description="Counted in two places at once.", examples=[0])

    @property
    def holds(self) -> bool:
        return self.unaccounted == 0 and self.doubled == 0


class OpenAnomaly(BaseModel):
    """An anomaly without an end; its stages are at ``/api/v3/trace/{tracking_id}``."""

    anomaly_id: str
    tracking_id: str
    device_id: str
    service: str
    anomaly_type: str
    seen_at: UtcDatetime = Field(description="When the platform stored that it was found.")
    stages: Stages

    @computed_field(description="The last stage it is known to have passed.")  # type: ignore[prop-decorator]
    @property
    def last_stage(self) -> str:
        return next((stage for stage in reversed(FAST_PATH) if stage in self.stages), "ingest")


class Doubled(BaseModel):
    """An anomaly in two places: ids of incidents, or ``suppressed:<rule>``."""

    anomaly_id: str
    tracking_id: str
    places: list[str]


class DeadAnomaly(BaseModel):
    """An anomaly that ended as a dead letter."""

    anomaly_id: str
    tracking_id: str
    service: str = Field(description="The service that could not handle it.")
    reason: str
    at: UtcDatetime


class LedgerView(BaseModel):
    """The balance of a span. Lists name the oldest 100."""

    since: UtcDatetime
    until: UtcDatetime
    settled_after_s: float
    balanced: bool = Field(description="Nothing is unaccounted for and nothing is doubled.")
    balance: Balance
    unaccounted: list[OpenAnomaly]
    doubled: list[Doubled]
    dead_letters: list[DeadAnomaly]
