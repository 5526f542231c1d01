"""What the silence endpoints take and give."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from aiops_core.models import UtcDatetime
from aiops_core.policy.spans import span_of
from aiops_core.suppression.silences import Line, Matcher, State
from incident_api.spans import Span


def _canonical(text: str) -> str:
    return str(Matcher.parse(text))


MatcherText = Annotated[str, Field(examples=["device=sw-1"]), AfterValidator(_canonical)]
Matchers = Annotated[tuple[MatcherText, ...], Field(min_length=1, max_length=20)]
Ends = "give either end or for: a silence always ends"


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Lasting(_Request):
    """Both ways to say when it is over; ``for`` counts from its start, or from now when that is past."""

    end: UtcDatetime | None = None
    for_: Span | None = Field(None, alias="for", examples=["2h"])

    @property
    def lasting(self) -> timedelta | None:
        return span_of(self.for_) if self.for_ else None


class NewSilence(_Lasting):
    """All matchers must hold: LABEL=VALUE, with =, !=, =~ or !~; expressions match whole values."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "matchers": ["device=sw-acc-d05", "anomaly_type=~link_.*"],
                    "owner": "eto",
                    "reason": "cable on deck 5 is being replaced",
                    "for": "2h",
                }
            ]
        }
    )

    matchers: Matchers
    owner: Line
    reason: Line
    start: UtcDatetime | None = Field(None, description="By default now.")

    @model_validator(mode="after")
    def _ends(self) -> Self:
        if (self.end is None) is (self.for_ is None):
            raise ValueError(Ends)
        return self


class EditSilence(_Lasting):
    """What changes; what is left out stays. What it hides cannot change: that is another silence."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"for": "4h", "owner": "chief"}]})

    owner: Line | None = None
    reason: Line | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.end is not None and self.for_ is not None:
            raise ValueError(Ends)
        if all(value is None for value in (self.end, self.for_, self.owner, self.reason)):
            raise ValueError("give at least one of end, for, owner, reason")
        return self


class SilenceView(BaseModel):
    id: str
    state: State
    matchers: list[str]
    owner: str
    reason: str
    start: UtcDatetime
    end: UtcDatetime
    created_at: UtcDatetime
    created_by: str = Field(description="The user or role that asked for it.")
    updated_at: UtcDatetime
    updated_by: str
    hidden: int | None = Field(
        description="Anomalies that it has hidden so far; null while ClickHouse is away."
    )
    last_matched_at: UtcDatetime | None
    never_hides: list[str] = Field(
        description="What stays visible although it matches, by never_suppress of the policy.",
        examples=[["severity=critical"]],
    )


class SilenceList(BaseModel):
    items: list[SilenceView] = Field(description="By when they end, the next to end first.")


class PreviewKind(BaseModel):
    """Anomalies that have the most important labels in common."""

    anomaly_type: str
    device: str
    service: str
    severity: str
    number: int


class Preview(BaseModel):
    """What a silence with these matchers would have hidden."""

    time_range: str = Field(examples=["24h"])
    matchers: list[str]
    anomalies: int = Field(description="All in the span.")
    hidden: int
    never_hidden: int = Field(
        description="They match, but never_suppress of the policy names them."
    )
    refused: str | None = Field(
        description="Why such a silence would be refused; null: it would not."
    )
    top: list[PreviewKind] = Field(description="The 20 most frequent kinds that it would hide.")
