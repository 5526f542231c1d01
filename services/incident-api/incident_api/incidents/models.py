"""Bodies of ``/api/v3/incidents``."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from aiops_core.models import (
    Domain,
    Incident,
    LlmInsights,
    Severity,
    SimilarIncident,
)
from incident_api.folding import StoredIncident
from incident_api.problems import RequestBody

Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=300)]
Prose = Annotated[str, StringConstraints(strip_whitespace=True, max_length=10_000)]
Name = Annotated[str, StringConstraints(strip_whitespace=True, max_length=200)]
Partial = Annotated[
    str | None, Field(description="Why the answer may lack something; null when it is whole.")
]


class IncidentView(Incident):
    """An incident with all that is known about it."""

    tracking_ids: tuple[str, ...] = Field(
        default=(), description="Of all members; the newest 50,000 when there are more."
    )
    llm_insights: LlmInsights | None = Field(None, description="None until it has been explained.")
    similar_incidents: tuple[SimilarIncident, ...] = ()
    version: int = Field(description="Grows with every fact that was folded in.")
    partial: Partial = None

    @classmethod
    def of(
        cls,
        stored: StoredIncident,
        tracking_ids: tuple[str, ...] | None = None,
        partial: str | None = None,
    ) -> IncidentView:
        incident = stored.incident
        known = {name: getattr(incident, name) for name in Incident.model_fields}
        if tracking_ids is not None:
            known["tracking_ids"] = tracking_ids
        return cls.model_construct(
            **known | {"revision": stored.revision},
            llm_insights=stored.insights,
            similar_incidents=stored.similar,
            version=stored.version,
            partial=partial,
        )


class NewIncident(RequestBody):
    """An incident that a person reports."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "title": "VSAT modem reboots every hour",
                    "severity": "high",
                    "domain": "comms",
                    "affected_devices": ["vsat-modem-1"],
                }
            ]
        }
    )

    title: Line
    description: Prose = ""
    category: Name = "manual"
    severity: Severity = Severity.MEDIUM
    domain: Domain = Domain.SYSTEM
    ship_id: Name | None = Field(None, description="By default the ship of this platform.")
    affected_services: tuple[Name, ...] = Field((), max_length=100)
    affected_devices: tuple[Name, ...] = Field((), max_length=100)


class Edit(RequestBody):
    """Fields that are left out stay. No update overwrites a field that a person has set."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"assignee": "eto", "severity": "critical"}]}
    )

    assignee: Name | None = None
    severity: Severity | None = None
    title: Line | None = None

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if all(value is None for value in (self.assignee, self.severity, self.title)):
            raise ValueError("give at least one of assignee, severity, title")
        return self


class Acknowledge(RequestBody):
    comment: Prose = ""
    assignee: Name | None = None


class Resolve(RequestBody):
    resolve_reason: Name = Field("resolved by operator", min_length=1, examples=["modem replaced"])
    comment: Prose = ""


class Reopen(RequestBody):
    comment: Prose = ""


class Merge(RequestBody):
    """*into* is the incident that continues both."""

    into: Annotated[Name, Field(min_length=1, examples=["5b0c1f8e-0f3a-5c11-8a55-1d1f6f0a7f99"])]
    comment: Prose = ""


class Comment(RequestBody):
    comment: Annotated[Prose, Field(min_length=1, examples=["called the shipyard"])]
