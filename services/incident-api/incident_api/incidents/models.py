"""Bodies of ``/api/v3/incidents``, and the changes that a status allows. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StringConstraints

from aiops_core.models import (
    Domain,
    Incident,
    IncidentTransitioned,
    LlmInsights,
    Severity,
    SimilarIncident,
    Status,
)
from incident_api.folding import StoredIncident
from incident_api.pages import Partial
from incident_api.problems import EditBody, Problem, RequestBody

Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=300)]
Prose = Annotated[str, StringConstraints(strip_whitespace=True, max_length=10_000)]
Name = Annotated[str, StringConstraints(strip_whitespace=True, max_length=200)]


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


class Edit(EditBody):
    """Fields that are left out stay. No update overwrites a field that a person has set."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"assignee": "eto", "severity": "critical"}]}
    )

    assignee: Name | None = None
    severity: Severity | None = None
    title: Line | None = None


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


TransitionKind = Literal["ack", "resolve", "reopen", "edit", "comment", "merge"]

# Change -> status before -> status after. Any other status refuses the change.
NEXT: dict[TransitionKind, dict[Status, Status]] = {
    "ack": {Status.OPEN: Status.ACK, Status.ACK: Status.ACK},
    "resolve": {
        Status.OPEN: Status.RESOLVED,
        Status.ACK: Status.RESOLVED,
        Status.RESOLVED: Status.RESOLVED,
    },
    "reopen": {Status.RESOLVED: Status.OPEN, Status.SUPPRESSED: Status.OPEN},
    "merge": {Status.OPEN: Status.RESOLVED, Status.ACK: Status.RESOLVED},
    "edit": {status: status for status in Status},
    "comment": {status: status for status in Status},
}
HINT = {
    "ack": "reopen it first",
    "resolve": "reopen it first",
    "reopen": "it is not closed",
    "merge": "only one that is open can be merged into another",
}
MERGED = "merged into "  # prefix of the resolve reason of a merged incident


def transition(
    stored: StoredIncident,
    kind: TransitionKind,
    actor: str,
    now: datetime,
    details: Mapping[str, object],
) -> IncidentTransitioned | None:
    """The fact of the change, None when it would change nothing.

    Problem 409 when the incident's status does not allow it.
    """
    incident = stored.incident
    if kind == "merge" and incident.resolve_reason == f"{MERGED}{details.get('merged_into')}":
        return None
    if kind == "reopen" and (incident.resolve_reason or "").startswith(MERGED):
        raise Problem(409, f"incident {incident.id} was {incident.resolve_reason}; go on there")
    after = NEXT[kind].get(incident.status)
    if after is None:
        raise Problem(409, f"incident {incident.id} is {incident.status}; {HINT[kind]}")
    if kind in ("ack", "resolve") and after is incident.status and not details.get("comment"):
        return None
    fact = {
        "tracking_id": incident.tracking_id,
        "ship_id": incident.ship_id,
        "ts": now,
        "incident_id": incident.id,
        "change": stored.change + 1,
        "revision": stored.revision,
        "kind": kind,
        "from_status": incident.status,
        "to_status": after,
        "actor": actor,
    }
    return IncidentTransitioned.model_validate(fact | dict(details), extra="forbid")


def check_merge(incident: Incident, into: Incident) -> None:
    """Problem 422 for a merge into itself, 409 when status or ship does not allow it."""
    if into.id == incident.id:
        raise Problem(422, "body.into: an incident cannot be merged into itself")
    if into.status not in NEXT["merge"]:
        raise Problem(409, f"incident {into.id} is {into.status}; reopen it first")
    if into.ship_id != incident.ship_id:
        raise Problem(409, f"incident {into.id} is of another ship, {into.ship_id}")
