"""Bodies of ``/api/v3/silences``."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from aiops_core.models import UtcDatetime
from aiops_core.suppression.silences import Line, Matchers, Silence, State
from incident_api.problems import RequestBody


class NewSilence(RequestBody):
    """All matchers must fit: LABEL=VALUE, with =, !=, =~ or !~; expressions match whole values."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "matchers": ["device_id=sw-acc-d05", "anomaly_type=~link_.*"],
                    "ends_at": "2026-06-01T14:00:00Z",
                    "created_by": "eto",
                    "comment": "cable on deck 5 is being replaced",
                }
            ]
        },
    )

    matchers: Matchers
    starts_at: UtcDatetime | None = Field(None, description="Default: now.")
    ends_at: UtcDatetime
    created_by: Line = Field(description="The owner, who answers for it.")
    comment: Line = Field(description="Why.")


class EditSilence(RequestBody):
    """Fields that are left out stay. Other matchers are another silence."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"ends_at": "2026-06-01T16:00:00Z"}]},
    )

    ends_at: UtcDatetime | None = None
    created_by: Line | None = None
    comment: Line | None = None

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if all(value is None for value in (self.ends_at, self.created_by, self.comment)):
            raise ValueError("give at least one of ends_at, created_by, comment")
        return self


class SilenceView(Silence):
    """A silence, and how many anomalies it has hidden."""

    state: State
    created_by: Line = Field(description="The owner, who answers for it.")
    updated_by: str = Field(description="The user or role that made the last change.")
    hidden: int | None = Field(
        description="Anomalies that it has hidden so far; null while ClickHouse is away."
    )
    last_matched_at: UtcDatetime | None
    never_hides: list[str] = Field(
        description="Anomalies that match and stay visible, by never_suppress of the policy.",
        examples=[["severity=critical"]],
    )


class PreviewCount(BaseModel):
    """Anomalies that have the most important labels in common."""

    anomaly_type: str
    device_id: str
    service: str
    severity: str
    number: int


class Preview(BaseModel):
    """Anomalies that a silence with these matchers would have hidden."""

    time_range: str = Field(examples=["24h"])
    matchers: Matchers
    anomalies: int = Field(description="All in the span.")
    hidden: int
    never_hidden: int = Field(
        description="They match, but never_suppress of the policy names them."
    )
    refused: str | None = Field(
        description="Why such a silence would be refused; null: it would not."
    )
    top: list[PreviewCount] = Field(description="The 20 most frequent that it would hide.")
